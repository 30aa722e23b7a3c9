"""An image holds what serving needs, and a reader learns what it does not hold."""

import pytest

from stages.selection import missing, select


def kept(*paths: str, shards: frozenset[str] | None = None) -> tuple[str, ...]:
    """Select and give what is kept."""
    return select(paths, shards=shards).kept


@pytest.mark.parametrize(
    "path",
    [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "qwen.tiktoken",
        "chat_template.jinja",
        "chat_template.json",
        "additional_chat_templates/tool_use.jinja",
        "preprocessor_config.json",
        "model.safetensors.index.json",
        "LICENSE",
        "LICENSE.txt",
        "LICENCE.md",
        "NOTICE",
        "USE_POLICY.md",
        "Gemma_Terms.pdf",
        "COPYING",
    ],
)
def test_what_serving_needs_is_kept(path: str) -> None:
    """Configuration, tokenizer, chat template, licence and terms stay."""
    assert kept(path) == (path,)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("pytorch_model.bin", "pickle"),
        ("pytorch_model.bin.index.json", "pickle"),
        ("consolidated.00.pth", "pickle"),
        ("original/consolidated.00.pth", "pickle"),
        ("original/params.json", "original release"),
        ("model.gguf", "GGUF"),
        ("onnx/model.onnx", "ONNX"),
        ("onnx/config.json", "ONNX"),
        ("tf_model.h5", "TensorFlow"),
        ("flax_model.msgpack", "Flax"),
        ("modeling_evil.py", "never run"),
        ("licence.py", "never run"),
        (".gitattributes", "hidden"),
        (".cache/x.json", "hidden"),
        ("README.md", "not needed"),
        ("trainer_state.json", "record of training"),
        ("text_encoder/config.json", "in a folder"),
        ("1_Pooling/model.safetensors", "other weights"),
    ],
)
def test_everything_else_is_left_out_with_a_reason(path: str, reason: str) -> None:
    """Other formats, code and papers stay behind, each with its reason."""
    left = select([path], shards=None).left_out

    assert [one.path for one in left] == [path]
    assert reason in left[0].reason


def test_one_set_of_weights_is_kept() -> None:
    """The index decides; without one the single file does; else all files at the top."""
    both = ("consolidated.safetensors", "model.safetensors")
    shards = frozenset({"a-1.safetensors", "a-2.safetensors"})

    assert kept(*both) == ("model.safetensors",)
    assert kept(*both, *shards, shards=shards) == tuple(sorted(shards))
    assert kept("b.safetensors", "a.safetensors", "x/c.safetensors") == (
        "a.safetensors",
        "b.safetensors",
    )


@pytest.mark.parametrize(
    ("paths", "shards", "problem"),
    [
        (("model.safetensors",), None, "no config.json"),
        (("config.json", "pytorch_model.bin"), None, "no weights in safetensors"),
        (("config.json", "a.safetensors"), frozenset({"a.safetensors", "b.safetensors"}), "'b.saf"),
        (("config.json", "a.safetensors"), frozenset({"a.safetensors", "../b.bin"}), "'../b.bin'"),
    ],
)
def test_what_cannot_be_served_is_told(
    paths: tuple[str, ...], shards: frozenset[str] | None, problem: str
) -> None:
    """A configuration, safetensors weights, and every shard of the index must be there."""
    assert problem in (missing(select(paths, shards=shards), shards) or "")


def test_complete_model_lacks_nothing() -> None:
    """Configuration and weights are enough."""
    assert missing(select(["config.json", "model.safetensors"], shards=None), None) is None
