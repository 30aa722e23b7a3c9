"""Send a request through an ASGI application in this process, with no socket.

The call goes through the whole stack, from the outermost middleware on, as uvicorn's would.
See https://asgi.readthedocs.io/en/latest/specs/www.html
"""

import asyncio
import dataclasses
import json
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def route(scope: Scope) -> str:
    """Return the path that the application routes by: the request line's, without a root path."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """A whole response and when it came."""

    status: int
    body: bytes
    total_s: float
    """Seconds to the last byte."""


async def call(
    application: Application,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> Answer:
    """POST `body` as JSON to `path`, or GET where there is no body, with `key` as bearer token."""
    exchange = _Exchange(json.dumps(body).encode() if body is not None else b"")
    await application(_scope(path, exchange.body, key), exchange.receive, exchange.send)
    ended = time.perf_counter()
    return Answer(
        status=exchange.status,
        body=b"".join(exchange.parts),
        total_s=ended - exchange.begun,
    )


class _Exchange:
    """The client's end of one ASGI call."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.status = 0
        self.parts: list[bytes] = []
        self.begun = time.perf_counter()
        self._received = False

    async def receive(self) -> Message:
        if self._received:
            await asyncio.Event().wait()  # the client stays; a cancelled call ends the wait
        self._received = True
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.parts.append(message.get("body", b""))


def _scope(path: str, body: bytes, key: str | None) -> Scope:
    headers = [(b"host", b"localhost"), (b"content-length", str(len(body)).encode())]
    headers += [(b"content-type", b"application/json")] if body else []
    headers += [(b"authorization", b"Bearer " + key.encode())] if key else []
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST" if body else "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
