"""What the model folder says, read before anything heavy is imported."""

import dataclasses
import json
from pathlib import Path
from typing import Any

_HEADER_LENGTH_BYTES = 8
_HEADER_LIMIT_BYTES = 100_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """The facts that the warm-up plan and the prefetch need."""

    weights: tuple[Path, ...]
    """The safetensors files, in name order."""
    vocabulary: int
    """Number of token ids."""
    has_chat_template: bool


def problems(folder: Path) -> list[str]:
    """Name what keeps `folder` from being served: missing files, weights cut short."""
    if not folder.is_dir():
        return [
            (
                f"no model folder at {folder} ($HF_HOME/models/$MODEL_NAME):"
                " mount the model there, or set HF_HOME and MODEL_NAME"
            )
        ]
    if not (folder / "config.json").is_file():
        return [f"no config.json in {folder}: this is not a model in the Hugging Face layout"]
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        return [f"no safetensors file in {folder}: other weight formats are not served"]
    found = [problem for file in weights if (problem := _cut_short(file))]
    try:
        read(folder)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        found.append(f"the configuration in {folder} cannot be read: {error}")
    return found


def _cut_short(file: Path) -> str | None:
    """Compare a safetensors file's size with what its header promises.

    See https://huggingface.co/docs/safetensors/index#format
    """
    seen = 0
    try:
        seen = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(_HEADER_LENGTH_BYTES), "little")
            header = json.loads(opened.read(min(length, _HEADER_LIMIT_BYTES)))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name[:1] != "_"]
    except OSError as error:
        return f"{file} cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{file} ({seen} bytes) is no safetensors file: its header cannot be read"
    expected = _HEADER_LENGTH_BYTES + length + max(ends, default=0)
    if seen == expected:
        return None
    return f"{file} holds {seen} bytes, its header promises {expected}: download it again"


def read(folder: Path) -> Model:
    """Read the facts of a folder in which `problems` found none."""
    config = json.loads((folder / "config.json").read_text())
    text = config.get("text_config", config)
    return Model(
        weights=tuple(sorted(folder.glob("*.safetensors"))),
        vocabulary=int(text.get("vocab_size", config.get("vocab_size", 1000))),
        has_chat_template=_has_chat_template(folder),
    )


def _has_chat_template(folder: Path) -> bool:
    """Look in the three places that transformers reads a template from."""
    if any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        return True
    file = folder / "tokenizer_config.json"
    tokenizer: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    return bool(tokenizer.get("chat_template"))
