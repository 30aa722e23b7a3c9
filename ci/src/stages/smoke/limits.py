"""What a smoke test did not show. Decides only."""

from collections.abc import Iterator, Mapping

from stages.smoke.report import Image, Level, Versions


def limits(
    level: Level,
    *,
    image: Image | None,
    vllm: Versions,
    isolated: bool | None,
    device: str | None,
) -> Iterator[str]:
    """Name what follows from how it was tried.

    Args:
        level: How much was tried.
        image: Which image was named.
        vllm: The image's version of vLLM, and the one that answered.
        isolated: Whether the server had no network; None without a server.
        device: What answered, as the server calls it; None without a server.
    """
    if image is None:
        yield "which image this is: none was named"
    if level is Level.STATIC:
        yield "that the server starts and answers: none was started"
    if level is Level.CPU:
        yield "a GPU's kernels, CUDA graphs, memory and compile cache: the server ran on a CPU"
    if level is Level.GPU and device:
        yield f"other GPUs than {device}"
    if vllm.tested and vllm.image and vllm.tested != vllm.image:
        yield f"vLLM {vllm.image}, which the image holds: {vllm.tested} answered"
    if isolated is False:
        yield "that the server needs no network: it had one"


def served(
    changes: Mapping[str, str], env: Mapping[str, str], *, user: tuple[int, int] | None
) -> Iterator[str]:
    """Name what a server out of a tree had otherwise than a container.

    Args:
        changes: Settings over the image's.
        env: The image's.
        user: The image's user, if the server ran as another.
    """
    for name, value in changes.items():
        if env.get(name) != value:
            yield f"the image's own {name}: the server had {value!a}"
    if user:
        yield f"the image's user {user[0]}:{user[1]}: the server ran as another"
    yield "the image's base: the server ran on this machine's programs and libraries"
