"""serve and bake: the image itself, run."""

from collections.abc import Sequence

import dagger
from dagger import dag

from prewarm import image, tool
from prewarm.errors import FunctionError
from prewarm.given import Given
from prewarm.parts import Parts
from prewarm.pulled import pulled
from stages.smoke import launch

KEPT = "/tmp/compile-cache"  # noqa: S108 (where the image's user may write)


def variables(settings: Sequence[str]) -> list[tuple[str, str]]:
    """Read settings, before anything is fetched for them.

    Raises:
        FunctionError: One is not NAME=VALUE.
    """
    if wrong := [one for one in settings if not one.partition("=")[1]]:
        raise FunctionError(f"--settings: {wrong[0]!a} is not NAME=VALUE")
    return [(name, value) for name, _, value in (one.partition("=") for one in settings)]


async def service(
    given: Given,
    parts: Parts,
    *,
    gpu: bool,
    settings: Sequence[tuple[str, str]],
    key: dagger.Secret | None,
) -> dagger.Service:
    """Give the server: the image on the engine's GPUs, or its layers on vLLM's CPU build."""
    on = _gpus(given, parts) if gpu else pulled(dag.container(), given.cpu_base, given)
    container = await image.assemble(given, parts, on=on)
    # Compiling for the CPU takes a C++ compiler and minutes; a setting of the caller's goes before.
    for name, value in {**({} if gpu else launch.ON_THE_CPU), **dict(settings)}.items():
        container = container.with_env_variable(name, value)
    if key:
        container = container.with_secret_variable("VLLM_API_KEY", key)
    return container.as_service(use_entrypoint=True)


async def bake(given: Given, parts: Parts) -> dagger.Directory:
    """Start the image on a GPU until a start compiles nothing, and give what was compiled.

    Raises:
        FunctionError: The engine has no GPU, or the server did not become warm.
    """
    container = await image.assemble(given, parts, on=_gpus(given, parts))
    words = ["python3", "-P", "-m", "runtime", "bake", "--out", KEPT]
    done = tool.again(container).with_exec(words)
    return (await tool.finished(done, "baking the compile cache")).directory(KEPT)


def _gpus(given: Given, parts: Parts) -> dagger.Container:
    return image.base(given, parts.lock).experimental_with_all_gp_us()
