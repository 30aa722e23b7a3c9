"""Small processes beside the start, forked before anything heavy or threaded is imported."""

import os
import signal
import time
from collections.abc import Callable

_WAIT_SECONDS = 2.0

running: set[int] = set()
"""Process ids of the helpers that were not reaped yet."""


def fork(work: Callable[[], None]) -> int:
    """Run `work` in a child process and return its id; the child never outlives `work`."""
    pid = os.fork()
    if pid:
        running.add(pid)
        return pid
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        work()
    finally:
        os._exit(0)


def reap(pid: int) -> None:
    """Collect an ended child; end it first if it still runs."""
    running.discard(pid)
    try:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _WAIT_SECONDS
        while os.waitpid(pid, os.WNOHANG) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.001)
    except (ChildProcessError, ProcessLookupError):
        return


def collect() -> None:
    """Collect the children that have ended by themselves, and leave the others be."""
    for pid in running.copy():
        try:
            ended = os.waitpid(pid, os.WNOHANG) != (0, 0)
        except ChildProcessError:  # somebody else has collected it
            ended = True
        if ended:
            running.discard(pid)
