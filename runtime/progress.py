"""A line every 10 s while the server starts, from a process of its own.

The starting process is blocked in imports and in the engine's start, and a thread in it would be
one more reason not to fork the engine.
"""

import contextlib
import os
import select
import time

from runtime import helper, signals

INTERVAL_SECONDS = 10.0


class Progress:
    """Says how long the start has lasted and what it is doing."""

    def __init__(self, interval: float = INTERVAL_SECONDS) -> None:
        """Start the process; `interval` is in seconds."""
        self._reader, self._writer = os.pipe()
        self._parent = os.getpid()
        self._interval = interval
        self._pid = helper.fork(self._run)
        os.close(self._reader)

    def phase(self, text: str) -> None:
        """Name what the start is doing from now on."""
        with contextlib.suppress(OSError):  # nobody prints it: the start goes on
            os.write(self._writer, f"{text}\n".encode())

    def stop(self) -> None:
        """End the lines."""
        os.close(self._writer)
        helper.reap(self._pid)

    def _run(self) -> None:
        os.close(self._writer)
        started = time.monotonic()
        due = started + self._interval
        phase = "starting"
        while os.getppid() == self._parent:
            readable, _, _ = select.select([self._reader], [], [], max(0.0, due - time.monotonic()))
            if readable:
                told = os.read(self._reader, 4096).decode()
                if not told:
                    return
                phase = told.splitlines()[-1]
            else:
                due += self._interval
                signals.say(f"prewarm: {time.monotonic() - started:.0f} s: {phase}")
