"""What is inside compressed content, one level deep, by the piece and within bounds.

zstd is read by the standard library from Python 3.14 on, and by its backport `backports.zstd` where
that is installed. Without either, a zstd member is reported as one that cannot be read: nothing
unread ever counts as clean. It is no dependency, since no layer of ours holds zstd.
"""

import gzip
import importlib
import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from stages.scan.search import PIECE

LARGEST_UNPACKED = 2**30  # bytes of all members of one file
MOST_MEMBERS = 100_000
_GZIP, _ZSTD, _ZIP = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", (b"PK\3\4", b"PK\5\6")
_ZIP_NAMES = (".zip", ".whl", ".egg", ".pyz", ".jar")
_ZSTD_MODULES = ("compression.zstd", "backports.zstd")


class UnreadableError(Exception):
    """Compressed content that cannot be searched to its end; never leaves the package."""


class Part(io.RawIOBase):
    """A stretch of a file, as a file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        """Take `size` bytes from `start`."""
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move as a file does."""
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence] + offset
        if self._at < 0:
            raise OSError("a position before the beginning")
        return self._at

    def tell(self) -> int:
        """Give the position."""
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Read no further than the stretch goes."""
        left = max(0, self._size - self._at)
        self._file.seek(self._start + self._at)
        content = self._file.read(left if size is None or size < 0 else min(size, left))
        self._at += len(content)
        return content


def packing(path: str, head: bytes) -> str | None:
    """Tell how content is compressed, from its name and first bytes; None if it is not."""
    if head.startswith(_GZIP):
        return "gzip"
    if head.startswith(_ZSTD):
        return "zstd"
    return "zip" if head.startswith(_ZIP) or path.lower().endswith(_ZIP_NAMES) else None


def members(file: Part, how: str) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield each member's name, empty for the only one, and its bytes; take these at once.

    Raises:
        UnreadableError: It is broken, encrypted, or larger than the bound; also by the pieces.
    """
    budget = _Budget()
    try:
        if how == "zip":
            yield from _zip(file, budget)
        else:
            yield "", budget.pieces(opened(file, how))
    except _BROKEN as error:
        raise UnreadableError(f"{how}: broken or encrypted") from error


def opened(file: Any, how: str) -> BinaryIO:
    """Open a gzip or zstd stream.

    Raises:
        UnreadableError: Nothing here reads zstd.
    """
    if how == "gzip":
        return gzip.GzipFile(fileobj=file, mode="rb")  # type: ignore[return-value]
    if (module := zstd()) is None:
        raise UnreadableError("zstd: needs Python 3.14 or the package backports.zstd")
    stream: BinaryIO = module.ZstdFile(file)
    return stream


def zstd() -> Any:
    """Give the module that reads zstd, or None."""
    for name in _ZSTD_MODULES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def checked(pieces: Iterable[bytes], how: str) -> Iterator[bytes]:
    """Pass pieces on, with what a decompressor raises turned into UnreadableError."""
    try:
        yield from pieces
    except _BROKEN as error:
        raise UnreadableError(f"{how}: broken or encrypted") from error
    except Exception as error:
        if type(error).__name__ == "ZstdError":
            raise UnreadableError(f"{how}: broken") from error
        raise


def _zip(file: Part, budget: "_Budget") -> Iterator[tuple[str, Iterator[bytes]]]:
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if len(infos) > MOST_MEMBERS:
            raise UnreadableError(f"zip: more than {MOST_MEMBERS} members")
        for info in infos:
            if not info.is_dir():
                with archive.open(info) as member:
                    yield info.filename, budget.pieces(member)


class _Budget:
    """How many bytes may still be unpacked."""

    def __init__(self) -> None:
        self._left = LARGEST_UNPACKED

    def pieces(self, stream: Any) -> Iterator[bytes]:
        while piece := stream.read(PIECE):
            self._left -= len(piece)
            if self._left < 0:
                raise UnreadableError(f"unpacks to more than {LARGEST_UNPACKED} bytes")
            yield piece


_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,  # gzip.BadGzipFile is one
    EOFError,
    RuntimeError,  # an encrypted member
    NotImplementedError,  # a method that zipfile does not know
    ValueError,
    OverflowError,
)
