"""The end of a service: nothing new comes in, what is in flight may finish, the rest is told.

One mechanism serves every release: 0.9.0 answers 500 to everything in flight at SIGTERM, later
releases accept new connections while they drain and cut a long stream without a word.
"""

import asyncio
import contextlib
import dataclasses
import os
import signal
import threading
from types import FrameType
from typing import Any

from runtime import signals

UNWIND_SECONDS = 10.0
"""For a failed start to end the engine in order; then it is killed."""

_TEARDOWN_SECONDS = 0.8
"""For the engine to end after the last request; then it is killed."""


@dataclasses.dataclass(eq=False)
class Flight:
    """A request in flight, which can be cut."""

    deadline: asyncio.Timeout
    reason: str = ""
    """Why it was cut; empty while it was not."""

    def cut(self, reason: str) -> None:
        """End the request now; whoever holds the deadline tells the client why."""
        if not self.reason:
            self.reason = reason
            self.deadline.reschedule(asyncio.get_running_loop().time())


class Drain:
    """Counts the requests in flight and ends the service on a signal or when the engine dies."""

    def __init__(self, limit: float) -> None:
        """Allow `limit` seconds from the signal to the cut."""
        self.flights: set[Flight] = set()
        self.begun = False
        """Whether a signal has asked for the end."""
        self._limit = limit
        self._server: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def watch_over(self, server: Any) -> None:
        """Answer SIGTERM and SIGINT from now on by draining `server`, uvicorn's."""
        self._server = server
        self._loop = asyncio.get_running_loop()
        server.config.timeout_graceful_shutdown = self._limit + _TEARDOWN_SECONDS
        for stop in signals.STOPS:
            self._loop.remove_signal_handler(stop)
        signals.hold(self._signalled)

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        """Bound the end at once, even if the event loop is busy, then let the loop do it."""
        if not self.begun:
            end_after(self._limit + _TEARDOWN_SECONDS, exit_code=0)
        again, self.begun = self.begun, True
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            assert self._loop is not None  # noqa: S101 - watch_over came first
            self._loop.call_soon_threadsafe(self._stop, signal.Signals(number), again)

    def _stop(self, number: signal.Signals, again: bool) -> None:  # noqa: FBT001 - a callback
        if again:
            self.cut("the server is shutting down at once: it was told so twice")
            return
        self._server.should_exit = True
        reason = "the server is shutting down: its time for open requests is over"
        asyncio.get_running_loop().call_later(self._limit, self.cut, reason)
        signals.say(
            f"prewarm: {number.name}: no new connections, {len(self.flights)} in flight may"
            f" finish within {self._limit:g} s"
        )

    def engine_died(self, reason: str, exit_code: int) -> None:
        """Tell every request in flight, then end the service with `exit_code`."""
        self.cut(reason)
        self._server.should_exit = True
        end_after(self._limit + _TEARDOWN_SECONDS, exit_code=exit_code)

    def cut(self, reason: str) -> None:
        """End every request in flight and tell its client why."""
        for flight in list(self.flights):
            flight.cut(reason)


def end_after(seconds: float, *, exit_code: int) -> threading.Timer:
    """End this process in `seconds` whatever then still runs, unless it ends before.

    The timer that is returned can be cancelled.
    """

    def end() -> None:
        signals.end_children(grace=0)
        os._exit(exit_code)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    return timer
