"""The tool container: Python by digest, what the stages need by hash, and the stages themselves."""

from collections.abc import Sequence
from urllib.parse import urlsplit
from uuid import uuid4

import dagger
from dagger import dag

from prewarm.errors import refused
from prewarm.given import INDEX, LOCK, Given
from prewarm.pulled import pulled

PACKAGES = "/packages"
READERS = "/readers"
STAGES = "/stages"
PIP = (
    "python3 -m pip install --quiet --no-cache-dir --disable-pip-version-check "
    "--root-user-action ignore --no-deps --require-hashes"
)


def container(given: Given, *, only: Sequence[str] = ()) -> dagger.Container:
    """Give the container that runs a stage, with the lock at hand.

    Args:
        given: The constructor's arguments.
        only: The program's files; empty takes all of `stages`.
    """
    return ready(pulled(dag.container(), given.tool_image, given), given, only=only)


def ready(
    container: dagger.Container, given: Given, *, only: Sequence[str] = ()
) -> dagger.Container:
    """Add what a stage runs with to a container that has Python."""
    stages = given.stages.filter(include=list(only)) if only else given.stages
    return (
        container.with_mounted_directory(f"{STAGES}/stages", stages, read_only=True)
        .with_mounted_directory(PACKAGES, packages(given), read_only=True)
        .with_mounted_file(LOCK, given.lock_file)
        .with_env_variable("PYTHONPATH", f"{STAGES}:{PACKAGES}")
        .with_env_variable("PYTHONDONTWRITEBYTECODE", "1")
        .with_env_variable("PYTHONUNBUFFERED", "1")
    )


def packages(given: Given) -> dagger.Directory:
    """Install what the stages need: plain Python, so that any Python from 3.11 on can use it."""
    return _installed(given, given.tool_lock, PACKAGES)


def reading(container: dagger.Container, given: Given) -> dagger.Container:
    """Let a stage read tokenizers and chat templates where there is no vLLM to do it."""
    readers = _installed(given, given.smoke_lock, READERS)
    return container.with_mounted_directory(READERS, readers, read_only=True).with_env_variable(
        "PYTHONPATH", f"{STAGES}:{PACKAGES}:{READERS}"
    )


def pip(container: dagger.Container, given: Given) -> dagger.Container:
    """Tell pip where packages are; their hashes are known, so a plain address will do."""
    if not given.index:
        return container
    host = urlsplit(given.index).hostname or ""
    return (
        reaching(container, given.index_service, INDEX)
        .with_env_variable("PIP_INDEX_URL", given.index)
        .with_env_variable("PIP_TRUSTED_HOST", host)
    )


def _installed(given: Given, lock: dagger.File, folder: str) -> dagger.Directory:
    container = pip(pulled(dag.container(), given.tool_image, given), given)
    container = container.with_mounted_file("/packages.lock", lock)
    words = f"{PIP} --target {folder} --requirement /packages.lock"
    return container.with_exec(words.split()).directory(folder)


def stage(container: dagger.Container, *words: str, unconfined: bool = False) -> dagger.Container:
    """Run a stage's program.

    Args:
        container: As `container` or `ready` gives it.
        words: The verb and what it is asked.
        unconfined: Lets the program make a network of its own, which takes root's capabilities.
    """
    return container.with_exec(
        ["python3", "-P", "-m", "stages", *words], insecure_root_capabilities=unconfined
    )


def again(container: dagger.Container) -> dagger.Container:
    """Make what follows run each time: what it looks at or changes lies outside the engine."""
    return container.with_env_variable("PREWARM_RUN", uuid4().hex)


def reaching(
    container: dagger.Container, service: dagger.Service | None, name: str
) -> dagger.Container:
    """Let a container reach a service by name; without one it reaches what everybody does."""
    return container.with_service_binding(name, service) if service else container


async def finished(container: dagger.Container, doing: str) -> dagger.Container:
    """Wait until a container's programs have run.

    Raises:
        FunctionError: One of them failed, for the reason that it gave.
    """
    try:
        return await container.sync()
    except dagger.QueryError as error:
        raise refused(doing, error) from None
