"""The engine's process, begun with the server's own: both import vLLM at once, not in turn.

vLLM spawns its engine in a new interpreter after its own imports, and that interpreter imports the
same modules again, while the server waits. So an interpreter is started at the very beginning and
imports what an engine needs; when vLLM spawns, it is given the work. To vLLM it is a spawned
process like any other: nothing is forked that has threads or a CUDA context.
"""

import importlib
import io
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime import helper, signals

_READ_WHILE_LOADING = ("CUDA_", "LD_PRELOAD", "NVIDIA_", "OMP_", "PYTHON")
"""Beginnings of variables that libraries read once, when they are loaded.

Not those that packages set for themselves when they are imported, here as there: OpenCV adds to
LD_LIBRARY_PATH, scikit-learn sets KMP_INIT_AT_FORK.
"""

_ANSWER_SECONDS = 5.0


class Spare:
    """An interpreter that imports ahead and waits for work."""

    def __init__(
        self,
        modules: Sequence[str],
        environ: Mapping[str, str],
        *,
        device: bool = False,
        tokenizer: str = "",
        record: Path | None = None,
    ) -> None:
        """Start it.

        Args:
            modules: imported in order; those that cannot be are passed over.
            environ: its environment until it is given work.
            device: whether it shall also make a CUDA context.
            tokenizer: folder of the tokenizer that it shall read ahead; "" for none.
            record: the file that its modules go through, where `settle` shall return them.
        """
        self._socket, its = socket.socketpair()
        self._record = record
        self._taken = False
        self._loaded_by = _read_while_loading(environ)
        asked = os.memfd_create("modules", 0)
        told = {"modules": list(modules), "device": device, "tokenizer": tokenizer}
        told["record"] = str(record or "")
        os.write(asked, json.dumps(told).encode())
        os.lseek(asked, 0, os.SEEK_SET)
        numbers = [str(its.fileno()), str(asked)]
        command = [sys.executable, "-P", "-m", "runtime.spare_main", *numbers]

        def become() -> None:
            its.set_inheritable(True)
            os.execve(sys.executable, command, dict(environ))  # noqa: S606 - ourselves, again

        self.pid = helper.fork(become)
        its.close()
        os.close(asked)

    def unfit(self, environ: Mapping[str, str]) -> str:
        """Say why it cannot take work now, or "".

        It may have ended, or a variable have changed that its libraries have read already.
        """
        helper.collect()
        if self.pid not in helper.running:
            return "it has ended"
        now, then = _read_while_loading(environ), self._loaded_by
        changed = sorted(name for name in now | then if now.get(name) != then.get(name))
        return f"{', '.join(changed)} changed" if changed else ""

    def give(self, files: Sequence[int], environ: Mapping[str, str]) -> int:
        """Hand over the work's open files and environment; return the process's id.

        From here on it is a child like any other, and not ours to end.
        """
        helper.running.discard(self.pid)
        socket.send_fds(self._socket, [b"."], list(files))
        self._socket.sendall(json.dumps(dict(environ)).encode())
        self._socket.close()
        self._taken = True
        return self.pid

    def settle(self) -> list[str]:
        """Tell the engine that it has become that the start is over.

        Returns:
            What it has imported by now, in order, where that is recorded; else nothing.
        """
        if not self._taken:
            return []
        os.kill(self.pid, signal.SIGUSR1)
        if not self._record:
            return []
        deadline = time.monotonic() + _ANSWER_SECONDS
        while not self._record.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return list(json.loads(self._record.read_text())) if self._record.exists() else []

    def dismiss(self) -> None:
        """End it, unless it was given work."""
        self._socket.close()
        if self.pid in helper.running:
            helper.reap(self.pid)


def _read_while_loading(environ: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environ.items() if k.startswith(_READ_WHILE_LOADING)}


def offer(spare: Spare) -> None:
    """Let the next process that is spawned here be `spare`, if it fits then."""
    from multiprocessing import context, spawn  # noqa: PLC0415 - no start without vLLM needs it

    spawned: Any = context.SpawnProcess
    original = spawned._Popen  # noqa: SLF001 - multiprocessing has no public hook

    def popen(process: Any) -> Any:
        spawned._Popen = staticmethod(original)  # noqa: SLF001
        unfit = spare.unfit(os.environ)
        if os.fsdecode(spawn.get_executable() or b"") != sys.executable:
            unfit = "vLLM starts it by another program"
        if not unfit:
            return _popen_class()(process, spare)
        signals.say(f"prewarm: the engine's process is started anew: {unfit}")
        spare.dismiss()
        return original(process)

    spawned._Popen = staticmethod(popen)  # noqa: SLF001


def _popen_class() -> Any:
    """Return the class of what stands for a given-away process in its parent.

    The work is pickled and goes through a pipe, as spawn does it; open files go over the socket and
    are known by their number in that list, as forkserver does it.
    """
    multiprocessing: Any = importlib.import_module("multiprocessing.popen_forkserver")
    reduction: Any = importlib.import_module("multiprocessing.reduction")
    tracker: Any = importlib.import_module("multiprocessing.resource_tracker")
    spawn: Any = multiprocessing.spawn
    popen_fork: Any = multiprocessing.popen_fork

    class Popen(popen_fork.Popen):  # type: ignore[misc]
        method = "spawn"
        DupFd = multiprocessing._DupFd  # noqa: SLF001

        def __init__(self, process: Any, spare: Spare) -> None:
            self._files: list[int] = []
            self._spare = spare
            super().__init__(process)

        def duplicate_for_child(self, file: int) -> int:
            self._files.append(file)
            return len(self._files) - 1

        def _launch(self, process: Any) -> None:
            work = io.BytesIO()
            multiprocessing.set_spawning_popen(self)
            try:
                reduction.dump(spawn.get_preparation_data(process.name), work)
                reduction.dump(process, work)
            finally:
                multiprocessing.set_spawning_popen(None)
            self.sentinel, its_life = os.pipe()
            its_work, pipe = os.pipe()
            close = multiprocessing.util.close_fds
            self.finalizer = multiprocessing.util.Finalize(self, close, (self.sentinel, pipe))
            files = [tracker.getfd(), its_work, its_life, *self._files]
            self.pid = self._spare.give(files, os.environ)
            os.close(its_life)
            os.close(its_work)
            with os.fdopen(pipe, "wb", closefd=False) as opened:
                opened.write(work.getbuffer())

    return Popen
