"""The moments of the engine's start, taken from its log as it is written.

The engine is another process, spawned or forked. Each of them hangs a factory of log records
before its first line, so no handler or format of the release's is touched, and writes the moments
it sees into anonymous memory of this process.
"""

import json
import logging
import os
import sys
import time
from collections.abc import MutableMapping
from typing import Any

from runtime import vllm_log

VARIABLE = "PREWARM_ENGINE_LOG"


class EngineLog:
    """The moments of this process's engine, as they come in."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """Listen from now on, here and in every process that vLLM starts."""
        self._memory = os.memfd_create("engine-log")
        environ[VARIABLE] = f"/proc/{os.getpid()}/fd/{self._memory}"
        # A spawned process runs a main module of its parent's only where that is a plain file;
        # the package's is found by name, and passed over.
        sys.modules["__main__"].__spec__ = None
        listen()

    def moments(self, begun: float) -> list[dict[str, Any]]:
        """Return what has ended, in order.

        Args:
            begun: when the process started (time.monotonic()).

        Returns:
            {"ended": what, "at_s": seconds since `begun`, "took_s": as the log says, or None}.
        """
        size = os.fstat(self._memory).st_size
        lines = os.pread(self._memory, size, 0).decode().splitlines()
        found = sorted(json.loads(line) for line in lines)
        return [
            {"ended": name, "at_s": round(at - begun, 3), "took_s": took}
            for at, name, took in found
        ]


def listen() -> None:
    """Write down the moments that this process's log tells; without a listener, do nothing."""
    place = os.environ.get(VARIABLE)
    if not place:
        return
    try:
        memory = os.open(place, os.O_WRONLY | os.O_APPEND)
    except OSError:  # another user's process: the start goes on without its moments
        return
    make = logging.getLogRecordFactory()

    def record(*args: Any, **more: Any) -> logging.LogRecord:
        made = make(*args, **more)
        if vllm_log.speaks(made.name) and (seen := vllm_log.moment(made.getMessage())):
            os.write(memory, f"{json.dumps([time.monotonic(), *seen])}\n".encode())
        return made

    logging.setLogRecordFactory(record)
