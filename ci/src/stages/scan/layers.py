"""Searching one layer: every byte of it, and one level into what is compressed."""

import hashlib
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from stages.errors import IntegrityError
from stages.lockfile import File
from stages.scan import archive, known_files, members
from stages.scan.findings import KNOWN_FILE, UNREADABLE, Finding, finding, findings, shown
from stages.scan.layout import Blob
from stages.scan.members import Part, UnreadableError
from stages.scan.search import PIECE, Hit, Search

LARGEST_LAYER = 64 * 2**30  # bytes, unpacked
_HEAD = 4  # bytes that tell how content is compressed


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What one source was found to be: entries, bytes searched, files passed over, findings."""

    entries: int
    size: int
    passed: tuple[str, ...]
    findings: tuple[Finding, ...]


def search(source: str, file: BinaryIO, by: Search, *, weights: frozenset[File]) -> Searched:
    """Search a plain tar.

    Args:
        source: The blob's digest.
        file: The tar, open for reading at any place.
        by: What to look for.
        weights: The lock's files; an entry of such a size and sha256 is passed over.

    Raises:
        IntegrityError: It is not a sound tar.
    """
    try:
        entries = list(archive.entries(file))
    except IntegrityError as error:
        raise IntegrityError(f"layer {source}: {error}") from error
    known = {(one.size, one.sha256) for one in weights}
    sizes = {size for size, _ in known}
    passed = [
        one
        for one in entries
        if one.is_file and one.size in sizes and (one.size, _sha256(file, one)) in known
    ]
    found, size = _raw(source, file, entries, passed, by)
    found += _names(source, entries, by)
    for one in entries:
        if one.is_file and one not in passed:
            path = shown(one.name, by)
            found += inside(source, path, one.name, Part(file, one.data, one.size), by)
    return Searched(
        entries=len(entries),
        size=size,
        passed=tuple(shown(one.name, by) for one in passed),
        findings=tuple(sorted(set(found), key=str)),
    )


@contextmanager
def plain(layer: Blob, file: BinaryIO) -> Iterator[BinaryIO]:
    """Give the layer's tar, unpacked to a temporary file if it is compressed.

    Raises:
        IntegrityError: It cannot be unpacked, or is not what its diff_id says.
    """
    how = members.packing("", file.read(_HEAD))
    file.seek(0)
    if how not in {"gzip", "zstd"}:
        _check_diff_id(layer, layer.digest)
        yield file
        return
    with tempfile.TemporaryFile() as unpacked:
        hasher, left = hashlib.sha256(), min(LARGEST_LAYER, 2**26 + 100 * layer.size)
        try:
            stream = members.opened(file, how)
            for piece in members.checked(iter(lambda: stream.read(PIECE), b""), how):
                left -= len(piece)
                if left < 0:
                    raise IntegrityError(f"layer {layer.digest} unpacks to far more than its size")
                hasher.update(piece)
                unpacked.write(piece)
        except UnreadableError as error:
            raise IntegrityError(f"layer {layer.digest} cannot be read: {error}") from error
        _check_diff_id(layer, f"sha256:{hasher.hexdigest()}")
        unpacked.seek(0)
        yield unpacked


def inside(source: str, path: str, name: str, file: Part, by: Search) -> list[Finding]:
    """Search what a file's name promises, and what its compressed content holds."""
    found = []
    if known_files.may_hold_npm_token(name) and known_files.holds_npm_token(
        file.read(known_files.LARGEST_NPMRC)
    ):
        found.append(finding(source, path, "content", "npm token"))
    file.seek(0)
    how = members.packing(name, file.read(_HEAD))
    file.seek(0)
    if how is None:
        return found
    try:
        for inner, pieces in members.members(file, how):
            place = f"{path}!{shown(inner, by)}" if inner else f"{path}!{how}"
            found += findings(source, place, "name", by.in_text(inner))
            if known_files.is_known(inner):
                found.append(finding(source, place, "name", KNOWN_FILE))
            hits, _ = by.in_pieces(members.checked(pieces, how))
            found += findings(source, place, "content", hits)
    except UnreadableError as error:
        found.append(finding(source, path, "content", f"{UNREADABLE}: {error}"))
    return found


def _check_diff_id(layer: Blob, found: str) -> None:
    if layer.diff_id != found:
        raise IntegrityError(
            f"layer {layer.digest} unpacks to {found}, the configuration says {layer.diff_id}"
        )


def _raw(
    source: str,
    file: BinaryIO,
    entries: Sequence[archive.Entry],
    passed: Sequence[archive.Entry],
    by: Search,
) -> tuple[list[Finding], int]:
    """Search the tar's own bytes: headers, contents, padding and end, as they lie."""
    end = file.seek(0, 2)
    starts = [one.start for one in entries]
    position, total, found = 0, 0, list[Finding]()
    for gap in (*((one.data, one.data + one.size) for one in passed), (end, end)):
        part = Part(file, position, gap[0] - position)
        hits, size = by.in_pieces(iter(lambda part=part: part.read(PIECE), b""))  # type: ignore[misc]
        for hit in hits:
            at = position + hit.offset
            number = bisect_right(starts, at) - 1
            found += _placed(source, entries[number] if entries else None, at, hit, by)
        position, total = gap[1], total + size
    return found, total


def _placed(
    source: str, entry: archive.Entry | None, at: int, hit: Hit, by: Search
) -> list[Finding]:
    """Say of which entry, and of what part of it, a place in the tar is."""
    path, part, offset = "", "end", at
    if entry is not None:
        path = shown(entry.name, by)
        part, offset = ("header", at - entry.start)
        if at >= entry.data:
            part, offset = ("content", at - entry.data)
        if offset >= entry.size and part == "content":
            part = "padding"
    return findings(source, path, part, [Hit(offset=offset, what=hit.what, form=hit.form)])


def _names(source: str, entries: Sequence[archive.Entry], by: Search) -> list[Finding]:
    """Judge names and link targets as a reader of the archive puts them together."""
    found = []
    whole = "\n".join(f"{one.name}\n{one.link}" for one in entries)
    suspicious = bool(by.in_text(whole))
    for one in entries:
        path = shown(one.name, by) if suspicious else ascii(one.name)[1:-1]
        if not one.is_folder and known_files.is_known(one.name):
            found.append(finding(source, path, "name", KNOWN_FILE))
        if suspicious:
            found += findings(source, path, "name", by.in_text(one.name))
            found += findings(source, path, "link", by.in_text(one.link))
    return found


def _sha256(file: BinaryIO, entry: archive.Entry) -> str:
    hasher, part = hashlib.sha256(), Part(file, entry.data, entry.size)
    while piece := part.read(PIECE):
        hasher.update(piece)
    return hasher.hexdigest()
