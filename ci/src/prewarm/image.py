"""assemble-image: weights, compile cache and runtime over a base, as a container to run or export.

What the image is, `stages/image.py` says; the thin image that is published follows from it too.
"""

import dagger
from dagger import dag

from prewarm import cache, provenance
from prewarm.given import PLATFORM, Given
from prewarm.parts import Parts
from prewarm.pulled import pulled
from prewarm.tree import MODULES
from stages import image
from stages.image import Image, Kind, Layer
from stages.lockfile import Lock

# What stands for itself in a file's name, and for something else in Dagger's patterns.
_PLAIN = str.maketrans({sign: f"\\{sign}" for sign in "!*?["})


def base(given: Given, lock: Lock) -> dagger.Container:
    """Give the lock's base by digest, read where it lies; its layers stay there until they run."""
    place = given.base or lock.base.image
    container = dag.container(platform=PLATFORM)
    if given.base_password:
        container = container.with_registry_auth(place, given.base_username, given.base_password)
    return pulled(container, f"{place}@{lock.base.digest}", given)


async def assemble(given: Given, parts: Parts, *, on: dagger.Container) -> dagger.Container:
    """Put our layers on a base, those that change seldom first.

    Raises:
        FunctionError: The compile cache does not say what it holds.
    """
    described = image.describe(
        parts.lock, runtime=(), cache=await cache.files(given), provenance=provenance.read(given)
    )
    container = on
    for one in described.layers:
        container = _with_layer(container, one, given, parts.weights)
    return _with_settings(container, described)


def _with_layer(
    container: dagger.Container, one: Layer, given: Given, weights: dagger.Directory
) -> dagger.Container:
    """Add a layer. Without owner and permissions the files get second names and are not copied."""
    home = f"/{one.home}"
    if one.kind is Kind.RUNTIME:
        return container.with_directory(home, given.runtime, include=list(MODULES))
    if one.kind is Kind.CACHE and given.compile_cache is not None:
        # What is cached is code: it belongs to root, whoever made it.
        return container.with_directory(home, given.compile_cache, owner="0:0")
    paths = [entry.path.translate(_PLAIN) for entry in one.entries]
    return container.with_directory(home, weights, include=paths)


def _with_settings(container: dagger.Container, described: Image) -> dagger.Container:
    """Say how a container of the image starts, and what it says of itself."""
    for name, value in described.env.items():
        container = container.with_env_variable(name, value)
    for name, value in described.labels.items():
        container = container.with_label(name, value)
    for name, value in described.annotations.items():
        container = container.with_annotation(name, value)
    for port in described.ports:
        container = container.with_exposed_port(int(port.partition("/")[0]))
    health = described.health
    return (
        container.with_user(described.user)
        .with_workdir(described.working_dir)
        .with_entrypoint(list(described.entrypoint))
        .with_default_args(list(described.command))
        .with_docker_healthcheck(
            list(health.command),
            interval=f"{health.interval}s",
            timeout=f"{health.timeout}s",
            start_period=f"{health.start_period}s",
            retries=health.retries,
        )
    )
