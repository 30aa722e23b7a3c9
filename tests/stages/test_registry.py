"""A tag is resolved to a digest, asking as anybody."""

import hashlib
from collections.abc import Callable

import httpx
import pytest

from stages.errors import AccessError, AnswerError, NotFoundError, StagesError, UnreachableError
from stages.reference import parse
from stages.registry import Registry
from stages.retry import Patience

DIGEST = f"sha256:{'d' * 64}"
QUICK = Patience(attempts=2, first_s=0.0)
Answers = Callable[[httpx.Request], httpx.Response]


def digest(name: str, answers: Answers) -> tuple[str, list[httpx.Request]]:
    """Resolve a name, and give the requests that were made."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answers(request)

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        return Registry(client, QUICK).digest(parse(name)), seen


def found(_: httpx.Request) -> httpx.Response:
    """Answer with a digest."""
    return httpx.Response(200, headers={"Docker-Content-Digest": DIGEST})


def test_tag_is_resolved_by_one_head() -> None:
    """HEAD is not counted as a pull, and an index keeps its own digest."""
    value, seen = digest("ghcr.io/a/b:v1", found)

    assert value == DIGEST
    assert [f"{one.method} {one.url}" for one in seen] == [
        "HEAD https://ghcr.io/v2/a/b/manifests/v1"
    ]
    assert "application/vnd.oci.image.index.v1+json" in seen[0].headers["Accept"]


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("vllm/vllm-openai", "https://registry-1.docker.io/v2/vllm/vllm-openai/manifests/latest"),
        ("localhost:5000/a:b", "http://localhost:5000/v2/a/manifests/b"),
    ],
)
def test_address_follows_from_the_name(name: str, address: str) -> None:
    """Docker Hub has an address of its own; this machine is asked by plain http."""
    _, seen = digest(name, found)

    assert str(seen[0].url) == address


def test_digest_needs_no_request() -> None:
    """What is named by digest is taken at its word."""
    assert digest(f"a/b:c@{DIGEST}", found) == (DIGEST, [])


def test_registry_without_the_header_is_asked_for_the_manifest() -> None:
    """The digest is then that of the manifest's bytes."""
    value, seen = digest("ghcr.io/a/b:v1", lambda _: httpx.Response(200, content=b"{}"))

    assert value == f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
    assert [one.method for one in seen] == ["HEAD", "GET"]


def asks_for_token(request: httpx.Request) -> httpx.Response:
    """Behave like Docker Hub."""
    if request.url.host == "auth.example":
        assert dict(request.url.params) == {"service": "s", "scope": "repository:a/b:pull"}
        return httpx.Response(200, json={"token": "t"})
    if request.headers.get("Authorization") == "Bearer t":
        return found(request)
    challenge = 'Bearer realm="https://auth.example/token",service="s",scope="x"'
    return httpx.Response(401, headers={"WWW-Authenticate": challenge})


def test_token_for_anybody_is_fetched_where_the_registry_says() -> None:
    """The challenge names the service; the scope is pulling this repository."""
    assert digest("docker.io/a/b:c", asks_for_token)[0] == DIGEST


def refusing(status: int, **headers: str) -> Answers:
    """Answer everything with one status."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return lambda _: httpx.Response(status, headers=named)


@pytest.mark.parametrize(
    ("answers", "kind", "message"),
    [
        (refusing(404), NotFoundError, "no such image"),
        (refusing(403), AccessError, "does not show it to anybody"),
        (refusing(401), AccessError, "nobody unknown"),
        (refusing(401, WWW_Authenticate="Basic realm=x"), AccessError, "nobody unknown"),
        (
            refusing(401, WWW_Authenticate='Bearer realm="http://auth.example/"'),
            AccessError,
            "nobody unknown",
        ),
        (
            refusing(401, WWW_Authenticate='Bearer realm="https://auth.example/"'),
            AccessError,
            "gives anybody no token",
        ),
        (refusing(200, Docker_Content_Digest="md5:x"), AnswerError, "no sha256 digest"),
        (refusing(302, Location="https://x"), AnswerError, "status 302"),
        (refusing(503), UnreachableError, "status 503"),
    ],
    ids=["404", "403", "bare 401", "basic", "in the clear", "no token", "md5", "302", "503"],
)
def test_refusal_is_told(answers: Answers, kind: type[StagesError], message: str) -> None:
    """Each names the image and what to do, or what was seen."""
    with pytest.raises(kind, match=message) as caught:
        digest("ghcr.io/a/b:v1", answers)
    assert "ghcr.io/a/b:v1" in str(caught.value)


def test_registry_that_is_not_there_is_told() -> None:
    """After bounded tries."""

    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(UnreachableError, match=r"ghcr\.io: refused"):
        digest("ghcr.io/a/b:v1", broken)
