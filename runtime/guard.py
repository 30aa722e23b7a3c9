"""The guard: the outermost middleware, which decides what vLLM gets to see.

It judges `scope["path"]`, which comes from the request line, never the Host header: vLLM before
0.22 rebuilds the path from Host, and so lets requests past its own key (CVE-2026-48746).
"""

import asyncio
import hmac
from collections.abc import Iterable
from http import HTTPStatus

from runtime import launch
from runtime.body import Bodies, ClientLeftError, replay
from runtime.drain import Drain, Flight
from runtime.inprocess import Application, Message, Receive, Scope, Send, route
from runtime.refusal import CLOSE, RETRY, Refusal, RefusedRequestError
from runtime.settings import Settings

OPEN_ROUTES = frozenset({"/health", "/ping"})
"""Answered without a key: what a platform's probes ask. Their bodies are never read."""

ROUTES = OPEN_ROUTES | {
    "/metrics",
    "/prewarm",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/models",
    "/v1/responses",
}

_POLICY_VIOLATION = 1008
"""https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1"""


class Guard:
    """ASGI middleware: key, routes, bounds, and the drain's hold on every request."""

    def __init__(
        self,
        app: Application,
        settings: Settings | None = None,
        drain: Drain | None = None,
        *,
        templates: bool | None = None,
    ) -> None:
        """Wrap `app`; vLLM gives no more, so the rest is this process's start."""
        self._app = app
        self._settings = settings or launch.current().settings
        self._drain = drain or launch.current().drain
        self._routes = ROUTES | set(self._settings.allow_routes)
        self._bodies = Bodies(
            max_bytes=self._settings.max_body_bytes,
            max_n=self._settings.max_n,
            templates=launch.current().request_templates if templates is None else templates,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one connection; any kind but HTTP and the lifespan is refused."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if refusal := self._judge(scope):
                raise RefusedRequestError(refusal)  # noqa: TRY301 - answered in one place
            if route(scope) in OPEN_ROUTES:
                await self._app(scope, replay(b"", receive), send)
                return
            if scope["method"] == "POST":
                receive = replay(await self._bodies.read(receive), receive)
                if refusal := self._crowded():
                    raise RefusedRequestError(refusal)  # noqa: TRY301 - likewise
            await self._fly(scope, receive, send)
        except RefusedRequestError as error:
            await error.refusal.answer(send)
        except ClientLeftError:
            return

    async def _fly(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, in reach of the drain."""
        told = _Told(send)
        flight = Flight(asyncio.timeout(None))
        try:
            async with flight.deadline:
                self._drain.flights.add(flight)
                await self._app(scope, receive, told)
        except TimeoutError:
            if not flight.reason:
                raise
            await told.end(flight.reason)
        finally:
            self._drain.flights.discard(flight)

    def _judge(self, scope: Scope) -> Refusal | None:
        """Return why a request is refused by its head alone, or None."""
        path, headers = route(scope), scope["headers"]
        if path in OPEN_ROUTES:
            return None
        if not self._holds_key(headers) and not _preflight(scope):
            message = "the key is missing or wrong: send it as Authorization: Bearer KEY"
            return Refusal(HTTPStatus.UNAUTHORIZED, message, ((b"www-authenticate", b"Bearer"),))
        if path not in self._routes:
            message = f"this server does not serve {path}: ALLOW_ROUTES adds routes"
            return Refusal(HTTPStatus.NOT_FOUND, message)
        length = _header(headers, b"content-length")
        if length.isdigit() and int(length) > self._settings.max_body_bytes:
            return self._bodies.too_large()
        return self._crowded() if scope["method"] == "POST" else None

    def _holds_key(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Compare the bearer token; the scheme's case does not matter (RFC 9110, 11.1)."""
        if self._settings.api_key is None:
            return True
        scheme, _, token = _header(headers, b"authorization").partition(b" ")
        key = self._settings.api_key.reveal().encode()
        return hmac.compare_digest(token.strip(), key) and scheme.lower() == b"bearer"

    def _crowded(self) -> Refusal | None:
        """Return the refusal of one request more, or None while there is room."""
        if self._drain.begun:
            message = "the server is shutting down"
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, message, RETRY + CLOSE)
        if len(self._drain.flights) >= self._settings.max_queue:
            most = self._settings.max_queue
            message = f"{most} requests are in flight already (MAX_QUEUE): try again later"
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, message, RETRY)
        return None


class _Told:
    """The way to the client: remembers what was sent, so that a cut answer can be ended well."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = self._ended = self._streams = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            kind = _header(message.get("headers", ()), b"content-type")
            self._streams = kind.startswith(b"text/event-stream")
        elif not message.get("more_body", False):
            self._ended = True
        await self._send(message)

    async def end(self, reason: str) -> None:
        """Tell the client why nothing more comes."""
        refusal = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, reason, RETRY + CLOSE)
        if not self._started:
            await refusal.answer(self._send)
        elif not self._ended:
            events = b"data: " + refusal.text() + b"\n\ndata: [DONE]\n\n"
            body = events if self._streams else b""
            await self._send({"type": "http.response.body", "body": body, "more_body": False})


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """Return the first value of a header (names come in lower case), b"" for none."""
    return next((value for key, value in headers if key == name), b"")


def _preflight(scope: Scope) -> bool:
    """Whether a browser asks what it may send; it cannot carry a key then.

    See https://fetch.spec.whatwg.org/#cors-preflight-fetch
    """
    names = {name for name, _ in scope["headers"]}
    return scope["method"] == "OPTIONS" and names >= {b"origin", b"access-control-request-method"}
