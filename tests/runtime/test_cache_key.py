"""A start's key is held against the cache's, with a reason for each difference."""

from typing import Any

import pytest

from runtime.cache_key import differences

BAKED: dict[str, Any] = {
    "vllm": "0.25.1",
    "device": "NVIDIA H100 80GB HBM3",
    "base_digest": "sha256:aa",
    "dtype": "bfloat16",
    "max_model_len": 4096,
    "max_num_seqs": None,
    "model_path": "/model-cache/models/a",
    "arguments": {"max_num_batched_tokens": "2048"},
    "variables": {"VLLM_USAGE_SOURCE": '"production"'},
}


def test_the_same_key_has_no_differences() -> None:
    """Then a HIT is expected."""
    assert differences(BAKED, dict(BAKED)) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"max_model_len": 8192}, ["max_model_len 8192 != 4096"]),
        ({"dtype": "float32"}, ["dtype float32 != bfloat16"]),
        ({"device": "NVIDIA L4"}, ["device NVIDIA L4 != NVIDIA H100 80GB HBM3"]),
        ({"model_path": "/m"}, ["model_path /m != /model-cache/models/a"]),
        ({"max_num_seqs": 16}, ["max_num_seqs 16 != unset"]),
        ({"arguments": {}}, ["max_num_batched_tokens unset != 2048"]),
        (
            {"variables": {"VLLM_USAGE_SOURCE": '"x"', "VLLM_NEW": "1"}},
            ["VLLM_NEW 1 != unset", 'VLLM_USAGE_SOURCE "x" != "production"'],
        ),
        ({"base_digest": ""}, []),
        ({"base_digest": "sha256:bb"}, ["base_digest sha256:bb != sha256:aa"]),
        ({"new_fact": 1}, []),
        ({"variables": None}, ["variables cannot be compared"]),
        (
            {"dtype": "float32", "max_model_len": 1},
            ["dtype float32 != bfloat16", "max_model_len 1 != 4096"],
        ),
    ],
)
def test_each_difference_is_a_reason(change: dict[str, Any], told: list[str]) -> None:
    """This start's value first; a fact that one side does not know is not compared."""
    assert differences(BAKED, BAKED | change) == told


def test_facts_can_be_left_out_or_singled_out() -> None:
    """What is in no key of a release is told apart from what is."""
    now = BAKED | {"max_num_seqs": 16, "dtype": "float32"}

    assert differences(BAKED, now, leave={"max_num_seqs"}) == ["dtype float32 != bfloat16"]
    assert differences(BAKED, now, only={"max_num_seqs"}) == ["max_num_seqs 16 != unset"]


def test_a_secret_is_not_told() -> None:
    """A variable whose name says that it is one is named without its value."""
    now = BAKED | {"variables": {"VLLM_SOME_API_KEY": "canary"}}

    told = differences(BAKED | {"variables": {}}, now)

    assert told == ["VLLM_SOME_API_KEY *** != ***"]
