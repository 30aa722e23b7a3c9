"""Who answers SIGTERM and SIGINT while the server starts.

Before the port opens nothing is worth saving, so a stop ends the engine's processes and exits at
once. vLLM's launcher installs handlers of its own: one that raises KeyboardInterrupt somewhere
inside a half-started engine, and uvicorn's. Both are held off until the gate hands over to the
drain; what they were is kept, because uvicorn's handler belongs to the server that the gate needs.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from runtime import helper

STOPS = (signal.SIGTERM, signal.SIGINT)
_GRACE_SECONDS = 1.0

held_off: list[Any] = []
"""Handlers that others tried to install while ours stayed."""

_original = signal.signal
_owner = 0
_handler: Callable[[int, FrameType | None], Any] | None = None


def hold(handler: Callable[[int, FrameType | None], Any]) -> None:
    """Install `handler` for SIGTERM and SIGINT and keep it until `release`."""
    global _owner, _handler
    _owner, _handler = os.getpid(), handler
    for stop in STOPS:
        _original(stop, handler)
    signal.signal = _guarded  # type: ignore[assignment]


def release() -> None:
    """Let others install handlers again."""
    global _owner  # noqa: PLW0603
    _owner = 0


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
    """Write a line to the log from wherever we are, a signal handler included."""
    os.write(2, f"{line}\n".encode())
