"""Credentials leave the environment before vLLM is imported.

vLLM 0.13 to 0.28 hashes VLLM_API_KEY into its compile cache's key and writes it there in plain
text, and every child process inherits the environment. Removing a variable is not enough: the
kernel shows a process's first environment in /proc, and forked children share it. So the process
replaces itself, with a clean environment, and hands the key over in memory.
"""

import json
import os
import signal
import sys
from collections.abc import MutableMapping
from typing import NoReturn

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

_HANDED_OVER = "PREWARM_CREDENTIALS_FD"


def withdraw(environ: MutableMapping[str, str]) -> dict[str, str]:
    """Return the credentials (name -> text) and leave none in the environment.

    Where there are some, this process starts over without them and comes back here.
    """
    handed_over = environ.pop(_HANDED_OVER, "")
    if handed_over.isdigit():
        with os.fdopen(int(handed_over), "rb") as opened:
            return dict(json.loads(opened.read()))
    found = {name: environ.pop(name) for name in NAMES if name in environ}
    if found:
        start_over(found)
    return found


def start_over(found: dict[str, str]) -> NoReturn:
    """Replace this process by itself, with the environment as it is now.

    The credentials go over in anonymous memory, which no other process can open.
    """
    memory = os.memfd_create("credentials", 0)
    os.write(memory, json.dumps(found).encode())
    os.lseek(memory, 0, os.SEEK_SET)
    os.environ[_HANDED_OVER] = str(memory)
    # A SIGTERM in between waits until the new image has its handler again.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves, again
