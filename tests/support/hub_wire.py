"""A small HTTP/1.1 server that does as it is told, lies and broken connections included."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.hub_repo import Content

CHUNK = 16 * 1024  # bytes written at a time when the pace is held


@dataclass(frozen=True)
class Request:
    """One request as it came; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's values by name."""
        return parse_qs(urlsplit(self.target).query)


@dataclass
class Answer:
    """What to send. The body is `text`, or bytes `start` to `end` of `content`.

    Attributes:
        cut_after: Break the connection after this many bytes of the body; None sends all.
        flipped: Send the body with its first byte inverted.
        hang: Send nothing at all, and keep the connection open.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    text: bytes = b""
    content: Content | None = None
    start: int = 0
    end: int = 0
    cut_after: int | None = None
    flipped: bool = False
    hang: bool = False

    @property
    def length(self) -> int:
        """The body's length in bytes."""
        return self.end - self.start if self.content else len(self.text)


@dataclass
class Pace:
    """Holds all connections together to a rate in bytes a second; 0 does not hold them."""

    rate: float = 0.0
    halted: bool = False
    _free_at: float = 0.0

    async def take(self, count: int) -> None:
        """Wait until `count` more bytes may be sent."""
        while self.halted:  # noqa: ASYNC110 (set from another thread)
            await asyncio.sleep(0.001)
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now - 0.01) + count / self.rate
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)


@dataclass
class Wire:
    """One listening origin on loopback.

    Attributes:
        log: Every request, in order.
        sent: Bytes of bodies handed to the kernel, all connections together.
    """

    answer: Callable[[Request], Answer]
    pace: Pace = field(default_factory=Pace)
    send_buffer: int = 0
    log: list[Request] = field(default_factory=list)
    sent: int = 0
    port: int = 0

    async def serve(self, started: Callable[[], Awaitable[None]]) -> None:
        """Listen, say so, and answer until cancelled."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        if self.send_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.send_buffer)
        self.port = listener.getsockname()[1]
        server = await asyncio.start_server(self._connection, sock=listener)
        async with server:
            await started()
            await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                writer.transport.set_write_buffer_limits(high=0)
                while await self._exchange(reader, writer):
                    pass
        except asyncio.CancelledError:
            pass
        finally:
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection may be used again."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        request = Request(method, target, headers)
        self.log.append(request)
        answer = self.answer(request)
        if answer.hang:
            await asyncio.sleep(3600)
        headers = {"Content-Length": str(answer.length)} | answer.headers
        status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        if method != "HEAD":
            await self._body(answer, writer)
        await writer.drain()
        return answer.cut_after is None or method == "HEAD"

    async def _body(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        end = answer.length if answer.cut_after is None else min(answer.cut_after, answer.length)
        content = answer.content or Content(answer.text)
        fast = not (self.pace.rate or answer.flipped or isinstance(content.source, bytes))
        if fast and not isinstance(content.source, bytes):
            await writer.drain()
            with content.source.open("rb") as file:
                loop = asyncio.get_running_loop()
                self.sent += await loop.sendfile(writer.transport, file, answer.start, end)
            return
        for at in range(0, end, CHUNK):
            piece = content.read(answer.start + at, answer.start + min(at + CHUNK, end))
            if answer.flipped and at == 0:
                piece = bytes([piece[0] ^ 0xFF]) + piece[1:]
            if self.pace.rate:
                await self.pace.take(len(piece))
            self.sent += len(piece)
            writer.write(piece)
            await writer.drain()
