"""Who answers SIGTERM and SIGINT: whom we say, not whoever comes last.

Before the port opens nothing is worth saving, so a stop ends the engine's processes and exits at
once. vLLM's launcher installs handlers of its own: one that raises KeyboardInterrupt somewhere
inside a half-started engine, and uvicorn's, which it also puts back when it ends. All are held off
for good; what they were is kept, because uvicorn's belongs to the server that the gate needs. The
drain's handler takes over when the port opens.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from runtime import helper

Handler = Callable[[int, FrameType | None], Any] | signal.Handlers

STOPS = (signal.SIGTERM, signal.SIGINT)
_GRACE_SECONDS = 1.0

held_off: list[Any] = []
"""Handlers that others tried to install while ours stayed."""

_original = signal.signal
_owner = 0
_handler: Handler = signal.SIG_DFL


def hold(handler: Handler) -> None:
    """Install `handler` for SIGTERM and SIGINT and keep it until the next `hold`."""
    global _owner, _handler
    _owner, _handler = os.getpid(), handler
    for stop in STOPS:
        _original(stop, handler)
    signal.signal = _guarded  # type: ignore[assignment]


def ignore() -> None:
    """Let no further SIGTERM or SIGINT change how this process ends."""
    hold(signal.SIG_IGN)


def _guarded(number: int, handler: Any) -> Any:
    if number in STOPS and os.getpid() == _owner:
        held_off.append(handler)
        return _handler
    return _original(number, handler)


def exit_at_once(number: int, _frame: FrameType | None) -> None:
    """End the engine's processes, then this one with 128 + the signal's number."""
    say(f"prewarm: {signal.Signals(number).name} before the port opened: stopping")
    end_children()
    os._exit(128 + number)


def end_children(grace: float = _GRACE_SECONDS) -> None:
    """Ask this process's children to end, and kill those that live on after `grace` seconds."""
    for pid in helper.running.copy():
        helper.reap(pid)
    multiprocessing = sys.modules.get("multiprocessing")
    children = multiprocessing.active_children() if multiprocessing else []
    for child in children:
        child.terminate()
    deadline = time.monotonic() + grace
    for child in children:
        child.join(max(0.0, deadline - time.monotonic()))
        if child.is_alive():
            child.kill()


def say(line: str) -> None:
    """Write a line to the log from wherever we are, a signal handler included.

    A log that nobody reads any more stops nothing.
    """
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode())
