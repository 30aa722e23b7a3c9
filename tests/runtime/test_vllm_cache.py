"""What is known of the releases' caches, as far as no release need be installed."""

import pytest

from runtime import vllm_cache
from runtime.vllm_cache import What


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("vllm/torch_compile_cache/torch_aot_compile/ab/rank_0_0/model", What.GRAPH),
        ("vllm/torch_compile_cache/ab/rank_0_0/backbone/vllm_compile_cache.py", What.GRAPH),
        ("vllm/torch_compile_cache/ab/rank_0_0/triton_cache/X/k.cubin", What.KERNEL),
        ("triton/X/k.json", What.KERNEL),
        ("inductor/ab/x.py", What.GRAPH),
        ("flashinfer/0.6.13/90a/cached_ops/x.so", What.FLASHINFER),
        ("flashinfer/0.6.13/90a/cached_ops/.ninja_log", What.OTHER),
        ("vllm/modelinfos/x.json", What.OTHER),
    ],
)
def test_a_path_says_what_a_file_holds(path: str, expected: What) -> None:
    """Kernels that vLLM keeps among its graphs are kernels."""
    assert vllm_cache.what(path) is expected


@pytest.mark.parametrize(
    ("path", "passes"),
    [
        ("inductor/locks/x", True),
        ("triton/X/k.lock", True),
        ("triton/X/tmp.pid_1_ab/k.ttir", True),
        ("triton/X/tmp.pid_1_ab", True),
        ("inductor/ab/.x.tmp", True),
        ("inductor/ab/x.tmp.12", True),
        ("inductor/ab/__pycache__/x.pyc", True),
        ("vllm/dummy_cache/x", True),
        ("flashinfer/0.6.13/90a/flashinfer_jit.log", True),
        ("flashinfer/0.6.13/90a/cached_ops/.ninja_log", False),
        ("triton/X/k.cubin", False),
        ("inductor/ab/x.py", False),
    ],
)
def test_locks_and_halves_are_passed_over(path: str, passes: object) -> None:
    """They are neither kept nor a sign that something was compiled."""
    assert vllm_cache.passing(path) is bool(passes)


@pytest.mark.parametrize(
    ("release", "cpu", "given", "expected"),
    [
        ((0, 32, 0), True, {}, {"VLLM_USE_AOT_COMPILE": "0"}),
        ((0, 32, 0), True, {"VLLM_USE_AOT_COMPILE": "1"}, {"VLLM_USE_AOT_COMPILE": "1"}),
        ((0, 17, 1), True, {}, {}),
        ((0, 25, 1), False, {}, {}),
    ],
)
def test_the_cpu_build_is_made_to_reuse(
    release: tuple[int, int, int], cpu: object, given: dict[str, str], expected: dict[str, str]
) -> None:
    """And it is said; a user's own choice stays."""
    said = vllm_cache.prepare(given, release=release, cpu=bool(cpu))

    assert given == expected
    assert bool(said) is (given == {"VLLM_USE_AOT_COMPILE": "0"})


@pytest.mark.parametrize(
    ("release", "level", "cpu", "expected"),
    [
        ((0, 9, 0), 2, False, {"max_num_seqs"}),
        ((0, 25, 1), 1, False, {"max_num_seqs"}),
        ((0, 25, 1), 2, False, set()),
        ((0, 29, 0), 1, False, set()),
        (
            (0, 32, 0),
            1,
            True,
            {"compile_level", "max_model_len", "max_num_seqs", "model_path", "variables"},
        ),
    ],
)
def test_what_is_in_no_key_depends_on_the_release(
    release: tuple[int, int, int], level: int, cpu: object, expected: set[str]
) -> None:
    """The number of sequences is in the key from 0.29.0 on, or by the sizes that follow from it."""
    assert vllm_cache.harmless(release, level=level, cpu=bool(cpu)) == expected


def test_a_release_that_cannot_answer_fails_no_start(capfd: pytest.CaptureFixture[str]) -> None:
    """What is asked is needed for the comparison alone; the log says that it was in vain."""

    def answer(number: int) -> dict[str, str]:
        return {"VLLM_A": str(1 // number)}

    assert vllm_cache.asked(answer, 1) == {"VLLM_A": "1"}
    assert vllm_cache.asked(answer, 0) is None
    assert "answer cannot be asked: ZeroDivisionError" in capfd.readouterr().err


def test_the_names_in_a_list_are_read_out_of_its_function() -> None:
    """Up to 0.11.2 a release names what it hashes inside the function."""
    source = 'def compute_hash():\n    for name in ["VLLM_A", "VLLM_B_2"]:\n        "None"\n'

    assert vllm_cache.named_variables(source) == {"VLLM_A", "VLLM_B_2"}
