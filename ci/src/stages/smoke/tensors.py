"""The weights' own structure: safetensors headers that fit their files and the index.

See https://github.com/huggingface/safetensors#format
"""

import json
import math
from collections.abc import Iterable
from typing import IO, Any

from stages.smoke.content import Content, read
from stages.smoke.report import WrongError

SUFFIX = ".safetensors"
INDEX = ".safetensors.index.json"
LENGTH = 8  # bytes, little endian, before the header
LARGEST_HEADER = 100_000_000  # bytes, the format's own limit
LARGEST_INDEX = 64 * 2**20  # bytes
BITS = {
    **dict.fromkeys(("F64", "I64", "U64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "I8", "U8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    "F4": 4,
}


def check(content: Content, paths: Iterable[str]) -> str:
    """Read every header, and hold it against its file and the index.

    Raises:
        WrongError: A header is not sound, or tensors are missing.
        IntegrityError: A file cannot be read.
    """
    listed = list(paths)
    found: dict[str, str] = {}
    for path in (one for one in listed if one.endswith(SUFFIX)):
        with content.open(path) as file:
            for name in _tensors(path, file):
                if name in found:
                    raise WrongError(f"{path} and {found[name]} both hold {name!a}")
                found[name] = path
    if not found:
        raise WrongError("the model has no tensors")
    for path in (one for one in listed if one.endswith(INDEX)):
        _check_index(path, read(content, path, most=LARGEST_INDEX), found)
    return f"{len(found)} tensors in {len(set(found.values()))} files"


def _tensors(path: str, file: IO[bytes]) -> list[str]:
    """Read one file's header; its tensors must fill the file without gaps."""
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(LENGTH), "little")
    if not 0 < length <= min(LARGEST_HEADER, size - LENGTH):
        raise WrongError(f"{path} has {size} bytes and a header of {length}: it is cut or no model")
    try:
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        spans = sorted((*_span(name, one), name) for name, one in header.items())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WrongError(f"{path}: its header is not sound: {error}") from error
    end = 0
    for first, last, name in spans:
        if first != end:
            raise WrongError(f"{path}: {name!a} begins at byte {first}, expected {end}")
        end = last
    if LENGTH + length + end != size:
        raise WrongError(f"{path} has {size} bytes, its header says {LENGTH + length + end}")
    return [name for _, _, name in spans]


def _span(name: str, one: dict[str, Any]) -> tuple[int, int]:
    """Give where a tensor begins and ends; ValueError if that is not its shape's size."""
    first, last = one["data_offsets"]
    bits = BITS.get(one["dtype"])
    if bits is None:
        raise ValueError(f"{name!a} has the kind {one['dtype']!a}, which is not known")
    if any(type(count) is not int or count < 0 for count in (first, last, *one["shape"])):
        raise ValueError(f"{name!a} has a shape or place that is no number")
    if (last - first) * 8 != math.prod(one["shape"]) * bits:
        raise ValueError(f"{name!a} has {last - first} bytes, its shape and kind say otherwise")
    return first, last


def _check_index(path: str, text: bytes, found: dict[str, str]) -> None:
    try:
        wanted = dict(json.loads(text)["weight_map"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise WrongError(f"{path} is no index of tensors") from error
    if other := sorted(set(wanted.items()) ^ set(found.items())):
        name, where = other[0]
        raise WrongError(f"{path} and the files differ in {name!a}, in {where!a}")
