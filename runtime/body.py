"""Request bodies: read whole, within bounds of size, time and memory, and given on unchanged."""

import asyncio
from functools import partial
from http import HTTPStatus

from runtime import bounds
from runtime.inprocess import Message, Receive
from runtime.refusal import CLOSE, RETRY, Refusal, RefusedRequestError

READ_SECONDS = 60.0
"""For a whole body to come; a client that sends slower than that holds no place."""

HELD_BODIES = 8
"""Bodies of the largest size that may be in memory unfinished, all requests together."""

_LARGE_BYTES = 1_000_000
"""From here on a body is judged beside the event loop."""


class ClientLeftError(Exception):
    """The client closed the connection before its request was whole."""


class Bodies:
    """Reads and judges the bodies of all requests."""

    def __init__(self, *, max_bytes: int, max_n: int, templates: bool) -> None:
        """Set the bounds.

        Args:
            max_bytes: of one body.
            max_n: sequences that one request may ask for.
            templates: whether a request may bring its own chat template.
        """
        self._max_bytes = max_bytes
        self._max_n = max_n
        self._templates = templates
        self._held = 0

    async def read(self, receive: Receive) -> bytes:
        """Return the whole body, judged.

        Raises:
            RefusedRequestError: it is too large, too slow, or asks for what is not given.
            ClientLeftError: it never came whole.
        """
        try:
            async with asyncio.timeout(READ_SECONDS):
                body = await self._whole(receive)
        except TimeoutError:
            message = f"the body did not come whole within {READ_SECONDS:g} s"
            raise RefusedRequestError(Refusal(HTTPStatus.REQUEST_TIMEOUT, message, CLOSE)) from None
        judge = partial(bounds.why_refused, body, most=self._max_n, templates=self._templates)
        why = await asyncio.to_thread(judge) if len(body) > _LARGE_BYTES else judge()
        if why:
            raise RefusedRequestError(Refusal(HTTPStatus.BAD_REQUEST, why))
        return body

    async def _whole(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size, more = 0, True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeftError
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                self._held += len(parts[-1])
                more = message.get("more_body", False)
                self._check(size)
        finally:
            self._held -= size
        return b"".join(parts)

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise RefusedRequestError(self.too_large())
        if self._held > HELD_BODIES * self._max_bytes:
            message = "too many bytes of unfinished requests: try again later"
            refusal = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, message, RETRY + CLOSE)
            raise RefusedRequestError(refusal)

    def too_large(self) -> Refusal:
        """Return the refusal of a body past MAX_BODY_BYTES."""
        message = f"the body is larger than {self._max_bytes} bytes (MAX_BODY_BYTES)"
        return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, CLOSE)


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives `body` first, then whatever `receive` gives."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
