"""scan: a thin image -> a report of the credentials in it, which there must not be."""

import dagger

from prewarm import tool
from prewarm.given import LAYOUT, LOCK, SCAN, Given


async def scan(
    given: Given, layout: dagger.Directory, *, token: dagger.Secret | None
) -> dagger.File:
    """Look for credentials: known shapes, and the token itself where one is given.

    Raises:
        FunctionError: There are some; the message does not show them.
    """
    container = tool.container(given).with_mounted_directory(LAYOUT, layout, read_only=True)
    words = ["scan", LAYOUT, "--lock", LOCK, "--out", SCAN]
    if token:
        container = container.with_secret_variable("HF_TOKEN", token)
        words += ["--secret-env", "HF_TOKEN"]
    return (await tool.finished(tool.stage(container, *words), "scanning the image")).file(SCAN)
