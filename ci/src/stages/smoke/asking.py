"""The server under test as a client sees it: requests with a limit, answers read whole.

It is asked at the address that was given and nowhere else: redirects are answers like any other.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from stages.errors import UsageError
from stages.origin import DIRECT, Origin
from stages.secret import Secret
from stages.smoke.report import WrongError

# Seconds. A long prompt on two processor cores takes some; a server that hangs must not take all.
TIMEOUT = httpx.Timeout(connect=5.0, read=120.0, write=30.0, pool=5.0)
LONGEST_ANSWER = 180.0  # seconds to the last byte
LARGEST_ANSWER = 8 * 2**20  # bytes
Client = httpx.Client
EVENT = "data:"
LAST_EVENT = "[DONE]"
KEY = "Authorization"


class UnansweredError(WrongError):
    """Nothing listens at the address, so nothing else need be asked."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back: its status, its kind and its text."""

    status: int
    kind: str
    text: str

    def json(self) -> dict[str, Any]:
        """Read an object.

        Raises:
            WrongError: It is none.
        """
        try:
            value = json.loads(self.text)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise WrongError(f"expected a JSON object, got {brief(self.text)}")
        return value

    def events(self) -> Iterator[dict[str, Any]]:
        """Read server-sent events up to the last.

        Raises:
            WrongError: It is no stream, an event is no object, or the last one is missing.
        """
        if not self.kind.startswith("text/event-stream"):
            raise WrongError(f"expected text/event-stream, got {brief(self.kind)}")
        lines = [line for line in self.text.splitlines() if line]
        told = [line.removeprefix(EVENT).strip() for line in lines if line.startswith(EVENT)]
        if not told or told[-1] != LAST_EVENT:
            raise WrongError(f"the stream does not end with {LAST_EVENT}: {brief(self.text[-60:])}")
        for text in told[:-1]:
            yield Answer(status=self.status, kind="", text=text).json()


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server, and who asks it.

    Attributes:
        address: `http://HOST:PORT`, with no slash at its end.
        key: What every route but the probes' wants; None where none does.
    """

    client: httpx.Client = field(repr=False)
    address: str
    key: Secret | None = None

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask with GET; `headers` go over ours.

        Raises:
            UnansweredError: Nothing listens.
            WrongError: No whole answer came in time.
        """
        return self._ask("GET", path, None, headers or {})

    def post(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask with POST: an object as JSON, or bytes as they are; see `get`."""
        return self._ask("POST", path, body, headers or {})

    def hide(self, text: str) -> str:
        """Mask the key, should the server echo it."""
        return self.key.hide_in(text) if self.key else text

    def _ask(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> Answer:
        sent = {"Content-Type": "application/json"}
        if self.key:
            sent[KEY] = f"Bearer {self.key.reveal()}"
        sent |= headers
        content = body if isinstance(body, bytes) else None
        if content is None and body is not None:
            content = json.dumps(body).encode()
        try:
            with self.client.stream(
                method, f"{self.address}{path}", content=content, headers=sent
            ) as response:
                return Answer(
                    status=response.status_code,
                    kind=response.headers.get("content-type", ""),
                    text=_whole(response),
                )
        except httpx.ConnectError as error:
            raise UnansweredError(f"nothing answers at {self.address}: {error}") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            what = str(error) or type(error).__name__
            raise WrongError(f"no whole answer from {path}: {what}") from error


def open_client() -> httpx.Client:
    """Make the client: no redirects, loopback direct, one connection for each request.

    A connection of its own is what a first request has, and what a typical one should have too.
    """
    return httpx.Client(
        timeout=TIMEOUT,
        follow_redirects=False,
        limits=httpx.Limits(max_keepalive_connections=0),
        mounts=dict.fromkeys(DIRECT),
    )


def address(text: str, *, key: Secret | None) -> str:
    """Check the server's address.

    Raises:
        UsageError: It is none, or the key would travel in the clear.
    """
    try:
        origin = Origin.of(text)
    except ValueError as error:
        raise UsageError(f"URL: {error}; expected something like http://127.0.0.1:8000") from error
    parts = urlsplit(text)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError(f"URL has more than host and port; expected something like {origin}")
    if key and not origin.keeps_secrets:
        raise UsageError(
            f"URL is {origin}, where the key would travel in the clear: use https, or ask from "
            "the server's own network, as with nsenter"
        )
    return text.rstrip("/")


def brief(text: str) -> str:
    """Quote the beginning of a text."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")  # noqa: PLR2004


def _whole(response: httpx.Response) -> str:
    """Read an answer to its end, within bounds of time and size."""
    end = time.monotonic() + LONGEST_ANSWER
    content = bytearray()
    for piece in response.iter_bytes():
        content += piece
        if len(content) > LARGEST_ANSWER or time.monotonic() > end:
            raise WrongError(
                f"the answer went on past {len(content)} bytes or {LONGEST_ANSWER:.0f} s"
            )
    return content.decode(errors="replace")
