"""Credentials leave the environment before vLLM is imported.

vLLM 0.13 to 0.28 hashes VLLM_API_KEY into its compile cache's key and writes it there in plain
text, and every child process inherits the environment. Removing a variable is not enough: the
kernel shows a process's first environment in /proc, and forked children share it. So the process
replaces itself once, with a clean environment, and hands the key over through a pipe.
"""

import json
import os
import signal
import sys
from collections.abc import MutableMapping

NAMES = (
    "VLLM_API_KEY",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HUGGINGFACE_HUB_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "S3_SECRET_ACCESS_KEY",
)
"""What the server needs none of, but the key; nothing is looked up outside once it starts."""

_PIPE = "PREWARM_CREDENTIALS_FD"


def withdraw(environ: MutableMapping[str, str]) -> dict[str, str]:
    """Return the credentials (name -> text) and leave none in the environment.

    Where there are some, this process starts over without them and comes back here.
    """
    if pipe := environ.pop(_PIPE, ""):
        with os.fdopen(int(pipe), encoding="utf-8") as opened:
            return dict(json.load(opened))
    found = {name: environ.pop(name) for name in NAMES if name in environ}
    if found:
        _start_over(found)
    return found


def _start_over(found: dict[str, str]) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)  # noqa: FBT003 - the standard library's own signature
    with os.fdopen(writer, "w", encoding="utf-8") as opened:
        json.dump(found, opened)
    os.environ[_PIPE] = str(reader)
    # A SIGTERM in between waits until the new image has its handler again.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves, again
