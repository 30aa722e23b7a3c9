"""What is started: stock vLLM or ours, with which cache, environment and arguments."""

import dataclasses
import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from runtime.vllm import CAPTURE_SIZES

CACHES = ("empty", "kept", "baked")
SERVED = "m"
"""Name and folder of the model, the same for all: the model's path is in vLLM's cache key."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Variant:
    """One row of the table."""

    name: str
    stock: bool
    """vLLM's own server, or ours."""
    cache: str
    """empty: a new folder each time; kept: its own, filled before; baked: made by `bake`."""
    seed: str = ""
    """Whose last cache becomes the kept one, or "baked"; "" is an uncounted start of its own."""
    environ: Mapping[str, str] = dataclasses.field(default_factory=dict)
    arguments: tuple[str, ...] = ()


BUILT_IN = {
    variant.name: variant
    for variant in (
        Variant(name="stock-empty", stock=True, cache="empty"),
        Variant(name="stock-kept", stock=True, cache="kept", seed="stock-empty"),
        Variant(name="ours", stock=False, cache="baked"),
        Variant(name="ours-kept", stock=False, cache="kept", seed="ours-empty"),
        Variant(name="ours-empty", stock=False, cache="empty"),
        Variant(
            name="ours-at-level-2",  # has stock's own flags
            stock=False,
            cache="kept",
            seed="stock-empty",
            environ={"VLLM_TORCH_COMPILE_LEVEL": "2"},
        ),
        Variant(
            name="stock-at-level-1",  # has ours' own flags
            stock=True,
            cache="kept",
            seed="baked",
            arguments=(
                "--compilation-config",
                json.dumps({"cudagraph_capture_sizes": CAPTURE_SIZES}),
            ),
        ),
    )
}


def parse(text: str, known: Mapping[str, Variant]) -> Variant:
    """Read `NAME` or `NAME=BASE [KEY=VALUE ...] [-- ARGUMENT ...]`.

    Raises:
        ValueError: the base is not known.
    """
    name, equals, rest = text.partition("=")
    words = shlex.split(rest) if equals else [name]
    if words[0] not in known:
        raise ValueError(f"no variant {words[0]}: there are {', '.join(known)}")
    base = known[words[0]]
    cut = words.index("--") if "--" in words else len(words)
    environ = dict(word.split("=", 1) for word in words[1:cut])
    return dataclasses.replace(
        base,
        name=name,
        environ={**base.environ, **environ},
        arguments=(*base.arguments, *words[cut + 1 :]),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Served:
    """What every variant serves, and with what."""

    python: str
    home: Path
    """HF_HOME; holds models/m."""
    code: Path
    """This repository."""
    path: tuple[Path, ...]
    """More folders for PYTHONPATH."""
    baked: Path | None
    max_model_len: int
    dtype: str
    gpu_memory_utilization: str
    """Empty for vLLM's default."""


def command(variant: Variant, served: Served, port: int) -> list[str]:
    """Return the command line of a start."""
    if not variant.stock:
        return [served.python, "-P", "-m", "runtime", *variant.arguments]
    share = served.gpu_memory_utilization
    return [
        *(served.python, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(served.home / "models" / SERVED), "--served-model-name", SERVED),
        *("--port", str(port), "--max-model-len", str(served.max_model_len)),
        *("--dtype", served.dtype),
        *(("--gpu-memory-utilization", share) if share else ()),
        *variant.arguments,
    ]


def environ(variant: Variant, served: Served, port: int, cache: Path) -> dict[str, str]:
    """Return what a start finds in its environment."""
    folders = [*served.path, *(() if variant.stock else (served.code,))]
    common = {
        "PYTHONPATH": ":".join(map(str, folders)),
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    if variant.cache != "baked":
        common["VLLM_CACHE_ROOT"] = str(cache)
        common["TORCHINDUCTOR_CACHE_DIR"] = str(cache / "inductor")
        common["TRITON_CACHE_DIR"] = str(cache / "triton")
    if variant.stock:
        return {**common, **variant.environ}
    settings = {
        "HF_HOME": str(served.home),
        "MODEL_NAME": SERVED,
        "PORT": str(port),
        "MAX_MODEL_LEN": str(served.max_model_len),
        "DTYPE": served.dtype,
        "GPU_MEMORY_UTILIZATION": served.gpu_memory_utilization,
    }
    if variant.cache == "baked":
        settings |= {"PREWARM_COMPILE_CACHE": str(served.baked or "")}
        settings |= {"PREWARM_CACHE_ROOT": str(cache)}
    return {**common, **settings, **variant.environ}
