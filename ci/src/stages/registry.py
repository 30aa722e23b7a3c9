"""Container registries: which digest a tag names.

Anonymous: a registry that wants a token is asked for one that anybody gets.
See https://github.com/opencontainers/distribution-spec/blob/main/spec.md and
https://distribution.github.io/distribution/spec/auth/token/
"""

import hashlib
import json
import re
from dataclasses import dataclass, field

import httpx

from stages.errors import AccessError, AnswerError, NotFoundError, TransientError
from stages.hub import translated
from stages.names import DIGEST
from stages.origin import Origin
from stages.reference import DOCKER_HUB, Reference
from stages.refusal import PASSING, wait
from stages.retry import Attempts, Patience, persist
from stages.secret import Secret

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
DOCKER_HUB_API = "registry-1.docker.io"  # what answers for docker.io
_PARAMETER = re.compile(r'([a-z]+)="([^"]*)"')


@dataclass(frozen=True)
class Registry:
    """A registry, asked as anybody."""

    client: httpx.Client = field(repr=False)
    patience: Patience = field(default_factory=Patience)

    def digest(self, reference: Reference) -> str:
        """Give the `sha256:` digest of an image, an index included; one with a digest is its own.

        Raises:
            NotFoundError: The registry has no such image.
            AccessError: It does not show the image to anybody.
            UnreachableError, AnswerError: No answer, or none that can be understood.
        """
        if reference.digest:
            return reference.digest

        def attempt() -> str:
            return self._digest(reference)

        return persist(attempt, Attempts(patience=self.patience))

    def _digest(self, reference: Reference) -> str:
        name = reference.tag or "latest"
        address = f"{_root(reference)}/v2/{reference.repository}/manifests/{name}"
        headers = {"Accept": ", ".join(MANIFESTS)}
        response = self._send("HEAD", address, headers, reference)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            token = self._token(response, reference)
            headers["Authorization"] = f"Bearer {token.reveal()}"
            response = self._send("HEAD", address, headers, reference)
        digest: str = response.headers.get("Docker-Content-Digest", "")
        if response.status_code == httpx.codes.OK and not digest:
            response = self._send("GET", address, headers, reference)
            digest = f"sha256:{hashlib.sha256(response.content).hexdigest()}"
        _check(response, reference)
        if not DIGEST.fullmatch(digest):
            raise AnswerError(f"{reference}: the registry names no sha256 digest")
        return digest

    def _send(
        self, method: str, address: str, headers: dict[str, str], reference: Reference
    ) -> httpx.Response:
        """Send one request; no redirect is followed, since manifests come from the registry."""
        with translated(reference.host, None):
            response = self.client.request(method, address, headers=headers)
        if response.status_code in PASSING:
            pause = wait(response.headers)
            raise TransientError(f"{reference}: status {response.status_code}", wait_s=pause)
        return response

    def _token(self, response: httpx.Response, reference: Reference) -> Secret:
        """Ask the token service that the registry names for a token to pull with."""
        challenge = response.headers.get("WWW-Authenticate", "")
        scheme, _, rest = challenge.partition(" ")
        parameters = dict(_PARAMETER.findall(rest))
        if scheme.lower() != "bearer" or not _is_safe(parameters.get("realm", "")):
            raise AccessError(f"{reference}: the registry shows it to nobody unknown")
        scope = f"repository:{reference.repository}:pull"
        query = {"service": parameters.get("service", ""), "scope": scope}
        address = str(httpx.URL(parameters["realm"]).copy_merge_params(query))
        answer = self._send("GET", address, {}, reference)
        try:
            value = json.loads(answer.content)
            return Secret(value.get("token") or value["access_token"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise AccessError(f"{reference}: the registry gives anybody no token") from None


def _is_safe(address: str) -> bool:
    """Whether a token may be asked for at this address."""
    try:
        return Origin.of(str(httpx.URL(address))).keeps_secrets
    except (ValueError, httpx.InvalidURL):
        return False


def _root(reference: Reference) -> str:
    """Give the address of a registry: https, but for one on this machine."""
    host = DOCKER_HUB_API if reference.host == DOCKER_HUB else reference.host
    scheme = "http" if Origin.of(f"https://{host}").is_loopback else "https"
    return f"{scheme}://{host}"


def _check(response: httpx.Response, reference: Reference) -> None:
    status = response.status_code
    if status == httpx.codes.NOT_FOUND:
        raise NotFoundError(f"{reference}: the registry has no such image. Check the name and tag")
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise AccessError(
            f"{reference}: the registry does not show it to anybody. Check the name; "
            "a private base needs its digest: NAME:TAG@sha256:..."
        )
    if status != httpx.codes.OK:
        raise AnswerError(f"{reference}: the registry answers with status {status}")
