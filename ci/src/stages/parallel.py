"""Several threads at one piece of work, which the first failure or a cancellation ends for all."""

from collections.abc import Callable, Sequence
from functools import partial

import anyio
from anyio.to_thread import run_sync

from stages.companion import accompanied
from stages.errors import StagesError, StoppedError
from stages.stop import Stop

Work = Callable[[], None]
GRACE = 0.5  # seconds that threads have to leave what they share once all must stop
_LOOK = 0.01  # seconds


async def together(works: Sequence[Work], *, stop: Stop) -> None:
    """Run each of the works in a thread of its own, all at once.

    When others fail, threads have GRACE to end, so that none opens a connection after its client
    has been closed. One that waits longer is abandoned; `stop` keeps it from doing any more.

    Raises:
        Exception: What failed first.
    """
    limiter = anyio.CapacityLimiter(len(works))
    run = partial(run_sync, abandon_on_cancel=True, limiter=limiter)
    busy = set[int]()
    ended = False

    async def threads() -> None:
        nonlocal ended
        async with anyio.create_task_group() as group:
            for number, work in enumerate(works):
                group.start_soon(run, _guarded(work, stop, number, busy))
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
    finally:
        with anyio.move_on_after(GRACE, shield=True):
            while busy:  # noqa: ASYNC110 (threads empty it, which may outlive this loop)
                await anyio.sleep(_LOOK)


def _guarded(work: Work, stop: Stop, number: int, busy: set[int]) -> Work:
    """Let the first failure stop all other threads, before anything waits for them."""

    def run() -> None:
        busy.add(number)
        try:
            work()
        except BaseException:
            stop.set()
            raise
        finally:
            busy.discard(number)

    return run


def _first(failures: ExceptionGroup[Exception]) -> Exception:
    """Choose the failure to report: a bug before all, then what stopped the others."""
    flat = list(failures.exceptions)
    for one in flat:
        if not isinstance(one, StagesError):
            return failures
    return next((one for one in flat if not isinstance(one, StoppedError)), flat[0])
