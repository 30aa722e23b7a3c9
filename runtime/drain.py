"""The end of a service: nothing new comes in, what is in flight may finish, the rest is told.

One mechanism serves every release: 0.9.0 answers 500 to everything in flight at SIGTERM, later
releases accept new connections while they drain and cut a long stream without a word.
"""

import asyncio
import dataclasses
import os
import signal
import threading
from typing import Any

from runtime import signals

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
        self._limit = limit
        self._server: Any = None

    def watch_over(self, server: Any) -> None:
        """Answer SIGTERM and SIGINT from now on by draining `server`."""
        self._server = server
        server.config.timeout_graceful_shutdown = self._limit + _TEARDOWN_SECONDS
        loop = asyncio.get_running_loop()
        for stop in signals.STOPS:
            loop.add_signal_handler(stop, self._stop, stop)

    def _stop(self, number: signal.Signals) -> None:
        if self.begun:
            self._cut("the server is shutting down at once: it was told so twice")
            return
        signals.say(
            f"prewarm: {number.name}: no new connections, {len(self.flights)} in flight may"
            f" finish within {self._limit:g} s"
        )
        self.begun = True
        self._server.should_exit = True
        reason = "the server is shutting down: its time for open requests is over"
        asyncio.get_running_loop().call_later(self._limit, self._cut, reason)
        end_after(self._limit + _TEARDOWN_SECONDS, exit_code=0)

    def engine_died(self, reason: str, exit_code: int) -> None:
        """Tell every request in flight, then end the service with `exit_code`."""
        self._cut(reason)
        self._server.should_exit = True
        end_after(self._limit + _TEARDOWN_SECONDS, exit_code=exit_code)

    def _cut(self, reason: str) -> None:
        for flight in list(self.flights):
            flight.cut(reason)


def end_after(seconds: float, *, exit_code: int) -> None:
    """End this process in `seconds` whatever then still runs, unless it ends before."""

    def end() -> None:
        signals.end_children(grace=0)
        os._exit(exit_code)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
