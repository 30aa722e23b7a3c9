"""What an image is made of, each part once it is known to be sound."""

from dataclasses import dataclass

import dagger

from prewarm import cache, download, tree
from prewarm import lock as locking
from prewarm.given import Given
from stages.lockfile import Lock


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Lock and weights, and the tree of all that is ours."""

    lock: Lock
    weights: dagger.Directory
    tree: dagger.Directory


async def ready(
    given: Given, *, token: dagger.Secret | None, weights: dagger.Directory | None
) -> Parts:
    """Fetch or check every part.

    Args:
        given: The constructor's arguments.
        token: The Hub's.
        weights: The model's files where they are at hand; None asks the Hub.

    Raises:
        FunctionError: A part cannot be had, or is not what the lock says.
    """
    lock = await locking.read(given)
    await cache.check(given)
    files = await download.ready(given, token=token, weights=weights)
    return Parts(lock=lock, weights=files, tree=tree.make(given, lock, files))
