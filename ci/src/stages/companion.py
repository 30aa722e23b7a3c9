"""A task that lives exactly as long as the work it accompanies."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


async def accompanied(
    work: Callable[[], Awaitable[T]], *, by: Callable[[], Awaitable[None]]
) -> T | None:
    """Do `work` while `by` runs, and end `by` with it.

    Returns:
        What the work gives; None when `by` had it cancelled.

    Raises:
        Exception: What the work raises, not wrapped in a group as a plain task group would.
    """
    failure: Exception | None = None
    result: T | None = None
    async with anyio.create_task_group() as group:

        async def companion() -> None:
            await by()
            group.cancel_scope.cancel()

        group.start_soon(companion)
        try:
            result = await work()
        except Exception as error:  # noqa: BLE001 (raised again below)
            failure = error
        group.cancel_scope.cancel()
    if failure:
        raise failure
    return result
