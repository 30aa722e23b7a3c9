"""What vLLM's releases cache, where, and under which key.

Beside runtime/vllm.py the one place that knows this. What can be asked of the installed release is
asked; rows say what was read in the sources, from which release to which.
"""

import dataclasses
import importlib
import inspect
import json
import re
from argparse import Namespace
from collections.abc import Callable, Mapping, MutableMapping
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

from runtime import signals, vllm_log
from runtime.report import redacted
from runtime.vllm import Row, Version

FOLDERS = {
    "vllm": "VLLM_CACHE_ROOT",
    "triton": "TRITON_CACHE_DIR",
    "inductor": "TORCHINDUCTOR_CACHE_DIR",
}
"""Folder of the kept cache -> the variable that leads its users there."""

FLASHINFER = "flashinfer"
"""Folder of the kept cache for kernels that FlashInfer has built; led nowhere, since its build
files hold the path, and images that ship kernels ship them where it looks."""

FACTORS = "cache_key_factors.json"
"""What the key of the graph beside it was made of."""

WRITES_FACTORS = Row((0, 12, 0), None, "compilation/backends.py: cache_key_factors.json")

MAX_NUM_SEQS_IN_KEY = Row((0, 29, 0), None, "config/scheduler.py: factors.append(max_num_seqs)")

CAPTURE_SIZES_IN_KEY = Row((0, 12, 0), None, "config/compilation.py: compute_hash opts out")
"""The sizes follow from MAX_NUM_SEQS where they are not given."""

KV_CACHE_BYTES_IN_KEY = Row((0, 12, 0), (0, 26, 0), "config/cache.py: compute_hash opts out")

CPU_LOSES_AOT = Row((0, 18, 0), None, "compilation/decorators.py: compiled_fn.finalize_loading")
"""The CPU build saves what it compiled ahead of time, and cannot load it again (measured on 0.32.0:
"'function' object has no attribute 'finalize_loading'"): only vLLM's own backend has that method,
and the CPU uses another. Without it inductor's own cache is used, and hit."""

COMPILED = frozenset({vllm_log.GRAPH_COMPILED, vllm_log.GRAPH_NOT_LOADED})
"""Moments of the engine's log that no start has whose graphs were all in the cache."""

_AHEAD_OF_TIME = "VLLM_USE_AOT_COMPILE"

_NOT_IN_KEY = frozenset(
    "allowed_local_media_path chat_template config_format disable_log_requests disable_log_stats"
    " download_dir enable_log_requests enable_prefix_caching enforce_eager gpu_memory_utilization"
    " hf_config_path hf_token limit_mm_per_prompt load_format logprobs_mode"
    " model_loader_extra_config num_gpu_blocks_override prefix_caching_hash_algo"
    " safetensors_load_strategy seed served_model_name skip_tokenizer_init tokenizer"
    " tokenizer_mode tokenizer_revision".split()
)
"""Arguments of the engine that no release compiles under: what is neither in the lists of the
releases up to 0.11.2, nor left in by those that opt out."""

_COMPARED_AS_SETTINGS = frozenset("dtype max_model_len max_num_seqs model".split())


class What(StrEnum):
    """What a cached file holds, as the verdict sees it."""

    GRAPH = "graph files"
    KERNEL = "Triton files"
    FLASHINFER = "FlashInfer files"
    OTHER = "other files"


def what(path: str) -> What:
    """Say what a file of the kept cache holds, by its path below the cache."""
    parts = PurePosixPath(path).parts
    if parts[0] == "triton" or "triton_cache" in parts:
        return What.KERNEL
    if "torch_aot_compile" in parts and "inductor_cache" in parts:
        return (
            What.OTHER
        )  # 0.25.1 writes 16 of these anew at each load; `model` beside is the graph
    if parts[0] == "inductor" or "torch_compile_cache" in parts:
        return What.GRAPH
    built = parts[0] == FLASHINFER and parts[-1].endswith((".so", ".o", ".cubin"))
    return What.FLASHINFER if built else What.OTHER


def flashinfer(environ: Mapping[str, str]) -> Path:
    """Return where FlashInfer builds its kernels."""
    base = environ.get("FLASHINFER_WORKSPACE_BASE")
    return (Path(base) if base else Path.home()) / ".cache" / "flashinfer"


def passing(path: str) -> bool:
    """Whether a file says nothing and is not worth keeping: locks, and what is written half."""
    parts = PurePosixPath(path).parts
    name = parts[-1]
    return (
        name.endswith((".lock", ".log", ".tmp"))
        or not {"locks", "dummy_cache", "startup_plan", "__pycache__"}.isdisjoint(parts)
        or any(part.startswith("tmp.") for part in parts)
        or bool(re.search(r"\.tmp[._]", name))
    )


def prepare(environ: MutableMapping[str, str], *, release: Version, cpu: bool) -> str:
    """Set what lets the release reuse its cache; return what there is to say of it, or ""."""
    if not cpu or not CPU_LOSES_AOT.covers(release) or _AHEAD_OF_TIME in environ:
        return ""
    environ[_AHEAD_OF_TIME] = "0"
    return (
        f"{_AHEAD_OF_TIME}=0 is set: this release's CPU build cannot load what it compiled ahead"
        " of time, and would compile again at every start"
    )


def asked(question: Callable[..., dict[str, str]], *about: Any) -> dict[str, str] | None:
    """Ask a release something that only the comparison of keys needs; None if it cannot answer."""
    try:
        return question(*about)
    except Exception as error:  # noqa: BLE001 - a release we never met must not fail a start for it
        signals.say(f"prewarm: compile cache: {question.__name__} cannot be asked: {error!r}")
        return None


def variables() -> dict[str, str]:
    """Ask the release which of its variables are in its key, and what they are now.

    Call it after the release is imported.
    """
    envs = importlib.import_module("vllm.envs")
    factors = getattr(envs, "compile_factors", None)
    if factors is not None:
        first, again = factors(), factors()
        # A name made up at each call is in no key twice.
        stable = [name for name in sorted(first) if first[name] == again[name]]
        return {name: _value(name, first[name]) for name in stable}
    # Up to the release before, a list inside the function names them.
    named = named_variables(inspect.getsource(envs.compute_hash))
    known = envs.environment_variables
    return {name: _value(name, known[name]()) for name in sorted(named & known.keys())}


def named_variables(source: str) -> set[str]:
    """Read the names of variables out of the function that hashes them."""
    return set(re.findall(r'"([A-Z][A-Z0-9_]+)"', source))


def arguments(parsed: Namespace, release: Version) -> dict[str, str]:
    """Return the engine's arguments that differ from the release's defaults and may be in its key.

    name -> value as text, secrets hidden; what our settings say is left to them.
    """
    ignored = _NOT_IN_KEY | _COMPARED_AS_SETTINGS
    if not KV_CACHE_BYTES_IN_KEY.covers(release):
        ignored |= {"kv_cache_memory_bytes"}
    defaults = importlib.import_module("vllm.engine.arg_utils").AsyncEngineArgs
    found = {}
    for field in dataclasses.fields(defaults):
        if field.name in ignored or not hasattr(parsed, field.name):
            continue
        text = _text(getattr(parsed, field.name))
        if text != _text(_default(field)):
            found[field.name] = _hidden(field.name, text)
    return found


def eager(parsed: Namespace) -> bool:
    """Whether an argument switches compilation off."""
    return bool(getattr(parsed, "enforce_eager", False))


def harmless(release: Version, *, level: int, cpu: bool) -> set[str]:
    """Name the facts of our key that are in none of this release's.

    Args:
        release: the installed one.
        level: of compilation; level 1 gives the capture sizes, other levels derive them.
        cpu: whether it is the CPU build, whose graphs inductor keeps by what is in them, under no
            key of the release (measured on 0.32.0).
    """
    if cpu:
        return {"compile_level", "max_model_len", "max_num_seqs", "model_path", "variables"}
    derived = level != 1 and CAPTURE_SIZES_IN_KEY.covers(release)
    return set() if derived or MAX_NUM_SEQS_IN_KEY.covers(release) else {"max_num_seqs"}


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _value(name: str, value: Any) -> str:
    return _hidden(name, _text(value))


def _hidden(name: str, text: str) -> str:
    """Hide a value that may be a secret: the key is published with the cache."""
    return redacted([f"--{name}={text}"])[0].partition("=")[2]


def _text(value: Any) -> str:
    """Spell a value in one way, without the addresses that a `repr` may hold."""
    return re.sub(r" at 0x[0-9a-f]+", "", json.dumps(value, default=repr, sort_keys=True))


def max_model_len(state: Any) -> int | None:
    """Return the length in tokens that the running engine serves, None where it does not say."""
    config = getattr(getattr(state, "vllm_config", None), "model_config", None)
    config = config or getattr(getattr(state, "engine_client", None), "model_config", None)
    return getattr(config, "max_model_len", None)


def kv_cache(state: Any) -> dict[str, int]:
    """Return the size of the KV cache: blocks, and tokens a block; empty where it is not known."""
    client = getattr(state, "engine_client", None)
    config = getattr(state, "vllm_config", None) or getattr(client, "vllm_config", None)
    found = getattr(config, "cache_config", None)
    names = ("num_gpu_blocks", "block_size")
    sizes = {name: getattr(found, name, None) for name in names}
    return {name: size for name, size in sizes.items() if isinstance(size, int)}
