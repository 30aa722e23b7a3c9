"""Names of images: `[HOST/]REPOSITORY[:TAG][@DIGEST]`, read as Docker reads them.

See https://github.com/distribution/reference
"""

import re
from dataclasses import dataclass

DOCKER_HUB = "docker.io"
LONGEST = 512  # characters

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    r"(?:(?P<host>(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?)/)?"
    rf"(?P<repository>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An image's name in full; `tag` or `digest` is None where the name does not give it."""

    host: str
    repository: str
    tag: str | None
    digest: str | None

    def __str__(self) -> str:
        """Write the reference in full."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.repository}{tag}{digest}"


def parse(text: str) -> Reference:
    """Read a reference; no host means Docker Hub, and there no owner means `library`.

    Raises:
        ValueError: The text is not a reference; says what one looks like.
    """
    if len(text) > LONGEST:
        raise ValueError(f"{text[:LONGEST]!a}... is too long for an image's name")
    host, repository = _divide(text)
    found = _REFERENCE.fullmatch(f"{host}/{repository}")
    if found is None:
        raise ValueError(f"{text!a} is not an image's name; expected HOST/REPOSITORY:TAG")
    return Reference(
        host=found["host"],
        repository=found["repository"],
        tag=found["tag"],
        digest=found["digest"],
    )


def reference_problem(text: str) -> str | None:
    """Say why `text` cannot name a base: it is no reference in full, or holds a digest."""
    try:
        reference = parse(text)
    except ValueError as error:
        return str(error)
    if str(reference) != text or reference.digest:
        return f"{text!a} must be written in full, without a digest: {reference}"
    return None


def _divide(text: str) -> tuple[str, str]:
    """Separate the host; a first part is one only if it could not be an owner's name."""
    first, slash, rest = text.partition("/")
    if slash and (first == "localhost" or any(sign in first for sign in ".:[")):
        host = first
    else:
        host, rest = DOCKER_HUB, text
    if host in {"index.docker.io", "registry-1.docker.io"}:
        host = DOCKER_HUB
    if host == DOCKER_HUB and "/" not in rest:
        rest = f"library/{rest}"
    return host, rest
