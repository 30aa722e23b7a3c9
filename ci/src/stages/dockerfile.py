"""What the Dockerfile has to be told: the facts of a lock that a Dockerfile cannot read by itself.

Its defaults are those of the committed lock. For another one `docker build` is given them as
build arguments, and a build whose arguments are not the lock's ends without an image.
"""

import os
import platform
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from stages.errors import UnsuitableError, UsageError
from stages.image import OURS, Provenance, describe, set_digest
from stages.lockfile import File, Lock

AMD64 = frozenset({"x86_64", "AMD64"})  # names of the one processor that bases are made for
_PACKAGES = frozenset({"dist-packages", "site-packages"})
_VLLM = re.compile(r"vllm(?:_cpu)?-(?P<version>[^-]+)\.dist-info")


def arguments(lock: Lock, cache: tuple[File, ...] = ()) -> dict[str, str]:
    """Give the build arguments of a lock and a compile cache: name -> value."""
    labels = describe(lock, runtime=(), cache=cache, provenance=Provenance()).labels
    given = {
        "BASE_NAME": lock.base.image,
        "BASE_DIGEST": lock.base.digest,
        "MODEL_NAME": lock.model.name,
        "MODEL_COMMIT": lock.model.commit,
        "WEIGHTS_DIGEST": set_digest(lock.model.files),
        "VLLM_VERSION": labels.get(f"{OURS}.vllm.version", ""),
    }
    if cache:
        given |= {"COMPILE_CACHE": "baked", "COMPILE_CACHE_DIGEST": set_digest(cache)}
    return given


def check(lock: Lock, cache: tuple[File, ...], given: Mapping[str, str]) -> None:
    """Hold what a build was given against its lock.

    Args:
        lock: What is packaged.
        cache: The compile cache's files; empty without one.
        given: Build arguments, as variables of the environment.

    Raises:
        UsageError: They differ, or this machine cannot do what is asked; lists every problem.
    """
    problems = [
        f"{name} is {given.get(name)!a}, the lock says {value!a}"
        for name, value in arguments(lock, cache).items()
        if given.get(name) != value
    ]
    if problems:
        advice = "Build with `docker build $(python -m stages dockerfile) ...`"
        raise UsageError(
            f"the build's arguments are another lock's: {'; '.join(problems)}. {advice}"
        )


def check_machine(smoke: str, machine: str) -> None:
    """Refuse a smoke test that this machine's processor cannot run.

    Raises:
        UnsuitableError: The image would have to run on another processor than it is made for.
    """
    if smoke == "cpu" and machine not in AMD64:
        raise UnsuitableError(
            f"SMOKE=cpu runs the image, which is for x86-64, and this machine is {machine}. "
            "Leave SMOKE out, or build on x86-64"
        )


def shown(smoke: str) -> str:
    """Say what a build's smoke test is about to show, and what it cannot."""
    if smoke == "cpu":
        return "cpu. The server starts on the CPU build of vLLM; a GPU has to show the rest"
    return (
        "static. Arguments, lock and base agree. Not shown: that the server starts and answers; "
        "--build-arg SMOKE=cpu shows it on the CPU, and a GPU has to show the rest"
    )


def machine() -> str:
    """Name this machine's processor."""
    return platform.machine()


def vllm_version(root: Path) -> str:
    """Find the release of vLLM in a base's file system, without running anything of it.

    Raises:
        UnsuitableError: There is none.
    """
    for packages in _packages(root):
        for path in packages.iterdir():
            if found := _VLLM.fullmatch(path.name):
                return found["version"]
    raise UnsuitableError(
        "the base holds no vLLM: no dist-packages or site-packages folder in it has a package of "
        "that name. Build on an image of vLLM's, such as docker.io/vllm/vllm-openai"
    )


def _packages(root: Path) -> Iterator[Path]:
    """Yield every folder of installed Python packages, without a look inside."""
    for folder, folders, _ in os.walk(root):
        yield from (Path(folder) / name for name in folders if name in _PACKAGES)
        folders[:] = [name for name in folders if name not in _PACKAGES | {"proc", "sys"}]
