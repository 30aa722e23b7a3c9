"""The entries of a layer's tar, hostile until read: nothing is unpacked, and nothing is hidden.

Readers of tar differ on what is malformed, and what they differ on can hide an entry from one of
them. So what no honest builder writes is refused instead of guessed at.
See https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from stages.errors import IntegrityError
from stages.layer import BLOCK, READ

LARGEST_HEADER = 2**20  # bytes of a PAX header or a long name
MOST_ENTRIES = 1_000_000
_LONG_NAME, _LONG_LINK, _PAX, _GLOBAL = b"L", b"K", b"x", b"g"
_HEADERS = frozenset({_LONG_NAME, _LONG_LINK, _PAX, _GLOBAL})
_MOVING = frozenset({"path", "linkpath", "size"})
_FILES = frozenset({b"0", b"\0", b"7"})
_NO_CONTENT = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry: its headers lie from `start` to `data`, its content is `size` bytes from there.

    Attributes:
        name: As the archive has it; bytes that are not UTF-8 are surrogates.
        link: What it links to, or the empty text.
    """

    name: str
    link: str
    start: int
    data: int
    size: int
    is_file: bool
    is_folder: bool


def entries(file: BinaryIO) -> Iterator[Entry]:
    """List a tar's entries from the file's beginning to its very end.

    Raises:
        IntegrityError: It is not a sound tar; says at which byte.
    """
    position, size = 0, file.seek(0, 2)
    for _ in range(MOST_ENTRIES):
        head = _block(file, position)
        if not any(head):
            _check_end(file, position)
            return
        entry = _entry(file, position, head)
        position = entry.data + entry.size + -entry.size % BLOCK
        if position > size:
            raise _broken(entry.start, "is cut off")
        yield entry
    raise IntegrityError(f"the tar has more than {MOST_ENTRIES} entries: it is refused")


def _entry(file: BinaryIO, start: int, head: bytes) -> Entry:
    """Read one entry with the extended headers before it."""
    position, said = start, dict[str, bytes]()
    info = _parsed(head, position)
    while info.type in _HEADERS:
        content = _extended(file, position, info)
        if info.type == _LONG_NAME:
            said["path"] = content.rstrip(b"\0")
        elif info.type == _LONG_LINK:
            said["linkpath"] = content.rstrip(b"\0")
        elif info.type == _PAX:
            said |= _records(content, position)
        elif _MOVING & _records(content, position).keys():
            raise _broken(position, "moves all entries after it")
        position += BLOCK + len(content) + -len(content) % BLOCK
        info = _parsed(_block(file, position), position)
    size = info.size
    if "size" in said:
        if not (said["size"].isdigit() and len(said["size"]) < 20):  # noqa: PLR2004 (2**64)
            raise _broken(start, "has a PAX size that is no number")
        size = int(said["size"])
    _check_kind(info.type, size, said, start)
    return Entry(
        name=_text(said.get("path"), info.name),
        link=_text(said.get("linkpath"), info.linkname),
        start=start,
        data=position + BLOCK,
        size=size,
        is_file=info.type in _FILES,
        is_folder=info.type == tarfile.DIRTYPE,
    )


def _check_kind(kind: bytes, size: int, said: dict[str, bytes], start: int) -> None:
    """Refuse what readers of tar take for different things."""
    if kind not in _FILES | _NO_CONTENT:
        raise _broken(start, f"is of the kind {kind!a}, which no layer of ours holds")
    if size and kind in _NO_CONTENT:
        raise _broken(start, "has content, though it is no file")
    if any(key.startswith("GNU.sparse.") for key in said):
        raise _broken(start, "is a sparse file, which no layer of ours holds")


def _block(file: BinaryIO, position: int) -> bytes:
    file.seek(position)
    block = file.read(BLOCK)
    if len(block) != BLOCK:
        raise _broken(position, "is cut off")
    return block


def _parsed(block: bytes, position: int) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError) as error:
        raise _broken(position, "has no sound header") from error
    if info.size < 0:
        raise _broken(position, "has a negative size")
    return info


def _extended(file: BinaryIO, position: int, info: tarfile.TarInfo) -> bytes:
    if info.size > LARGEST_HEADER:
        raise _broken(position, f"has a header of {info.size} bytes, {LARGEST_HEADER} at most")
    file.seek(position + BLOCK)
    content = file.read(info.size)
    if len(content) != info.size:
        raise _broken(position, "is cut off")
    return content


def _records(content: bytes, position: int) -> dict[str, bytes]:
    """Read PAX records: length, space, key=value, newline."""
    found: dict[str, bytes] = {}
    while content:
        digits, _, rest = content[:20].partition(b" ")
        length = int(digits) if digits.isdigit() and rest else 0
        record = content[len(digits) + 1 : length]
        key, equals, value = record[:-1].partition(b"=")
        if length > len(content) or not (equals and record.endswith(b"\n")):
            raise _broken(position, "has a malformed PAX header")
        found[key.decode(errors="surrogateescape")] = value
        content = content[length:]
    return found


def _check_end(file: BinaryIO, position: int) -> None:
    """Refuse bytes behind the end, which some readers take for more entries."""
    file.seek(position)
    while piece := file.read(READ):
        if piece.count(0) != len(piece):
            raise _broken(position, "is the end, but more follows")


def _text(said: bytes | None, otherwise: str) -> str:
    return otherwise if said is None else said.decode(errors="surrogateescape")


def _broken(position: int, problem: str) -> IntegrityError:
    return IntegrityError(f"the tar's entry at byte {position} {problem}: it is refused")
