"""How much a smoke test tries."""

import enum

import dagger


@dagger.enum_type
class Level(enum.Enum):
    """How much a smoke test tries; the report says what a level does not show."""

    STATIC = "static"
    """No server: lock, digests, safetensors headers, tokenizer, chat template, arguments."""

    CPU = "cpu"
    """The same weights and runtime on vLLM's CPU build, without any network."""

    GPU = "gpu"
    """The image itself on a GPU of the engine, without any network."""
