"""A bound on a request's head and trailers, which no middleware ever sees growing.

uvicorn over httptools, which vLLM's images bring, reads a head of any size into memory
(CVE-2025-48956); over h11 it stops at 16 KiB by itself.
"""

from typing import Any

MAX_HEAD_BYTES = 65536


class HeadTooLargeError(Exception):
    """Raised inside the parser, which then answers 400 and closes the connection."""


class _BoundedHead:
    """Counts what the parser took for a head, and what it still holds back unparsed."""

    _fields_bytes = 0
    _unparsed_bytes = 0
    transport: Any
    send_400_response: Any

    def data_received(self, data: bytes) -> None:
        self._unparsed_bytes += len(data)
        super().data_received(data)  # type: ignore[misc]
        if self._unparsed_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    def on_message_begin(self) -> None:
        self._fields_bytes = 0
        super().on_message_begin()  # type: ignore[misc]

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)  # type: ignore[misc]

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)  # type: ignore[misc]

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        super().on_body(body)  # type: ignore[misc]

    def on_message_complete(self) -> None:
        self._unparsed_bytes = 0
        super().on_message_complete()  # type: ignore[misc]

    def _count(self, size: int) -> None:
        self._unparsed_bytes = 0
        self._fields_bytes += size
        if self._fields_bytes > MAX_HEAD_BYTES:
            raise HeadTooLargeError


def bound(protocol: type[Any]) -> type[Any]:
    """Return `protocol`, a uvicorn protocol over httptools, with a bounded head.

    Any other protocol is returned as it is.
    """
    if not hasattr(protocol, "on_headers_complete"):
        return protocol
    return type("BoundedHead", (_BoundedHead, protocol), {})
