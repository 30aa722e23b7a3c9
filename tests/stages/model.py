"""A small model as a publisher lays it out, and what tests say about it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

NAME = "acme/tiny-it"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_canaryABCDEFGHIJKLMNOPQRSTUVWXYZ01"
OTHER_TOKEN = "hf_otherABCDEFGHIJKLMNOPQRSTUVWXYZ012"


def noise(count: int) -> bytes:
    """Give bytes without a pattern, the same each time."""
    return hashlib.shake_128(b"prewarm").digest(count)


def model_files() -> dict[str, bytes | Path]:
    """Give the files of a small model as a publisher lays them out, other formats included."""
    weights = noise(3 * 2**20 + 77)
    return {
        ".gitattributes": b"*.safetensors filter=lfs\n",
        "LICENSE": b"Terms of use.\n",
        "README.md": b"# Tiny\n",
        "USE_POLICY.md": b"Be kind.\n",
        "additional_chat_templates/tool.jinja": b"{{ tools }}",
        "chat_template.jinja": b"{{ messages }}",
        "config.json": b'{"architectures": ["Gemma3ForCausalLM"]}',
        "generation_config.json": b"{}",
        "model.safetensors": weights,
        "onnx/model.onnx": b"onnx",
        "original/consolidated.00.pth": b"pth",
        "pytorch_model.bin": b"pickle",
        "tokenizer.json": noise(300_000),
        "tokenizer_config.json": b'{"model_max_length": 4096}',
    }


@dataclass(frozen=True)
class Ended:
    """How a run of the command line ended."""

    code: int
    out: str
    err: str


def content(files: dict[str, bytes | Path], path: str) -> bytes:
    """Give the bytes of a file that is kept in memory."""
    source = files[path]
    assert isinstance(source, bytes)
    return source


def everything_below(*folders: Path) -> bytes:
    """Join names and bytes of every file, to look for what must be nowhere."""
    found = [path for folder in folders for path in folder.rglob("*")]
    return b"\0".join(
        str(path).encode() + b"\0" + (path.read_bytes() if path.is_file() else b"")
        for path in found
    )
