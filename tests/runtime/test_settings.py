"""Settings are read once, strictly, and complain together."""

from pathlib import Path

import pytest

from runtime import settings
from runtime.errors import RefusedError


def test_nothing_set_gives_the_documented_defaults() -> None:
    """An empty environment serves gemma-3-1b-it on port 8000 at level 1."""
    read = settings.parse({})

    assert read == settings.Settings()
    assert read.model_path == Path("/model-cache/models/google/gemma-3-1b-it")
    assert (read.port, read.compile_level, read.shutdown_timeout) == (8000, 1, 8)


def test_empty_text_counts_as_unset() -> None:
    """`docker run -e MAX_MODEL_LEN=` means the default."""
    assert settings.parse({"MAX_MODEL_LEN": "", "PORT": ""}) == settings.Settings()


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("MODEL_NAME", "org/name", "model_name", "org/name"),
        ("HF_HOME", "/data", "hf_home", Path("/data")),
        ("HOST", "127.0.0.1", "host", "127.0.0.1"),
        ("PORT", "9000", "port", 9000),
        ("MAX_MODEL_LEN", "4096", "max_model_len", 4096),
        ("DTYPE", "float32", "dtype", "float32"),
        ("VLLM_TORCH_COMPILE_LEVEL", "3", "compile_level", 3),
        ("MAX_NUM_SEQS", "16", "max_num_seqs", 16),
        ("GPU_MEMORY_UTILIZATION", "0.5", "gpu_memory_utilization", 0.5),
        ("SKIP_PREWARM", "1", "skip_prewarm", True),
        ("PREWARM_LENGTHS", "128, 7", "prewarm_lengths", (128, 7)),
        ("START_TIMEOUT", "300", "start_timeout", 300),
        ("PREWARM_TIMEOUT", "12.5", "prewarm_timeout", 12.5),
        ("SHUTDOWN_TIMEOUT", "0", "shutdown_timeout", 0),
        ("MAX_BODY_BYTES", "10", "max_body_bytes", 10),
        ("MAX_QUEUE", "11", "max_queue", 11),
        ("MAX_N", "12", "max_n", 12),
        ("ALLOW_ROUTES", "/tokenize,/x", "allow_routes", ("/tokenize", "/x")),
    ],
)
def test_every_setting_is_read(name: str, text: str, field: str, value: object) -> None:
    """Each name of the table reaches its field."""
    assert getattr(settings.parse({name: text}), field) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MODEL_NAME", "../../etc"),
        ("MODEL_NAME", "/abs/olute"),
        ("MODEL_NAME", "a/b/c"),
        ("HF_HOME", "relative"),
        ("PORT", "abc"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "8000.0"),
        ("MAX_MODEL_LEN", "-1"),
        ("MAX_MODEL_LEN", "4k"),
        ("MAX_MODEL_LEN", "\u0663"),
        ("DTYPE", "fp16"),
        ("VLLM_TORCH_COMPILE_LEVEL", "4"),
        ("GPU_MEMORY_UTILIZATION", "1.5"),
        ("GPU_MEMORY_UTILIZATION", "0"),
        ("GPU_MEMORY_UTILIZATION", "nan"),
        ("SKIP_PREWARM", "maybe"),
        ("PREWARM_LENGTHS", "1,x"),
        ("PREWARM_LENGTHS", "128,"),
        ("PREWARM_LENGTHS", "0"),
        ("START_TIMEOUT", "-1"),
        ("START_TIMEOUT", "inf"),
        ("START_TIMEOUT", "1e300"),
        ("PREWARM_TIMEOUT", "0"),
        ("SHUTDOWN_TIMEOUT", "soon"),
        ("MAX_BODY_BYTES", "32MB"),
        ("MAX_QUEUE", "0"),
        ("MAX_N", "0"),
        ("ALLOW_ROUTES", "tokenize"),
    ],
)
def test_bad_values_are_refused_by_name(name: str, text: str) -> None:
    """The message names the setting, the value seen and what was expected."""
    with pytest.raises(RefusedError) as refused:
        settings.parse({name: text})

    assert f"{name}={text!r}: expected " in str(refused.value)
    assert refused.value.exit_code == 2


def test_all_problems_come_in_one_message() -> None:
    """Three wrong settings need one start to be seen, not three."""
    with pytest.raises(RefusedError) as refused:
        settings.parse({"PORT": "abc", "MAX_MODEL_LEN": "-1", "PREWARM_LENGTHS": "1,x"})

    message = str(refused.value)
    assert len(refused.value.problems) == 3
    assert all(name in message for name in ("PORT=", "MAX_MODEL_LEN=", "PREWARM_LENGTHS="))


@pytest.mark.parametrize("text", [" \n", "k\x00y", "schl\u00fcssel"])
def test_a_key_that_no_client_can_send_is_refused_unseen(text: str) -> None:
    """HTTP headers carry printable ASCII; the message does not show what was set."""
    with pytest.raises(RefusedError) as refused:
        settings.parse({"VLLM_API_KEY": text})

    assert text not in str(refused.value)


def test_a_keys_line_end_is_no_part_of_it() -> None:
    """`echo key | base64` puts one into a Kubernetes Secret."""
    key = settings.parse({"VLLM_API_KEY": "canary\n"}).api_key

    assert key is not None
    assert key.reveal() == "canary"


def test_the_key_is_in_no_representation() -> None:
    """A settings object can be logged."""
    assert "canary" not in repr(settings.parse({"VLLM_API_KEY": "canary"}))
