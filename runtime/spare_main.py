"""The spare interpreter: imports what an engine needs, then does the work that it is given.

usage: python -P -m runtime.spare_main SOCKET MODULES, two numbers of open files
"""

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from runtime import vllm_order

MOST_FILES = 250
"""Open files that one message may carry; the kernel takes 253."""


def main(number: int, modules: int) -> None:
    """Import the modules, then do the work that comes through the socket."""
    with os.fdopen(modules) as told:
        asked = json.load(told)
    signal.signal(signal.SIGUSR1, lambda *_: settle(asked["record"]))
    with socket.socket(fileno=number) as parent:
        import_all(asked["modules"])
        if asked["device"]:
            with contextlib.suppress(Exception):  # the engine will say what is wrong with it
                _make_context()
        if asked["tokenizer"]:
            vllm_order.read_ahead(asked["tokenizer"])
        gave, files, _, _ = socket.recv_fds(parent, 1, MOST_FILES)
        if not gave:
            return  # nobody needed a process
        with parent.makefile("rb") as rest:
            environ = json.load(rest)
    os.environ.clear()
    os.environ.update(environ)
    sys.exit(_work(files))


def import_all(modules: Iterable[str]) -> None:
    """Import each module, passing over those that this machine cannot import."""
    gc.disable()  # a start makes much and drops little; `settle` switches it on again
    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    gc.freeze()  # vLLM collects twice before it is ready, and need not look at these


def settle(record: str) -> None:
    """Serve from now on; write down what has been imported where `record` names a file.

    Nothing is collected here, which would keep the first requests waiting.
    """
    gc.freeze()
    gc.enable()
    if record:
        part = Path(record).with_suffix(".part")
        part.write_text(json.dumps(imported()))
        part.rename(record)


def imported() -> list[str]:
    """Name the modules that were imported from files, in the order in which they began."""
    found = []
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if spec and spec.has_location and spec.name == name and not name.startswith("runtime."):
            found.append(name)
    return found


def _make_context() -> None:
    """Make the CUDA context, which takes as long here as in the engine, but beside imports."""
    torch = importlib.import_module("torch")
    torch.zeros(1, device="cuda")


def _work(files: list[int]) -> int:
    """Run the process that the parent pickled, as multiprocessing's own children do."""
    forkserver: Any = importlib.import_module("multiprocessing.forkserver")
    trackers: Any = importlib.import_module("multiprocessing.resource_tracker")
    # The third stays open as long as this process lives: its parent waits for the end of it.
    tracker, pipe, _life, *others = files
    trackers._resource_tracker._fd = tracker  # noqa: SLF001
    forkserver._forkserver._inherited_fds = others  # noqa: SLF001
    code: int = forkserver.spawn._main(pipe, os.dup(pipe))  # noqa: SLF001
    return code


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
