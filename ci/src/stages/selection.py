"""What serving needs of a repository, and what is left out and why. Decides by names alone."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from stages.lockfile import CONFIG

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

_KEPT = re.compile(
    r"[^/]+\.(json|jinja|model|tiktoken|spm)"
    r"|(merges|vocab|tokenizer)\.txt"
    r"|additional_chat_templates/[^/]+\.jinja"
    r"|(?i:[^/]*(licen[cs]e|notice|use_policy|use-policy|terms|copying)[^/]*)"
)

# The first pattern that matches gives the reason.
_REASONS = (
    (r"(.*/)?\.[^/]*(/.*)?", "a hidden file"),
    (r".*\.py", "code, which is never run"),
    (r".*\.(bin|pt|pth|ckpt|pkl|pickle)(\.index\.json)?", "PyTorch's pickle format"),
    (r".*\.(gguf|ggml)", "GGUF format"),
    (r".*\.onnx(_data)?|onnx/.*", "ONNX format"),
    (r".*\.(h5|tflite|keras)(\.index\.json)?", "TensorFlow's format"),
    (r".*\.msgpack(\.index\.json)?", "Flax's format"),
    (r"original/.*|consolidated\..*", "the original release, beside the converted one"),
    (r"(trainer_state|training_args|(all|eval|train)_results)\.json", "a record of training"),
    (r".*/.*", "in a folder that serving does not read"),
)


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A file that is not packaged, and why."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The paths to package, sorted, and those left out."""

    kept: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def select(paths: Iterable[str], *, shards: frozenset[str] | None) -> Selection:
    """Divide a repository's files into those that serving needs and the others.

    Args:
        paths: Every file of the repository.
        shards: The weight files that `model.safetensors.index.json` names; None without one.
    """
    ordered = sorted(paths)
    weights = _weights(ordered, shards)
    kept = []
    left_out = []
    for path in ordered:
        reason = _reason(path, weights)
        if reason is None:
            kept.append(path)
        else:
            left_out.append(LeftOut(path=path, reason=reason))
    return Selection(kept=tuple(kept), left_out=tuple(left_out))


def missing(selection: Selection, shards: frozenset[str] | None) -> str | None:
    """Say what a model that can be served has and these files lack."""
    if CONFIG not in selection.kept:
        return f"it has no {CONFIG}"
    absent = sorted((shards or frozenset()) - set(selection.kept))
    if absent:
        return f"{INDEX} names {absent[0]!a}, which is not there"
    if not any(path.endswith(".safetensors") for path in selection.kept):
        return "it has no weights in safetensors format"
    return None


def _weights(paths: list[str], shards: frozenset[str] | None) -> frozenset[str]:
    """Choose one set of weights: the index's, else the single file, else all at the top."""
    if shards is not None:
        return shards
    if SINGLE in paths:
        return frozenset({SINGLE})
    return frozenset(path for path in paths if path.endswith(".safetensors") and "/" not in path)


def _reason(path: str, weights: frozenset[str]) -> str | None:
    """Say why a file is left out, or None for one that is kept."""
    if path.endswith(".safetensors"):
        if path in weights:
            return None
        return "other weights than those that are served"
    if path.startswith("additional_chat_templates/") and _KEPT.fullmatch(path):
        return None
    for pattern, reason in _REASONS:
        if re.fullmatch(pattern, path):
            return reason
    return None if _KEPT.fullmatch(path) else "not needed to serve"
