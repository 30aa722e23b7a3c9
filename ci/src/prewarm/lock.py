"""The lock: read, to know what to do; and made anew."""

import dagger

from prewarm import hub, layout, tool
from prewarm.errors import FunctionError
from prewarm.given import WEIGHTS, Given
from stages import lockfile
from stages.errors import LockError
from stages.lockfile import Lock

OUT = "/out/model.lock.json"


async def read(given: Given) -> Lock:
    """Read and check the lock.

    Raises:
        FunctionError: It is not a sound lock.
    """
    try:
        return lockfile.parse(await given.lock_file.contents())
    except LockError as error:
        raise FunctionError(f"reading the lock: {error}") from None


async def make(
    given: Given,
    *,
    model: str,
    revision: str,
    base: str,
    token: dagger.Secret | None,
    weights: dagger.Directory | None,
) -> dagger.File:
    """Write down a model and a base; digests that the present lock knows are kept.

    Raises:
        FunctionError: One of them cannot be found, or not be read.
    """
    container = hub.reaching(tool.container(given), given, token)
    container = layout.reading(container, given)
    container = container.with_file(OUT, given.lock_file)
    words = ["lock", model, "--revision", revision, "--base", base, "--out", OUT]
    if weights is not None:
        container = container.with_mounted_directory(WEIGHTS, weights, read_only=True)
        words += ["--weights", WEIGHTS]
    container = tool.stage(tool.again(container), *words)
    return (await tool.finished(container, f"locking {model}")).file(OUT)
