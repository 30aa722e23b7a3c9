"""The guard decides what vLLM gets to see, by the request itself."""

import asyncio
import json
from typing import Any

import pytest

from runtime import body
from runtime.drain import Drain
from runtime.guard import Guard
from runtime.inprocess import Message, Receive, Scope, Send
from runtime.settings import Secret, Settings

KEY = "canary-key"
BEARER = [(b"authorization", b"Bearer " + KEY.encode())]
CHAT = "/v1/chat/completions"


class Served:
    """An application behind the guard that records what it got and answers 200."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.bodies: list[bytes] = []
        self.scopes: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 200 with nothing."""
        self.scopes.append(scope["type"])
        if scope["type"] == "http":
            self.bodies.append((await receive())["body"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})


async def _ask(
    guard: Guard,
    path: str,
    *parts: bytes,
    method: str = "POST",
    headers: list[tuple[bytes, bytes]] | None = None,
    root_path: str = "",
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Send a request whose body comes in `parts`; return status, headers and body."""
    sent: list[Message] = []
    pieces = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)}
        for number, part in enumerate(parts or (b"",), start=1)
    ]

    async def receive() -> Message:
        await asyncio.sleep(0)
        return pieces.pop(0) if pieces else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        await asyncio.sleep(0)
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "root_path": root_path}
    await guard({**scope, "headers": headers or []}, receive, send)
    if not sent:
        return 0, {}, b""
    whole = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), whole


def ask(settings: Settings, path: str, *parts: bytes, **options: Any) -> tuple[int, Served]:
    """Send one request through a guard; return its status and what got through."""
    served = Served()
    guard = Guard(served, settings, Drain(1), templates=False)
    return asyncio.run(_ask(guard, path, *parts, **options))[0], served


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


class Slow:
    """An application that begins an answer and never ends it."""

    def __init__(self, kind: bytes | None) -> None:
        """Begin answers of content type `kind`, or none at all."""
        self.kind = kind
        self.cancelled = False

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Begin, then wait until cancelled."""
        if self.kind:
            headers = [(b"content-type", self.kind)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


def cut(slow: Slow) -> tuple[int, dict[bytes, bytes], bytes]:
    """Ask a slow application and cut the request; return what the client got."""

    async def run() -> tuple[int, dict[bytes, bytes], bytes]:
        drain = Drain(1)
        asked = asyncio.create_task(
            _ask(Guard(slow, Settings(), drain, templates=False), CHAT, b"{}")
        )
        while not drain.flights:  # noqa: ASYNC110 - nothing tells that a request is in flight
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        for flight in list(drain.flights):
            flight.cut("the server is shutting down")
            flight.cut("only the first reason counts")
        answer = await asked
        assert not drain.flights
        return answer

    return asyncio.run(run())


def test_a_cut_stream_ends_with_an_error_event() -> None:
    """The client learns that the answer is not whole."""
    slow = Slow(b"text/event-stream; charset=utf-8")
    status, _, answer = cut(slow)

    events = answer.decode().split("\n\n")
    assert (status, events[0], events[-2]) == (200, "data: 1", "data: [DONE]")
    assert json.loads(events[1].removeprefix("data: "))["error"]["code"] == 503
    assert "shutting down" in events[1]
    assert slow.cancelled


def test_a_cut_request_without_answer_is_told_to_retry() -> None:
    """503 with Retry-After sends the client to another instance."""
    status, headers, answer = cut(Slow(None))

    assert (status, headers[b"retry-after"]) == (503, b"1")
    assert b"shutting down" in answer


def test_a_cut_plain_answer_just_ends() -> None:
    """There is no event to send in the middle of a JSON text."""
    assert cut(Slow(b"application/json"))[2] == b"data: 1\n\n"


def test_a_probe_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body sent to /ping is never awaited, and a full queue does not fail a probe."""
    monkeypatch.setattr(Drain, "begun", True, raising=False)
    full = Settings(max_queue=1, api_key=Secret(KEY))

    status, served = ask(full, "/ping", b"x" * 100)

    assert (status, served.bodies) == (200, [b""])


def test_a_body_that_never_comes_whole_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow client gets 408 and holds no place meanwhile."""
    monkeypatch.setattr(body, "READ_SECONDS", 0.05)
    drain = Drain(1)
    guard = Guard(Served(), Settings(), drain, templates=False)
    sent: list[Message] = []

    async def receive() -> Message:
        assert not drain.flights
        await asyncio.sleep(1)
        raise AssertionError

    async def send(message: Message) -> None:
        await asyncio.sleep(0)
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": []}
    asyncio.run(guard(scope, receive, send))

    assert sent[0]["status"] == 408


def test_unfinished_bodies_share_a_bound() -> None:
    """Many large uploads at once do not fill the memory: the last ones are told to retry."""

    async def run() -> list[int]:
        guard = Guard(Served(), Settings(max_body_bytes=10), Drain(1), templates=False)
        waiting = asyncio.Event()

        async def slow() -> int:
            sent: list[Message] = []
            pieces = [{"type": "http.request", "body": b"x" * 10, "more_body": True}]

            async def receive() -> Message:
                if pieces:
                    return pieces.pop()
                await waiting.wait()
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message: Message) -> None:
                await asyncio.sleep(0)
                sent.append(message)

            scope = {"type": "http", "method": "POST", "path": CHAT, "headers": []}
            await guard(scope, receive, send)
            status: int = sent[0]["status"]
            return status

        tasks = [asyncio.create_task(slow()) for _ in range(10)]
        await asyncio.sleep(0.01)
        waiting.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == [200] * 8 + [503] * 2


def test_while_draining_new_requests_are_told_so() -> None:
    """Not that the queue is full, which it is not."""
    drain = Drain(1)
    drain.begun = True
    guard = Guard(Served(), Settings(), drain, templates=False)

    status, headers, answer = asyncio.run(_ask(guard, CHAT, b"{}"))

    assert (status, headers[b"connection"]) == (503, b"close")
    assert b"shutting down" in answer


def test_past_the_queue_bound_clients_are_told_to_retry() -> None:
    """MAX_QUEUE requests may be in flight; the next one gets 503 with Retry-After."""

    async def run() -> tuple[int, dict[bytes, bytes], bytes]:
        drain = Drain(1)
        guard = Guard(Slow(None), Settings(max_queue=2), drain, templates=False)
        waiting = [asyncio.create_task(_ask(guard, CHAT, b"{}")) for _ in range(2)]
        while len(drain.flights) < 2:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0)
        answer = await _ask(guard, CHAT, b"{}")
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert not drain.flights
        return answer

    status, headers, answer = asyncio.run(run())

    assert (status, headers[b"retry-after"]) == (503, b"1")
    assert b"MAX_QUEUE" in answer


def test_a_timeout_of_the_application_stays_its_own() -> None:
    """Only the drain's own cut is answered by the guard."""

    async def times_out(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.sleep(0)
        raise TimeoutError

    with pytest.raises(TimeoutError):
        asyncio.run(_ask(Guard(times_out, Settings(), Drain(1), templates=False), CHAT, b"{}"))
