"""The compile cache that was given: checked, and what it holds."""

import dagger

from prewarm import tool
from prewarm.errors import FunctionError
from prewarm.given import COMPILE_CACHE, Given
from stages import compile_cache
from stages.errors import IntegrityError
from stages.lockfile import File


async def check(given: Given) -> None:
    """Hold every file of the cache against its list: what is cached is code that will run.

    Raises:
        FunctionError: A file is absent, differs, or is not listed.
    """
    if given.compile_cache is not None:
        container = tool.container(given).with_mounted_directory(
            COMPILE_CACHE, given.compile_cache, read_only=True
        )
        container = tool.stage(container, "verify", "--compile-cache", COMPILE_CACHE)
        await tool.finished(container, "checking the compile cache")


async def files(given: Given) -> tuple[File, ...]:
    """Give the files of the cache; none without one.

    Raises:
        FunctionError: The cache does not list them.
    """
    if given.compile_cache is None:
        return ()
    try:
        content = await given.compile_cache.file(compile_cache.FACTS).contents()
        return compile_cache.parse(content.encode())
    except (dagger.QueryError, IntegrityError) as error:
        raise FunctionError(f"reading the compile cache: {error}") from None
