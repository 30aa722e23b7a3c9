"""A bound on a request's head, which no middleware ever sees growing.

uvicorn over httptools, which vLLM's images bring, reads a head of any size into memory
(CVE-2025-48956); over h11 it stops at 16 KiB by itself.
"""

from typing import Any

MAX_HEAD_BYTES = 65536
_ANSWER = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


def bound(protocol: type[Any]) -> type[Any]:
    """Return `protocol`, a uvicorn protocol over httptools, with a bounded head.

    Any other protocol is returned as it is.
    """
    if not hasattr(protocol, "on_headers_complete"):
        return protocol

    class BoundedHead(protocol):  # type: ignore[misc]
        """Counts the bytes of each head and closes the connection past the limit."""

        _in_head = True
        _head_bytes = 0

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if not self._in_head:
                return
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_ANSWER)
                self.transport.close()

        def on_message_begin(self) -> None:
            self._in_head, self._head_bytes = True, 0
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_head = False
            if sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
                # It came whole in one read; raised here, the parser answers 400 and closes.
                raise ValueError("the request's head is too large")
            super().on_headers_complete()

    return BoundedHead
