"""Several threads at one piece of work, which the first failure or a cancellation ends for all."""

from collections.abc import Callable, Sequence
from functools import partial

import anyio
from anyio.to_thread import run_sync

from stages.companion import accompanied
from stages.errors import StagesError, StoppedError
from stages.stop import Stop

Work = Callable[[], None]


async def together(works: Sequence[Work], *, stop: Stop) -> None:
    """Run each of the works in a thread of its own, all at once.

    Threads that wait when others fail are abandoned; `stop` keeps them from doing any more.

    Raises:
        Exception: What failed first.
    """
    limiter = anyio.CapacityLimiter(len(works))
    run = partial(run_sync, abandon_on_cancel=True, limiter=limiter)
    ended = False

    async def threads() -> None:
        nonlocal ended
        async with anyio.create_task_group() as group:
            for work in works:
                group.start_soon(run, _guarded(work, stop))
        ended = True

    async def stop_when_cancelled() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            if not ended:
                stop.set()

    try:
        await accompanied(threads, by=stop_when_cancelled)
    except ExceptionGroup as failures:
        raise _first(failures) from None


def _guarded(work: Work, stop: Stop) -> Work:
    """Let the first failure stop all other threads, before anything waits for them."""

    def run() -> None:
        try:
            work()
        except BaseException:
            stop.set()
            raise

    return run


def _first(failures: ExceptionGroup[Exception]) -> Exception:
    """Choose the failure to report: a bug before all, then what stopped the others."""
    flat = list(failures.exceptions)
    for one in flat:
        if not isinstance(one, StagesError):
            return failures
    return next((one for one in flat if not isinstance(one, StoppedError)), flat[0])
