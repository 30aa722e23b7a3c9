"""The thin image: an OCI layout with our blobs, whose base is referred to and not fetched."""

import dagger

from prewarm import credentials, provenance, tool
from prewarm.given import LAYOUT, LOCK, REGISTRY, TREE, Given


async def make(given: Given, tree: dagger.Directory, *, known: bool) -> dagger.Directory:
    """Make the layout of a tree.

    Args:
        given: The constructor's arguments.
        tree: What the image holds.
        known: Refers to the weight layers that the lock knows, which will do to look at an image
            and not to push it.

    Raises:
        FunctionError: The tree is not the lock's, or the base's manifest cannot be read.
    """
    container = reading(tool.container(given), given)
    container = container.with_mounted_directory(TREE, tree, read_only=True)
    words = ["image", "--lock", LOCK, "--rootfs", TREE, "--out", LAYOUT, *base(given)]
    words += [*provenance.words(given), *(["--known"] if known else [])]
    return (await tool.finished(tool.stage(container, *words), "making the image")).directory(
        LAYOUT
    )


def reading(container: dagger.Container, given: Given) -> dagger.Container:
    """Let a program read the base from its registry."""
    container = tool.reaching(container, given.registry_service, REGISTRY)
    return credentials.added(container, "BASE_REGISTRY", given.base_username, given.base_password)


def base(given: Given) -> list[str]:
    """Say where the base is read, if the lock is not to say it."""
    return ["--base", given.base] if given.base else []
