"""The capability table of runtime/vllm.py, held against each release's own source."""

import re
from functools import cache
from pathlib import Path

import pytest

from runtime import vllm, vllm_cache, vllm_refused
from runtime.settings import Settings
from tests.support import wheels

RELEASES = (
    "0.9.0 0.9.2 0.10.0 0.10.1 0.10.2 0.11.0 0.11.1 0.11.2 0.12.0 0.13.0 0.14.0 0.15.0 0.16.0"
    " 0.17.0 0.17.1 0.18.0 0.19.0 0.20.0 0.22.0 0.23.0 0.24.0 0.25.1 0.26.0 0.27.0 0.28.0 0.29.0"
    " 0.30.0 0.31.0 0.32.0 0.33.0"
).split()
"""At least one release of each minor version, and both sides of each row's edges."""

pytestmark = [pytest.mark.releases, pytest.mark.timeout(120)]


@cache
def text(release: str, pattern: str) -> str:
    """Return the concatenated source of a release's files that match a glob."""
    files = sorted(wheels.package(release).glob(pattern))
    return "\n".join(file.read_text() for file in files)


def everything_that_parses(release: str) -> str:
    """Return the source of every file that defines command-line options."""
    places = ("engine/arg_utils.py", "entrypoints/openai/cli_args.py")
    newer = ("entrypoints/launchers/cli_args.py", "entrypoints/common/cli_args.py")
    return "\n".join(text(release, place) for place in (*places, *newer))


def has_flag(release: str, flag: str) -> bool:
    """Whether a flag is spelt out, or is a field of an options class that becomes one."""
    spelt = re.search(rf"""["']{flag}["']""", everything_that_parses(release))
    field = flag.removeprefix("--").replace("-", "_")
    return bool(
        spelt or re.search(rf"^    {field}: ", everything_that_parses(release), re.MULTILINE)
    )


@pytest.mark.parametrize("release", RELEASES)
def test_every_flag_that_we_pass_exists(release: str) -> None:
    """Whatever the settings, the release knows each flag of the command line."""
    full = Settings(host="h", max_model_len=1, max_num_seqs=1, gpu_memory_utilization=0.5)
    lines = [
        vllm.flags(settings, release=vllm.parse_version(release), dtype="auto", cpu=False)
        for settings in (full, Settings(compile_level=0), Settings(compile_level=2))
    ]
    flags = {flag for line in lines for flag in line if flag.startswith("--")}

    assert {flag for flag in flags | {"--middleware"} if not has_flag(release, flag)} == set()


@pytest.mark.parametrize("release", RELEASES)
def test_the_capture_sizes_are_an_option_of_the_compilation(release: str) -> None:
    """Level 1 sets cudagraph_capture_sizes, and nothing whose meaning changed with releases."""
    source = text(release, "config.py") + text(release, "config/compilation.py")

    assert re.search(
        r"^    cudagraph_capture_sizes: .*list\[int\]", source, re.MULTILINE | re.IGNORECASE
    )


@pytest.mark.parametrize("release", RELEASES)
def test_eager_means_no_compilation_and_no_graphs(release: str) -> None:
    """Level 0 is --enforce-eager, which every release documents as eager mode."""
    places = ("config.py", "config/__init__.py", "config/model.py")
    source = "\n".join(text(release, place) for place in places)

    assert re.search(r"enforce_eager: bool.*?eager", source, re.DOTALL)


@pytest.mark.parametrize("release", RELEASES)
def test_prompts_are_logged_by_default_where_the_row_says_so(release: str) -> None:
    """disable_log_requests = False is the default that logs every prompt."""
    logs = "disable_log_requests: bool = False" in text(release, "engine/arg_utils.py")

    assert vllm.LOGS_PROMPTS.covers(vllm.parse_version(release)) is logs


@pytest.mark.parametrize("release", RELEASES)
def test_the_server_can_be_found(release: str) -> None:
    """It is in the state, or uvicorn's own handler leads to it (NoSignalServer installs none)."""
    source = text(release, "entrypoints/launcher.py")
    source += text(release, "entrypoints/launchers/launcher.py")
    kept = "app.state.server = server" in source

    assert kept or "NoSignalServer" not in source


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("name", sorted(vllm.PLACES))
def test_each_name_is_found_where_we_look_first(name: str, release: str) -> None:
    """The first place that exists in a release is the one whose range it is, and has the name."""
    number = vllm.parse_version(release)
    found = [
        (module, first)
        for module, first in vllm.PLACES[name]
        if _module(release, module) is not None
    ]
    module, first = found[0]
    source = _module(release, module)

    assert source is not None
    assert first <= number
    assert re.search(
        rf"^\s*((async )?def |class |from .*import.*\b){name}\b", source.read_text(), re.MULTILINE
    )
    newer = [since for _, since in vllm.PLACES[name] if since > first]
    assert all(number < since for since in newer)


def _module(release: str, module: str) -> Path | None:
    base = wheels.package(release).joinpath(*module.split(".")[1:])
    files = (base.with_suffix(".py"), base / "__init__.py")
    return next((file for file in files if file.is_file()), None)


@pytest.mark.parametrize("release", RELEASES)
def test_variables_that_we_set_are_read(release: str) -> None:
    """And VLLM_TORCH_COMPILE_LEVEL, which is ours, is not."""
    source = text(release, "envs.py")

    for name in (
        "VLLM_API_KEY",
        "VLLM_CPU_KVCACHE_SPACE",
        "VLLM_NO_USAGE_STATS",
        "VLLM_WORKER_MULTIPROC_METHOD",
    ):
        assert f'"{name}"' in source
    assert "DO_NOT_TRACK" in source
    assert "VLLM_TORCH_COMPILE_LEVEL" not in source


def test_every_forbidden_flag_is_a_flag_of_some_release() -> None:
    """The list holds no invention, and every alias belongs to its flag."""
    for flag in vllm_refused.FORBIDDEN:
        assert any(has_flag(release, flag) for release in RELEASES) or flag == "--config", flag
    newest = everything_that_parses("0.33.0")
    for alias in vllm_refused.FORBIDDEN_SHORT:
        assert f'"{alias}"' in newest


@pytest.mark.parametrize("release", RELEASES)
def test_the_middleware_is_added_in_order_and_takes_classes(release: str) -> None:
    """What is added last is outermost, so the guard sees every request first."""
    places = ("entrypoints/openai/api_server.py", "entrypoints/serve/middleware/register.py")
    older = ("entrypoints/openai/server_utils.py", "entrypoints/launchers/app.py")
    source = "\n".join(text(release, place) for place in (*places, *older))

    assert re.search(r"for middleware in args\.middleware:", source)
    assert re.search(r"inspect\.isclass\(imported\):\s+app\.add_middleware\(imported\)", source)


def hashed(release: str, place: str) -> str:
    """Return the source of the methods in a file that decide which fields are in vLLM's key."""
    methods = re.findall(
        r"    def compute_hash\(.*?\n(?=    def |\Z)", text(release, place), re.DOTALL
    )
    return "".join(methods)


@pytest.mark.parametrize("release", RELEASES)
def test_rows_of_the_cache_key_are_the_releases_own(release: str) -> None:
    """A list of what is ignored means that all else is in the key."""
    number = vllm.parse_version(release)
    cached = hashed(release, "config/cache.py")
    ignores = "ignored_factors" in cached

    assert vllm_cache.KV_CACHE_BYTES_IN_KEY.covers(number) is (
        ignores and '"kv_cache_memory_bytes"' not in cached
    )
    assert vllm_cache.CAPTURE_SIZES_IN_KEY.covers(number) is (
        "ignored_factors" in hashed(release, "config/compilation.py")
    )
    assert vllm_cache.MAX_NUM_SEQS_IN_KEY.covers(number) is (
        "factors.append(self.max_num_seqs)" in hashed(release, "config/scheduler.py")
    )


@pytest.mark.parametrize("release", RELEASES)
def test_a_release_says_which_variables_are_in_its_key(release: str) -> None:
    """Either a function returns them, or one names them in its source."""
    source = text(release, "envs.py")
    if "def compile_factors() -> dict[str, object]:" in source:
        return
    function = re.search(r"^def compute_hash\(\).*?^    return", source, re.DOTALL | re.MULTILINE)

    assert function is not None
    named = vllm_cache.named_variables(function[0])
    assert {"VLLM_PP_LAYER_PARTITION", "VLLM_DP_SIZE"} <= named


@pytest.mark.parametrize("release", RELEASES)
def test_the_factors_are_written_beside_the_graph_where_the_row_says_so(release: str) -> None:
    """They tell why a graph was compiled."""
    writes = vllm_cache.FACTORS in text(release, "compilation/backends.py")

    assert vllm_cache.WRITES_FACTORS.covers(vllm.parse_version(release)) is writes


@pytest.mark.parametrize("release", RELEASES)
def test_the_cpu_loses_what_was_compiled_ahead_where_the_row_says_so(release: str) -> None:
    """The load calls a method that only vLLM's own backend has."""
    calls = "compiled_fn.finalize_loading(" in text(release, "compilation/decorators.py")

    assert vllm_cache.CPU_LOSES_AOT.covers(vllm.parse_version(release)) is calls


@pytest.mark.parametrize("release", RELEASES)
def test_the_log_says_when_a_graph_was_compiled(release: str) -> None:
    """The line is known in each release, so a compilation that writes nothing is seen."""
    source = text(release, "compilation/*.py")

    assert re.search(r'"(%s)?Compiling a graph for', source)
    assert re.search(r'"(%s)?Directly load the', source)


@pytest.mark.parametrize("release", RELEASES)
def test_the_caches_lie_where_the_variables_lead(release: str) -> None:
    """The release reads VLLM_CACHE_ROOT, and sets the others inside it when it compiles."""
    assert '"VLLM_CACHE_ROOT"' in text(release, "envs.py")
    source = text(release, "compilation/*.py")
    assert {"TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"} <= set(re.findall(r"[A-Z_]+", source))
