"""Asks a guard as uvicorn would: an ASGI call with a body that comes in parts."""

import asyncio
from typing import Any

from runtime.drain import Drain
from runtime.guard import Guard
from runtime.inprocess import Message, Receive, Scope, Send
from runtime.settings import Settings


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


async def ask_guard(
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
    return asyncio.run(ask_guard(guard, path, *parts, **options))[0], served
