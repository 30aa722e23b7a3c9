"""Who holds a place in the server, for how long, and what a cut request is told."""

import asyncio
import json

import pytest

from runtime import body
from runtime.drain import Drain
from runtime.guard import Guard
from runtime.inprocess import Message, Receive, Scope, Send
from runtime.settings import Secret, Settings
from tests.support.asking import Served, ask, ask_guard

KEY = "canary-key"
BEARER = [(b"authorization", b"Bearer " + KEY.encode())]
CHAT = "/v1/chat/completions"


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
            ask_guard(Guard(slow, Settings(), drain, templates=False), CHAT, b"{}")
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

    status, headers, answer = asyncio.run(ask_guard(guard, CHAT, b"{}"))

    assert (status, headers[b"connection"]) == (503, b"close")
    assert b"shutting down" in answer


def test_past_the_queue_bound_clients_are_told_to_retry() -> None:
    """MAX_QUEUE requests may be in flight; the next one gets 503 with Retry-After."""

    async def run() -> tuple[int, dict[bytes, bytes], bytes]:
        drain = Drain(1)
        guard = Guard(Slow(None), Settings(max_queue=2), drain, templates=False)
        waiting = [asyncio.create_task(ask_guard(guard, CHAT, b"{}")) for _ in range(2)]
        while len(drain.flights) < 2:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0)
        answer = await ask_guard(guard, CHAT, b"{}")
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
        asyncio.run(ask_guard(Guard(times_out, Settings(), Drain(1), templates=False), CHAT, b"{}"))
