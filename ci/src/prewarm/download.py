"""download-weights: a lock -> the model's files, verified."""

import dagger
from dagger import dag

from prewarm import hub, program, tool
from prewarm.given import LOCK, WEIGHTS, Given

CACHE = "/cache"
VOLUME = "prewarm-weights"  # keeps bytes between runs, also those of a broken one
LOCKED = dagger.CacheSharingMode.LOCKED


async def ready(
    given: Given, *, token: dagger.Secret | None, weights: dagger.Directory | None
) -> dagger.Directory:
    """Fetch the model's files, or check those that are at hand.

    Raises:
        FunctionError: They cannot be had, or are not the lock's; the message says what to do.
    """
    if weights is not None:
        container, doing = _checked(given, weights), "checking the weights"
    else:
        container, doing = _downloaded(given, token), "downloading the weights"
    return (await tool.finished(container, doing)).directory(WEIGHTS)


def with_cache(container: dagger.Container) -> dagger.Container:
    """Add the volume that keeps a download's bytes between runs."""
    return container.with_mounted_cache(CACHE, dag.cache_volume(VOLUME), sharing=LOCKED)


def _downloaded(given: Given, token: dagger.Secret | None) -> dagger.Container:
    container = with_cache(tool.container(given, only=program.DOWNLOAD))
    container = hub.reaching(container, given, token)
    words = f"download --lock {LOCK} --cache {CACHE} --out {WEIGHTS} --progress plain"
    return tool.stage(container, *words.split())


def _checked(given: Given, weights: dagger.Directory) -> dagger.Container:
    """Hold the files against the lock; mounted to be written, so that they come out of the check.

    What comes out of a mount that is only read would not wait for the program.
    """
    container = tool.container(given).with_mounted_directory(WEIGHTS, weights)
    return tool.stage(container, "verify", "--lock", LOCK, "--weights", WEIGHTS)
