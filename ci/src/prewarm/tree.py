"""The tree: everything of ours that the image holds, where it will lie.

Dagger gives files a second name where a program would copy them, so the weights are on the disk
once; the `image` stage holds the tree against the lock, as it does with one that `rootfs` wrote.
"""

import dagger
from dagger import dag

from prewarm.given import Given
from stages.image import CACHE, RUNTIME
from stages.layer import MODELS
from stages.lockfile import Lock

MODULES = ("**/*.py",)


def make(given: Given, lock: Lock, weights: dagger.Directory) -> dagger.Directory:
    """Lay out weights, compile cache and runtime."""
    model = str(MODELS / lock.model.name)
    tree = dag.directory().with_directory(model, weights)
    if given.compile_cache is not None:
        tree = tree.with_directory(str(CACHE), given.compile_cache)
    return tree.with_directory(str(RUNTIME), given.runtime, include=list(MODULES))
