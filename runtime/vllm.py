"""The one place that names vLLM's modules, flags, variables and versions, 0.9.0 to 0.33.0.

Whether a flag exists is asked of the installed release; what it means comes from the table, whose
rows are held against each release's own source by tests marked `releases`.
"""

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from runtime.errors import RefusedError
from runtime.settings import Settings

Version = tuple[int, int, int]

MIDDLEWARE = ("runtime.gate.WarmupGate", "runtime.guard.Guard")
"""Innermost first; vLLM adds them in order and the last added is the outermost."""

CAPTURE_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Level 1's CUDA graph sizes in tokens: short prefills keep a graph, few are captured."""

DEFAULT_MAX_LOGPROBS = 20

CPU_KV_CACHE_GIB = "2"
"""The CPU build refuses to start where its own default does not fit."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A capability and the releases that have it: [first, end), end None for "still"."""

    first: Version
    end: Version | None
    evidence: str

    def covers(self, release: Version) -> bool:
        """Whether `release` has the capability."""
        return self.first <= release and (self.end is None or release < self.end)


LOGS_PROMPTS = Row((0, 9, 0), (0, 10, 1), "arg_utils.py: disable_log_requests = False")
"""Logs every prompt unless told not to; later releases log them only on request."""

PLACES = {
    # name: the modules that hold it, newest first, each with its first release
    "run_server": (
        ("vllm.entrypoints.launchers.api_server.entry", (0, 29, 0)),
        ("vllm.entrypoints.openai.api_server", (0, 9, 0)),
    ),
    "make_arg_parser": (
        ("vllm.entrypoints.common.cli_args", (0, 33, 0)),
        ("vllm.entrypoints.launchers.cli_args", (0, 29, 0)),
        ("vllm.entrypoints.openai.cli_args", (0, 9, 0)),
    ),
    "FlexibleArgumentParser": (
        ("vllm.utils.argparse_utils", (0, 11, 1)),
        ("vllm.utils", (0, 9, 0)),
    ),
}

START_METHOD = "VLLM_WORKER_MULTIPROC_METHOD"

_COMPILES = re.compile(
    r"--(enforce[-_]eager|compilation[-_]config|optimization[-_]level|cuda-?graph[-_].*)(=.*)?"
    r"|-(O|cc)([0-9.=].*)?"
)


def problems(environ: Mapping[str, str]) -> list[str]:
    """Name each of vLLM's own variables that would bypass the gate."""
    if environ.get("VLLM_USE_RUST_FRONTEND", "0") not in {"", "0"}:
        return ["VLLM_USE_RUST_FRONTEND: only the Python server can be gated; unset it"]
    return []


def installed() -> str:
    """Return the installed release as its metadata spells it, such as "0.9.0" or "0.32.0+cpu".

    Raises:
        RefusedError: there is no vLLM in this environment.
    """
    try:
        return importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError as error:
        raise RefusedError(
            ["no vLLM is installed beside this runtime: start from a vLLM image"]
        ) from error


def parse_version(text: str) -> Version:
    """Read "0.11.2", "0.32.0+cpu" or "0.9.0rc1" as three numbers."""
    numbers = [int(number) for number in re.findall(r"\d+", text.partition("+")[0])[:3]]
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    return major, minor, patch


def is_cpu_build(release: str) -> bool:
    """Whether the release computes on the CPU."""
    return "cpu" in release.partition("+")[2]


def prepare(environ: MutableMapping[str, str], *, cpu: bool, level: int) -> None:
    """Set the variables that vLLM reads, and remove those that were never meant for it."""
    environ.setdefault("HF_HUB_OFFLINE", "1")
    environ["VLLM_NO_USAGE_STATS"] = environ["DO_NOT_TRACK"] = "1"
    environ.setdefault(START_METHOD, "spawn")
    if cpu:
        environ.setdefault("VLLM_CPU_KVCACHE_SPACE", CPU_KV_CACHE_GIB)
    if level == 0:
        # Eager vLLM still compiles parts of its sampler; that needs a C++ compiler on a CPU.
        environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    environ.pop("VLLM_TORCH_COMPILE_LEVEL", None)  # ours; vLLM warns of names it does not know
    if "://" in environ.get("VLLM_PORT", ""):
        del environ["VLLM_PORT"]  # Kubernetes writes it for a Service named "vllm"


def flags(settings: Settings, *, release: Version, dtype: str, cpu: bool) -> list[str]:
    """Spell the settings as flags of `release`."""
    found = ["--model", str(settings.model_path), "--served-model-name", settings.model_name]
    found += ["--port", str(settings.port), "--dtype", dtype]
    found += ["--host", settings.host] if settings.host else []
    for flag, value in (
        ("--max-model-len", settings.max_model_len),
        ("--max-num-seqs", settings.max_num_seqs),
        ("--gpu-memory-utilization", settings.gpu_memory_utilization),
    ):
        found += [flag, str(value)] if value is not None else []
    if settings.compile_level == 0:
        found.append("--enforce-eager")
    if settings.compile_level == 1 and not cpu:
        sizes = json.dumps({"cudagraph_capture_sizes": CAPTURE_SIZES})
        found += ["--compilation-config", sizes]
    if LOGS_PROMPTS.covers(release):
        found.append("--disable-log-requests")
    return found


def command_line(
    settings: Settings, extra: Sequence[str], *, release: Version, dtype: str, cpu: bool
) -> list[str]:
    """Return vLLM's whole command line: our flags, the user's, and our middleware outermost."""
    if any(_COMPILES.fullmatch(argument) for argument in extra):
        # The user's own compile flags replace the level's.
        settings = dataclasses.replace(settings, compile_level=2)
    line = flags(settings, release=release, dtype=dtype, cpu=cpu) + list(extra)
    for middleware in MIDDLEWARE:
        line += ["--middleware", middleware]
    return line


def find(name: str) -> Any:
    """Import `name` from the newest of its places that the installed release has."""
    for module, _ in PLACES[name]:
        parent = module.rpartition(".")[0]
        try:
            exists = importlib.util.find_spec(parent) and importlib.util.find_spec(module)
        except ModuleNotFoundError:
            exists = None
        if exists:
            return getattr(importlib.import_module(module), name)
    raise RefusedError([f"vLLM {installed()} has no {name} where this runtime looks for it"])


def parse(line: Sequence[str], settings: Settings) -> Namespace:
    """Let the installed release parse our command line, and check what it understood.

    Raises:
        RefusedError: a flag does not exist in this release, or an argument moved the server.
    """
    parser: ArgumentParser = find("make_arg_parser")(find("FlexibleArgumentParser")())
    unknown = [flag for flag in line if flag.startswith("--") and _unknown(flag, parser)]
    if unknown:
        raise RefusedError([f"vLLM {installed()} has no flag {flag}" for flag in unknown])
    arguments = parser.parse_args(list(line))
    expected: dict[str, set[object]] = {
        "api_key": {None},
        "api_server_count": {None, 0, 1},
        "config": {None, ""},
        "data_parallel_size": {1},
        "grpc": {False},
        "headless": {False},
        "host": {settings.host or None},
        "model": {str(settings.model_path)},
        "model_tag": {None},
        "port": {settings.port},
        "uds": {None},
    }
    moved = [
        f"the arguments set {name.replace('_', '-')}, which this image does not pass on"
        for name, values in expected.items()
        if getattr(arguments, name, None) not in values | {None}
    ]
    if tuple(arguments.middleware[-len(MIDDLEWARE) :]) != MIDDLEWARE:
        # A flag without its value has taken ours for it.
        moved = [f"the last argument lacks its value: {line[-2 * len(MIDDLEWARE) - 1]}"]
    if moved:
        raise RefusedError(moved)
    return arguments


def brings_template(arguments: Namespace) -> bool:
    """Whether an argument names a chat template."""
    return bool(getattr(arguments, "chat_template", None))


def trusts_request_templates(arguments: Namespace) -> bool:
    """Whether an argument lets requests bring their own chat template (0.11.0 on)."""
    return bool(getattr(arguments, "trust_request_chat_template", False))


def max_logprobs(arguments: Namespace) -> int:
    """Return how many log-probabilities a token a request may ask for; below 0 is no limit."""
    found = getattr(arguments, "max_logprobs", None)
    return DEFAULT_MAX_LOGPROBS if found is None else int(found)


def _unknown(flag: str, parser: ArgumentParser) -> bool:
    """Whether no option of the parser begins like `flag` (a prefix abbreviates)."""
    name = re.split(r"[=.]", flag, maxsplit=1)[0].replace("_", "-")
    known = parser._option_string_actions  # noqa: SLF001 - argparse has no public list
    return not any(option.replace("_", "-").startswith(name) for option in known)


def serve(arguments: Namespace) -> None:
    """Run the release's own server until it stops."""
    import uvloop  # noqa: PLC0415 - heavy, and only in vLLM's environment

    run_server = find("run_server")
    configure = getattr(importlib.import_module("vllm.logger"), "configure_logging_from_args", None)
    if configure is not None:
        configure(arguments)
    uvloop.run(run_server(arguments))


def load() -> None:
    """Import the release's server: most of a start's imports happen here."""
    find("run_server")


def uvicorn_server(state: Any, held_off: Sequence[Any]) -> Any:
    """Return the uvicorn server that serves us.

    Args:
        state: the application's state.
        held_off: signal handlers that were refused; uvicorn's is a method of the server.
    """
    if (server := getattr(state, "server", None)) is not None:
        return server
    owners = [getattr(handler, "__self__", None) for handler in held_off]
    return next((owner for owner in owners if hasattr(owner, "should_exit")), None)


def compatibility_libraries(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the image keeps NVIDIA's forward-compatibility libraries."""
    return Path(environ.get("VLLM_CUDA_COMPATIBILITY_PATH") or "/usr/local/cuda/compat")
