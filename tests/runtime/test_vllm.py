"""Settings become flags and variables of the installed release."""

import json
from pathlib import Path

import pytest

from runtime import vllm
from runtime.errors import RefusedError
from runtime.settings import Settings

PLAIN = Settings(model_name="org/m", hf_home=Path("/h"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.9.0", (0, 9, 0)),
        ("0.32.0+cpu", (0, 32, 0)),
        ("0.10.1.1", (0, 10, 1)),
        ("0.9.0rc2", (0, 9, 0)),
        ("1", (1, 0, 0)),
    ],
)
def test_versions_are_read_as_three_numbers(text: str, expected: tuple[int, ...]) -> None:
    """Local and pre-release parts do not change a capability."""
    assert vllm.parse_version(text) == expected


@pytest.mark.parametrize(
    ("level", "cpu", "expected"),
    [
        (0, False, ["--enforce-eager"]),
        (0, True, ["--enforce-eager"]),
        (1, True, []),
        (2, False, []),
        (3, False, []),
    ],
)
def test_levels_become_flags(level: int, cpu: object, expected: list[str]) -> None:
    """VLLM_TORCH_COMPILE_LEVEL means nothing to vLLM itself; this is what we make of it."""
    settings = Settings(compile_level=level)
    found = vllm.flags(settings, release=(0, 25, 1), dtype="bfloat16", cpu=bool(cpu))

    assert found[found.index("bfloat16") + 1 :] == expected


def test_level_1_captures_few_graphs_up_to_512_tokens() -> None:
    """Ten sizes instead of 51, and short prefills still run from a graph."""
    found = vllm.flags(PLAIN, release=(0, 25, 1), dtype="bfloat16", cpu=False)
    sizes = json.loads(found[found.index("--compilation-config") + 1])["cudagraph_capture_sizes"]

    assert sizes == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def test_prompts_are_logged_in_no_release() -> None:
    """0.9 and 0.10.0 log every prompt unless told not to; later releases know no such default."""
    for release, told in (((0, 9, 0), True), ((0, 10, 0), True), ((0, 10, 1), False)):
        found = vllm.flags(PLAIN, release=release, dtype="bfloat16", cpu=False)
        assert ("--disable-log-requests" in found) is told


def test_the_command_line_ends_with_our_middleware() -> None:
    """What is added last is outermost: no middleware of the user's is before the guard."""
    line = vllm.command_line(
        PLAIN, ["--middleware", "mine.M"], release=(0, 25, 1), dtype="float32", cpu=False
    )

    assert line[:4] == ["--model", "/h/models/org/m", "--served-model-name", "org/m"]
    assert line[-6:] == [
        *("--middleware", "mine.M"),
        *("--middleware", "runtime.gate.WarmupGate"),
        *("--middleware", "runtime.guard.Guard"),
    ]


@pytest.mark.parametrize(
    "argument",
    ["--enforce-eager", "-O3", "-O.level=3", "-cc", "--compilation-config={}", "-O", "-cc.mode=0"],
)
def test_own_compile_flags_replace_the_level(argument: str) -> None:
    """A user who names the compilation knows better than the level."""
    line = vllm.command_line(PLAIN, [argument], release=(0, 25, 1), dtype="x", cpu=False)

    assert "cudagraph_capture_sizes" not in "".join(line)


def test_optional_settings_are_passed_when_set() -> None:
    """What is unset is vLLM's to choose."""
    settings = Settings(
        host="127.0.0.1", max_model_len=4096, max_num_seqs=16, gpu_memory_utilization=0.5
    )
    found = vllm.flags(settings, release=(0, 25, 1), dtype="auto", cpu=True)
    pairs = dict(zip(found[::2], found[1::2], strict=True))

    assert pairs["--host"] == "127.0.0.1"
    assert pairs["--max-model-len"] == "4096"
    assert pairs["--max-num-seqs"] == "16"
    assert pairs["--gpu-memory-utilization"] == "0.5"


def test_the_environment_is_prepared() -> None:
    """Offline, silent, and without the variable that Kubernetes writes for a Service "vllm"."""
    environ = {
        "VLLM_PORT": "tcp://10.0.0.1:8000",
        "VLLM_TORCH_COMPILE_LEVEL": "0",
        "HF_HUB_OFFLINE": "0",
    }
    vllm.prepare(environ, cpu=True, level=0)

    assert environ == {
        "HF_HUB_OFFLINE": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "TORCHDYNAMO_DISABLE": "1",
    }


def test_a_port_number_of_vllms_own_stays() -> None:
    """VLLM_PORT=5000 is a setting of vLLM's."""
    environ = {"VLLM_PORT": "5000"}
    vllm.prepare(environ, cpu=False, level=1)

    assert environ["VLLM_PORT"] == "5000"
    assert "TORCHDYNAMO_DISABLE" not in environ


def test_the_rust_front_end_is_refused() -> None:
    """It takes no middleware, so nothing would hold the port."""
    assert vllm.problems({"VLLM_USE_RUST_FRONTEND": "1"})
    assert not vllm.problems({"VLLM_USE_RUST_FRONTEND": "0"})


def test_without_vllm_the_message_says_so() -> None:
    """This environment has none."""
    with pytest.raises(RefusedError, match="no vLLM is installed"):
        vllm.installed()
    assert vllm.is_cpu_build("0.32.0+cpu")
    assert not vllm.is_cpu_build("0.9.0")
