"""Answers that the guard gives itself, in the form that OpenAI's clients read."""

import dataclasses
import json
from http import HTTPStatus

from runtime.inprocess import Send

Headers = tuple[tuple[bytes, bytes], ...]

CLOSE: Headers = ((b"connection", b"close"),)
RETRY: Headers = ((b"retry-after", b"1"),)
"""Seconds until the client may come back."""


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A status, a message that says what to do, and headers to go with them."""

    status: HTTPStatus
    message: str
    headers: Headers = ()

    def text(self) -> bytes:
        """Spell the refusal as OpenAI's API spells an error."""
        kind = self.status.phrase.replace(" ", "")
        error = {"message": self.message, "type": kind, "code": self.status.value}
        return json.dumps({"error": error}).encode()

    async def answer(self, send: Send) -> None:
        """Send it as a whole response."""
        body = self.text()
        length = (b"content-length", str(len(body)).encode())
        headers = [(b"content-type", b"application/json"), length, *self.headers]
        start = {"type": "http.response.start", "status": self.status.value, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body, "more_body": False})


class RefusedRequestError(Exception):
    """Carries a refusal out of the reading of a request."""

    def __init__(self, refusal: Refusal) -> None:
        """Carry `refusal`."""
        super().__init__(refusal.message)
        self.refusal = refusal
