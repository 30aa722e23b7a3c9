"""Arguments that move or bypass the gate never reach vLLM."""

import pytest

from runtime import arguments


@pytest.mark.parametrize(
    "given",
    [
        ["--port", "9000"],
        ["--port=9000"],
        ["--por", "9000"],
        ["--host=0.0.0.0"],
        ["--model", "x"],
        ["--mode", "x"],
        ["--api-key", "k"],
        ["--api_key", "k"],
        ["--api-ke=k"],
        ["--config", "file.yaml"],
        ["--conf=file.yaml"],
        ["--headless"],
        ["--hf-token", "hf"],
        ["--nnodes", "2"],
        ["-n", "2"],
        ["--grpc"],
        ["--uds", "socket"],
        ["--api-server-count", "2"],
        ["-asc", "2"],
        ["-asc=2"],
        ["-as", "2"],
        ["--data-parallel-size", "2"],
        ["--data_parallel_size=2"],
        ["-dp", "2"],
        ["--enforce-eager", "--port", "1"],
        ["google/gemma-3-4b-it"],
        ["--enforce-eager", "--", "x"],
    ],
    ids=" ".join,
)
def test_arguments_around_the_gate_are_refused(given: list[str]) -> None:
    """argparse takes abbreviations, underscores and `=`; each spelling is caught."""
    assert len(arguments.problems(given)) == 1


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["--enforce-eager"],
        ["--config-format", "hf"],
        ["--model-impl", "vllm"],
        ["--max-model-len", "-1"],
        ["-tp", "2"],
        ["-O3"],
        ["-ac", "{}"],
        ["--no-enable-prefix-caching"],
        ["--lora-modules", "a=b"],
    ],
    ids=" ".join,
)
def test_other_arguments_pass(given: list[str]) -> None:
    """A flag that merely begins like a forbidden one is vLLM's business."""
    assert arguments.problems(given) == []


def test_the_message_names_what_to_use_instead() -> None:
    """A refused flag points to its setting."""
    assert arguments.problems(["--port=1"]) == ["argument --port: set PORT"]
