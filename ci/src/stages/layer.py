"""Layers: deterministic tars. Weights have one for each big file and one for all small ones.

A layer is an uncompressed tar whose bytes follow from its files' names and contents alone:
owner 0:0 without names, mode 0644 (folders 0755), time 0, paths in a fixed order, ended by two
zero blocks. Folders are listed because some engines make a missing parent unreadable for
anyone but root; those that belong to the base are not, since a layer would change them.
"""

import hashlib
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

MODELS = PurePosixPath("model-cache/models")  # HF_HOME is /model-cache in the image
OF_THE_BASE = frozenset({PurePosixPath(), PurePosixPath("opt")})  # folders that every base has
BLOCK = 512  # bytes
END = bytes(2 * BLOCK)
READ = 2**20  # bytes read at a time
MOST_WEIGHT_LAYERS = 40  # an image can have 127 layers, and bases bring up to 60


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of a layer: its path inside the model's folder, and its size in bytes."""

    path: str
    size: int


def split(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Divide a model's files into layers: one for each weight file, then one for all others.

    Past 40 weight files, neighbours share a layer, so that the image keeps within 127.
    """
    ordered = sorted(entries, key=lambda entry: entry.path)
    weights = [entry for entry in ordered if entry.path.endswith(".safetensors")]
    small = [entry for entry in ordered if not entry.path.endswith(".safetensors")]
    share = max(1, -(-len(weights) // MOST_WEIGHT_LAYERS))
    groups = [weights[start : start + share] for start in range(0, len(weights), share)]
    return [group for group in (*groups, small) if group]


def size(model: str, entries: Sequence[Entry]) -> int:
    """Give the size of a weight layer in bytes, without reading a file."""
    return packed_size(MODELS / model, entries)


def stream(model: str, entries: Sequence[Entry], folder: Path) -> Iterator[bytes | memoryview]:
    """Yield a weight layer's bytes; see `pack`."""
    return pack(MODELS / model, entries, folder)


def packed_size(home: PurePosixPath, entries: Sequence[Entry]) -> int:
    """Give the size of any layer in bytes, without reading a file."""
    heads = sum(len(head) for head in _folders(home, entries))
    files = sum(len(_head(home, entry)) + entry.size + _padding(entry.size) for entry in entries)
    return heads + files + len(END)


def pack(
    home: PurePosixPath, entries: Sequence[Entry], folder: Path
) -> Iterator[bytes | memoryview]:
    """Yield a layer's bytes: the files below `folder`, as they lie below `home` in the image.

    A yielded memoryview is valid until the next one is asked for.

    Raises:
        ValueError: A file in `folder` has another size than its entry.
    """
    yield from _folders(home, entries)
    for entry in entries:
        yield _head(home, entry)
        with (folder / entry.path).open("rb", buffering=0) as file:
            yield from _content(file, entry)
        yield bytes(_padding(entry.size))
    yield END


def digest(model: str, entries: Sequence[Entry], folder: Path) -> str:
    """Give the layer's `sha256:` digest by reading its files, writing nothing."""
    return f"sha256:{feed(hashlib.sha256(), stream(model, entries, folder))}"


def feed(hasher: "hashlib._Hash", pieces: Iterable[bytes | memoryview]) -> str:
    """Hash all pieces and give the lowercase hexadecimal result."""
    for piece in pieces:
        hasher.update(piece)
    return hasher.hexdigest()


def _content(file: BinaryIO, entry: Entry) -> Iterator[memoryview]:
    """Yield exactly `entry.size` bytes of `file`, or raise ValueError."""
    room = memoryview(bytearray(min(READ, entry.size + 1)))
    read: Callable[[memoryview], int | None] = file.readinto  # type: ignore[attr-defined]
    left = entry.size
    while count := read(room):
        left -= count
        if left < 0:
            break
        yield room[:count]
    if left:
        raise ValueError(f"{entry.path} does not have {entry.size} bytes")


def _padding(length: int) -> int:
    return -length % BLOCK


def _folders(home: PurePosixPath, entries: Sequence[Entry]) -> Iterator[bytes]:
    """Yield the header of each folder above the files, outermost first."""
    folders = {parent for entry in entries for parent in (home / entry.path).parents}
    for folder in sorted(folders - OF_THE_BASE):
        info = tarfile.TarInfo(f"{folder}/")
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        yield _buffer(info)


def _head(home: PurePosixPath, entry: Entry) -> bytes:
    info = tarfile.TarInfo(str(home / entry.path))
    info.size, info.mode = entry.size, 0o644
    return _buffer(info)


def _buffer(info: tarfile.TarInfo) -> bytes:
    """Write a USTAR header, preceded by a PAX one where name or size do not fit."""
    return info.tobuf(tarfile.PAX_FORMAT, encoding="utf-8", errors="strict")
