"""The guard decides what vLLM gets to see, by the request itself."""

import asyncio
import json

import pytest

from runtime.drain import Drain
from runtime.guard import Guard
from runtime.inprocess import Message
from runtime.settings import Secret, Settings
from tests.support.asking import Served, ask

KEY = "canary-key"
BEARER = [(b"authorization", b"Bearer " + KEY.encode())]
CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/prewarm", CHAT, "/docs"])
def test_without_the_key_nothing_but_probes_is_answered(path: str) -> None:
    """A wrong key, a key in another case or none at all are refused before the route is."""
    locked = Settings(api_key=Secret(KEY))

    for headers in ([], [(b"authorization", b"Bearer wrong")], [(b"authorization", b"canary-key")]):
        status, served = ask(locked, path, method="GET", headers=headers)
        assert (status, served.bodies) == (401, [])


def test_the_host_header_changes_nothing() -> None:
    """vLLM before 0.22 takes `Host: example.com/foo?` for another path (CVE-2026-48746)."""
    host = [(b"host", b"example.com/foo?")]

    assert ask(Settings(api_key=Secret(KEY)), "/v1/models", headers=host)[0] == 401


def test_the_schemes_case_does_not_matter() -> None:
    """RFC 9110 compares it without case; the key itself is compared exactly."""
    locked = Settings(api_key=Secret(KEY))

    assert ask(locked, CHAT, b"{}", headers=[(b"authorization", b"bearer canary-key")])[0] == 200
    assert ask(locked, CHAT, b"{}", headers=[(b"authorization", b"Bearer Canary-Key")])[0] == 401


def test_with_the_key_listed_routes_are_served() -> None:
    """The key opens what the guard lists, and nothing else."""
    locked = Settings(api_key=Secret(KEY))

    assert ask(locked, CHAT, b"{}", headers=BEARER)[0] == 200
    assert ask(locked, "/docs", headers=BEARER)[0] == 404


@pytest.mark.parametrize("path", ["/health", "/ping"])
def test_probes_need_no_key(path: str) -> None:
    """A platform's probe carries none."""
    assert ask(Settings(api_key=Secret(KEY)), path, method="GET")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs",
        "/invocations",
        "/tokenize",
        "/v1/chat/completions/",
        "//v1/models",
        "/V1/models",
    ],
)
def test_unlisted_routes_are_not_found(path: str) -> None:
    """Only exact paths are served; /invocations would pass vLLM's own key by."""
    status, served = ask(Settings(), path)

    assert (status, served.bodies) == (404, [])


def test_allow_routes_adds_routes() -> None:
    """ALLOW_ROUTES=/tokenize serves it."""
    assert ask(Settings(allow_routes=("/tokenize",)), "/tokenize", b"{}")[0] == 200


def test_a_root_path_is_not_part_of_the_route() -> None:
    """Behind --root-path /llm uvicorn reports /llm/v1/models."""
    assert ask(Settings(), "/llm/v1/models", method="GET", root_path="/llm")[0] == 200


def test_a_browsers_preflight_needs_no_key() -> None:
    """It cannot carry one, and asks nothing of the model."""
    asks = [(b"origin", b"https://a"), (b"access-control-request-method", b"POST")]
    locked = Settings(api_key=Secret(KEY))

    assert ask(locked, CHAT, method="OPTIONS", headers=asks)[0] == 200
    assert ask(locked, CHAT, method="OPTIONS")[0] == 401


@pytest.mark.parametrize("n", [b"10000", b'"10000"', b"1e4", b"10000.0"])
def test_too_many_sequences_are_refused(n: bytes) -> None:
    """Each spelling of a large n is refused before vLLM allocates for it (CVE-2026-34756)."""
    status, served = ask(Settings(), "/v1/completions", b'{"prompt": "a", "n": ' + n + b"}")

    assert (status, served.bodies) == (400, [])


def test_too_many_prompts_are_refused() -> None:
    """A list of 10,000 prompts asks for 10,000 sequences."""
    many = json.dumps({"prompt": ["a"] * 10_000}).encode()

    assert ask(Settings(), "/v1/completions", many)[0] == 400


def test_a_body_passes_unchanged() -> None:
    """What the guard has read, vLLM reads again."""
    _, served = ask(Settings(), CHAT, b'{"n"', b": 2", b"}")

    assert served.bodies == [b'{"n": 2}']


def test_large_bodies_are_refused_by_their_length_and_by_their_bytes() -> None:
    """A length that says so is refused unread; a body that lies is refused as it comes."""
    small = Settings(max_body_bytes=10)

    assert ask(small, CHAT, headers=[(b"content-length", b"11")])[0] == 413
    assert ask(small, CHAT, b"123456", b"789012")[0] == 413
    assert ask(small, CHAT, b"1234567890")[0] == 200


def test_a_client_that_leaves_early_gets_no_answer() -> None:
    """A body that never came whole is no request."""
    served = Served()

    async def receive() -> Message:
        await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        raise AssertionError

    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": []}
    asyncio.run(Guard(served, Settings(), Drain(1), templates=False)(scope, receive, send))

    assert served.bodies == []


def test_a_websocket_is_refused() -> None:
    """Any scope but HTTP and the lifespan is closed unseen."""
    served = Served()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        await asyncio.sleep(0)
        sent.append(message)

    guard = Guard(served, Settings(), Drain(1), templates=False)
    asyncio.run(guard({"type": "websocket", "path": "/v1/realtime"}, never, send))
    asyncio.run(guard({"type": "webtransport"}, never, send))

    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert served.scopes == []


def test_the_lifespan_passes() -> None:
    """The gate behind the guard lives on it."""
    served = Served()

    async def send(_message: Message) -> None:
        raise AssertionError

    guard = Guard(served, Settings(), Drain(1), templates=False)
    asyncio.run(guard({"type": "lifespan"}, never, send))

    assert served.scopes == ["lifespan"]


async def never() -> Message:
    """Give nothing: what is refused unseen is not read either."""
    raise AssertionError
