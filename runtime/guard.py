"""The guard: the outermost middleware, which decides what vLLM gets to see.

It judges `scope["path"]`, which comes from the request line, never the Host header: vLLM before
0.22 rebuilds the path from Host, and so lets requests past its own key (CVE-2026-48746).
"""

import asyncio
import dataclasses
import hmac
import json
from collections.abc import Iterable
from http import HTTPStatus

from runtime import bounds, launch
from runtime.drain import Drain, Flight
from runtime.inprocess import Application, Message, Receive, Scope, Send, route
from runtime.settings import Settings

OPEN_ROUTES = frozenset({"/health", "/ping"})
"""Answered without a key: what a platform's probes ask."""

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

_RETRY_AFTER_SECONDS = b"1"


@dataclasses.dataclass(frozen=True)
class Refusal:
    """An answer that the guard gives itself."""

    status: HTTPStatus
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class RefusedRequestError(Exception):
    """Carries a refusal out of the reading of a body."""

    def __init__(self, refusal: Refusal) -> None:
        """Carry `refusal`."""
        super().__init__(refusal.message)
        self.refusal = refusal


class ClientLeftError(Exception):
    """The client closed the connection before its request was whole."""


class Guard:
    """ASGI middleware: key, routes, bounds, and the drain's hold on every request."""

    def __init__(
        self,
        app: Application,
        settings: Settings | None = None,
        drain: Drain | None = None,
    ) -> None:
        """Wrap `app`; vLLM gives no more, so the rest is this process's start."""
        self._app = app
        self._settings = settings or launch.current().settings
        self._drain = drain or launch.current().drain
        self._routes = ROUTES | set(self._settings.allow_routes)
        key = self._settings.api_key
        self._bearer = b"Bearer " + key.reveal().encode() if key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one connection; any kind but HTTP and the lifespan is refused."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if refusal := self._judge(scope):
            await _answer(send, refusal)
            return
        try:
            async with asyncio.timeout(None) as deadline:
                flight = Flight(deadline)
                self._drain.flights.add(flight)
                told = _Told(send)
                if scope["method"] == "POST":
                    receive = await self._bounded(receive)
                await self._app(scope, receive, told)
        except RefusedRequestError as error:
            await _answer(send, error.refusal)
        except ClientLeftError:
            return
        except TimeoutError:
            if not flight.reason:
                raise
            await told.end(flight.reason)
        finally:
            self._drain.flights.discard(flight)

    def _judge(self, scope: Scope) -> Refusal | None:
        """Return why a request is refused by its head alone, or None."""
        path = route(scope)
        headers = scope["headers"]
        if path not in OPEN_ROUTES and not self._holds_key(headers) and not _preflight(scope):
            message = "the key is missing or wrong: send it as Authorization: Bearer KEY"
            return Refusal(HTTPStatus.UNAUTHORIZED, message, ((b"www-authenticate", b"Bearer"),))
        if path not in self._routes:
            message = f"this server does not serve {path}: ALLOW_ROUTES adds routes"
            return Refusal(HTTPStatus.NOT_FOUND, message)
        length = _header(headers, b"content-length")
        if length.isdigit() and int(length) > self._settings.max_body_bytes:
            return self._too_large()
        if scope["method"] == "POST" and self._is_full():
            limit = self._settings.max_queue
            message = f"{limit} requests are in flight already (MAX_QUEUE): try again later"
            retry = ((b"retry-after", _RETRY_AFTER_SECONDS),)
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, message, retry)
        return None

    def _holds_key(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        return self._bearer is None or hmac.compare_digest(
            _header(headers, b"authorization"), self._bearer
        )

    def _is_full(self) -> bool:
        return self._drain.begun or len(self._drain.flights) >= self._settings.max_queue

    def _too_large(self) -> Refusal:
        limit = self._settings.max_body_bytes
        message = f"the body is larger than {limit} bytes (MAX_BODY_BYTES)"
        return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, ((b"connection", b"close"),))

    async def _bounded(self, receive: Receive) -> Receive:
        """Read the whole body, check it, and return a `receive` that gives it again.

        Raises:
            RefusedRequestError: too many bytes, or too many sequences asked for.
            ClientLeftError: the body never came whole.
        """
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientLeftError
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = message.get("more_body", False)
            if size > self._settings.max_body_bytes:
                raise RefusedRequestError(self._too_large())
        body = b"".join(parts)
        if (asked := bounds.sequences(body)) > self._settings.max_n:
            limit = self._settings.max_n
            why = f"prompts x n asks for {asked:g} sequences, at most {limit} (MAX_N)"
            raise RefusedRequestError(Refusal(HTTPStatus.BAD_REQUEST, why))
        return _replay(body, receive)


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
        if not self._started:
            close = ((b"retry-after", _RETRY_AFTER_SECONDS), (b"connection", b"close"))
            await _answer(self._send, Refusal(HTTPStatus.SERVICE_UNAVAILABLE, reason, close))
        elif not self._ended:
            event = b"data: " + _error(HTTPStatus.SERVICE_UNAVAILABLE, reason) + b"\n\n"
            body = event + b"data: [DONE]\n\n" if self._streams else b""
            await self._send({"type": "http.response.body", "body": body, "more_body": False})


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """Return the first value of a header (names come in lower case), b"" for none."""
    return next((value for key, value in headers if key == name), b"")


def _preflight(scope: Scope) -> bool:
    """Whether a browser asks what it may send; it cannot carry a key then.

    See https://fetch.spec.whatwg.org/#cors-preflight-fetch
    """
    names = {name for name, _ in scope["headers"]}
    return scope["method"] == "OPTIONS" and names >= {b"origin", b"access-control-request-method"}


def _error(status: HTTPStatus, message: str) -> bytes:
    """Spell an error as OpenAI's clients read it."""
    kind = status.phrase.replace(" ", "")
    return json.dumps({"error": {"message": message, "type": kind, "code": status.value}}).encode()


async def _answer(send: Send, refusal: Refusal) -> None:
    body = _error(refusal.status, refusal.message)
    length = (b"content-length", str(len(body)).encode())
    headers = [(b"content-type", b"application/json"), length, *refusal.headers]
    await send({"type": "http.response.start", "status": refusal.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
