"""A verb run in a process of its own.

Only for what a process as a whole must be: a network namespace belongs to a thread, and a user
namespace can be made by a process with one thread alone.
"""

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio

from stages.errors import SmokeError

SOURCES = Path(__file__).parents[1]  # the folder that holds this package


async def run(words: Sequence[str], environ: Mapping[str, str]) -> None:
    """Run `python -m stages WORDS`, whose output goes to standard error.

    Args:
        words: The verb and what it is asked.
        environ: All of its environment, but for where this package lies.

    Raises:
        SmokeError: It failed, and has said why.
    """
    async with await anyio.open_process(
        [sys.executable, "-P", "-m", "stages", *words],
        env={**environ, "PYTHONPATH": str(SOURCES)},
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        stderr=sys.stderr,
    ) as process:
        try:
            code = await process.wait()
        except BaseException:
            with anyio.CancelScope(shield=True):
                process.send_signal(signal.SIGTERM)
                await process.wait()
            raise
    if code:
        raise SmokeError(f"`{words[0]}` ended with exit code {code}: what it wrote says why")
