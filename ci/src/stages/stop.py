"""Telling threads to stop, those that wait on a socket included."""

import contextlib
import socket
import threading
from collections.abc import Iterator

from stages.errors import StoppedError


class Stop:
    """A flag that threads look at, which also wakes them from waiting on the network."""

    def __init__(self) -> None:
        """Start unset."""
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()

    def set(self) -> None:
        """Stop all work: sleepers wake, and reads from watched sockets end."""
        self._event.set()
        with self._lock:
            for one in self._sockets:
                # The plain shutdown: TLS's own would wait for the other side.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(one, socket.SHUT_RDWR)

    def check(self) -> None:
        """Raise StoppedError if the work must stop."""
        if self._event.is_set():
            raise StoppedError("stopped")

    def sleep(self, seconds: float) -> None:
        """Wait, or raise StoppedError as soon as the work must stop."""
        self._event.wait(seconds)
        self.check()

    @contextlib.contextmanager
    def watching(self, one: socket.socket | None) -> Iterator[None]:
        """Let `set` end reads from this socket; None where a transport has no socket."""
        if one is None:
            yield
            return
        with self._lock:
            self._sockets.add(one)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._sockets.discard(one)
