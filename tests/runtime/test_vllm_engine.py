"""Where the engine's process may begin early, and with what."""

import pytest

from runtime import vllm_engine


@pytest.mark.parametrize(
    ("environ", "cpu", "ours"),
    [
        ({}, False, True),
        ({"VLLM_WORKER_MULTIPROC_METHOD": "fork"}, False, False),
        ({"VLLM_ENABLE_CUDA_COMPATIBILITY": "1"}, False, False),
        ({}, True, False),
        ({"LD_PRELOAD": "/lib/libiomp5.so"}, True, True),
    ],
)
def test_the_engine_begins_early_where_it_loads_the_same(
    environ: dict[str, str],
    cpu: bool,  # noqa: FBT001 - a column of the table
    ours: bool,  # noqa: FBT001
) -> None:
    """Not where somebody chose its start, nor where vLLM has it load other libraries."""
    assert vllm_engine.leaves_start_to_us(environ, cpu=cpu) is ours


def test_arguments_that_split_the_engine_or_name_a_tokenizer_are_known() -> None:
    """Then the early process makes no CUDA context, or reads no tokenizer."""
    assert vllm_engine.is_one_process(["--seed", "1"])
    assert not vllm_engine.is_one_process(["--tensor-parallel-size=2"])
    assert not vllm_engine.is_one_process(["-tp", "2"])
    assert vllm_engine.names_tokenizer(["--tokenizer", "other"])
    assert not vllm_engine.names_tokenizer(["--seed", "1"])
