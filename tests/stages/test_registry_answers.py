"""What a registry's answers say is read with no trust in them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.errors import AnswerError
from stages.registry import answers, challenge
from stages.registry.challenge import Challenge
from stages.secret import Secret

DIGEST = f"sha256:{'d' * 64}"
HOME = "https://registry.example/v2/a/b/blobs/uploads/"
BEARER = 'Bearer realm="https://auth.example/token",service="s",scope="repository:a/b:pull"'


def error(**said: object) -> bytes:
    """Write an error as a registry does."""
    return json.dumps({"errors": [said]}).encode()


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (error(code="DENIED", message="no leave"), "DENIED", " (it says: DENIED no leave)"),
        (error(code="DENIED"), "DENIED", " (it says: DENIED)"),
        (error(code="denied", message=7), "", ""),
        (error(message="see https://x/y?token=abc now"), "", " (it says: see https://x/y?... now)"),
        (error(message="the canary\x1b[2J sang"), "", " (it says: the ***[2J sang)"),
        (error(message="x" * 999), "", f" (it says: {'x' * 200})"),
        (b"", "", ""),
        (b"<html>", "", ""),
        (b"[" * 100_000, "", ""),
        (b'{"errors": []}', "", ""),
        (b'{"errors": ["x"]}', "", ""),
        (b'{"errors": {}}', "", ""),
        (b"7", "", ""),
    ],
)
def test_words_of_a_registry_are_shown_safely(content: bytes, code: str, words: str) -> None:
    """Neither a secret, nor the query of an address, nor a control sign, nor more than a line."""
    assert answers.code(content) == code
    assert answers.words(content, [Secret("canary")]) == words


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v2/a/b/x?_state=1", "https://registry.example/v2/a/b/x?_state=1"),
        ("https://other.example/x?sig=%2F", "https://other.example/x?sig=%2F"),
        ("http://127.0.0.1:5000/x", "http://127.0.0.1:5000/x"),
        ("?next", f"{HOME}?next"),
    ],
)
def test_next_address_may_be_elsewhere(location: str, target: str) -> None:
    """Relative or absolute, on https or on this machine."""
    assert answers.next_address(HOME, location, what="a/b") == target


@pytest.mark.parametrize(
    "location",
    ["", "http://registry.example/x?sig=canary", "ftp://x/canary", "https://u:canary@x/", "//[x"],
)
def test_next_address_never_leaves_https(location: str) -> None:
    """Nor holds a user; the message shows an origin at most."""
    with pytest.raises(AnswerError, match=r"^a/b: redirected to .*no https address$") as caught:
        answers.next_address(HOME, location, what="a/b")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://x/y", "https://x/y?digest=sha256%3Ad"),
        ("https://x/y?a=b", "https://x/y?a=b&digest=sha256%3Ad"),
    ],
)
def test_digest_joins_what_an_address_holds(address: str, expected: str) -> None:
    """The rest of an upload's address is not touched: it may be signed."""
    assert answers.with_digest(address, "sha256:d") == expected


@pytest.mark.parametrize(
    ("text", "count"),
    [("0-0", 0), ("0-1048575", 2**20), ("bytes=0-9", 10), ("", None), ("1-9", None), ("0-x", None)],
)
def test_range_tells_what_is_kept(text: str, count: int | None) -> None:
    """As registries write it, with and without a unit."""
    headers = {"Range": text} if text else {}

    assert answers.kept(headers) == count


@pytest.mark.parametrize(
    ("text", "size"),
    [(None, 8), ("4", 8), ("16", 16), ("x", 8), (str(2**30), None), ("9" * 30, 8)],
)
def test_chunks_are_as_long_as_the_registry_wants(text: str | None, size: int | None) -> None:
    """Within what is held in memory."""
    headers = {"OCI-Chunk-Min-Length": text} if text else {}

    assert answers.chunk_size(headers, 8) == size


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([BEARER], Challenge(scheme="bearer", realm="https://auth.example/token", service="s")),
        (['bearer Realm="https://x"'], Challenge(scheme="bearer", realm="https://x")),
        (["Bearer"], Challenge(scheme="bearer")),
        (['Basic realm="x"'], Challenge(scheme="basic", realm="x")),
        (
            ['Basic realm="x"', 'Bearer realm="https://y"'],
            Challenge(scheme="bearer", realm="https://y"),
        ),
        (
            ['Basic realm="x", Bearer realm="https://y",service="s"'],
            Challenge(scheme="bearer", realm="https://y", service="s"),
        ),
        (
            ['Bearer realm="https://y", Basic realm="x"'],
            Challenge(scheme="bearer", realm="https://y"),
        ),
        (["Negotiate"], None),
        (['Digest realm="a Basic thing"'], None),
        ([], None),
    ],
)
def test_challenge_is_read(headers: list[str], expected: Challenge | None) -> None:
    """A token before a password, however many headers hold them."""
    assert challenge.parse(headers) == expected


@given(st.lists(st.text(max_size=200), max_size=3))
def test_no_challenge_breaks_the_reader(headers: list[str]) -> None:
    """Any text gives a challenge or none."""
    found = challenge.parse(headers)

    assert found is None or found.scheme in {challenge.BASIC, challenge.BEARER}


@given(st.binary(max_size=200))
def test_no_answer_breaks_the_reader(content: bytes) -> None:
    """Any bytes give a line or nothing."""
    assert "\n" not in answers.words(content)
