"""Names of images are read as Docker reads them."""

import pytest

from stages import reference

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("python", "docker.io/library/python"),
        ("python:3.14-slim", "docker.io/library/python:3.14-slim"),
        ("vllm/vllm-openai:v0.9.0", "docker.io/vllm/vllm-openai:v0.9.0"),
        ("index.docker.io/a/b", "docker.io/a/b"),
        ("docker.io/python", "docker.io/library/python"),
        ("localhost/a:b", "localhost/a:b"),
        ("127.0.0.1:5000/a/b/c:d", "127.0.0.1:5000/a/b/c:d"),
        ("[::1]:5000/a", "[::1]:5000/a"),
        ("europe-docker.pkg.dev/p/r/i:t", "europe-docker.pkg.dev/p/r/i:t"),
        (f"ghcr.io/a/b:t@{DIGEST}", f"ghcr.io/a/b:t@{DIGEST}"),
    ],
)
def test_reference_is_completed(text: str, full: str) -> None:
    """No host means Docker Hub, and there no owner means `library`."""
    assert str(reference.parse(text)) == full


@pytest.mark.parametrize(
    "text", ["", " ", "A", "a:", "a/", "/a", "a@sha256:00", "a b", "https://a/b", "a" * 600, "a//b"]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    """The error says what one looks like, or that it is too long."""
    with pytest.raises(ValueError, match="image's name"):
        reference.parse(text)
