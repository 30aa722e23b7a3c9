"""Notice the engine's death in every release.

vLLM's own watchdog looks every 5 s and, in 0.9.0, cannot see a killed engine process at all.
"""

import asyncio
import multiprocessing
from multiprocessing.process import BaseProcess

INTERVAL_SECONDS = 0.25


def processes() -> list[BaseProcess]:
    """Return the engine's processes: all that vLLM started from this one."""
    return list(multiprocessing.active_children())


async def death(watched: list[BaseProcess]) -> str:
    """Wait until one of the processes has ended and return which, with its exit code."""
    while watched:
        for process in watched:
            if not process.is_alive():
                return f"the engine process {process.name} ended with code {process.exitcode}"
        await asyncio.sleep(INTERVAL_SECONDS)
    never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    return await never
