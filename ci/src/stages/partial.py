"""A file on its way: its bytes, and a journal that survives a kill at any moment.

The journal is written after the bytes that it counts, so it never says more than is there. After
a power cut it may: the sha256 of the whole file has the last word.
"""

import os
import struct
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from stages.ranges import PART, Part, frontier, split

HEADER = struct.Struct("<8sQQ")  # magic, file size in bytes, part size in bytes
COUNT = struct.Struct("<Q")  # bytes there, for each part
MAGIC = b"prewarm1"
NEWS = 4 * 2**20  # bytes after which who follows the frontier is told


@dataclass(kw_only=True)
class Partial:
    """The bytes of one file that have come so far. Threads may write different parts.

    Attributes:
        size: The whole file's size in bytes.
        parts: How the file is divided.
        done: How many bytes of each part are there.
        resumed: Whether some came from an earlier run.
        moved: Notified when the frontier may have moved.
    """

    base: Path
    size: int
    parts: tuple[Part, ...]
    done: list[int]
    resumed: bool
    data: int
    journal: int
    moved: threading.Condition = field(default_factory=threading.Condition)

    @classmethod
    def open(cls, base: Path, size: int, *, part: int = PART) -> Self:
        """Open `base`.data and `base`.parts, starting anew unless they fit each other."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        data = os.open(base.with_suffix(".data"), flags, 0o644)
        journal = os.open(base.with_suffix(".parts"), flags, 0o644)
        parts = split(size, part=part)
        header = HEADER.pack(MAGIC, size, part)
        done = _counts(os.pread(journal, HEADER.size + COUNT.size * len(parts) + 1, 0), header)
        fits = len(done) == len(parts) and all(
            count <= one.size for count, one in zip(done, parts, strict=True)
        )
        if not fits or os.fstat(data).st_size != size:
            done = [0] * len(parts)
            os.ftruncate(journal, 0)
            os.ftruncate(data, 0)
            os.ftruncate(data, size)
            os.pwrite(journal, header + COUNT.pack(0) * len(parts), 0)
        return cls(
            base=base,
            size=size,
            parts=parts,
            done=done,
            resumed=any(done),
            data=data,
            journal=journal,
        )

    @property
    def count(self) -> int:
        """How many bytes are there in all."""
        return sum(self.done)

    @property
    def frontier(self) -> int:
        """How many bytes are there from the start with no gap."""
        return frontier(self.parts, self.done)

    def write(self, offset: int, chunk: bytes) -> None:
        """Write bytes that follow what their part already has; may run on into next parts."""
        _write_all(self.data, chunk, offset)
        end = offset + len(chunk)
        size = self.parts[0].size
        for part in self.parts[offset // size : -(-end // size)]:
            before, now = self.done[part.index], min(end, part.end) - part.start
            if offset <= part.start + before and now > before:
                self.done[part.index] = now
                os.pwrite(self.journal, COUNT.pack(now), HEADER.size + COUNT.size * part.index)
                if now == part.size or now // NEWS != before // NEWS:
                    self.tell()

    def tell(self) -> None:
        """Wake who follows the frontier."""
        with self.moved:
            self.moved.notify_all()

    def complete(self, target: Path) -> None:
        """Give the finished data its final name, plain and dated 0, and drop the journal."""
        os.fchmod(self.data, 0o644)
        os.utime(self.data, (0, 0))
        self.base.with_suffix(".data").replace(target)
        self.base.with_suffix(".parts").unlink()

    def discard(self) -> None:
        """Delete everything."""
        self.base.with_suffix(".parts").unlink(missing_ok=True)
        self.base.with_suffix(".data").unlink(missing_ok=True)

    def close(self) -> None:
        """Close both files; what is there stays for the next run."""
        os.close(self.data)
        os.close(self.journal)

    def __enter__(self) -> Self:
        """Give the file itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


def _counts(content: bytes, header: bytes) -> list[int]:
    """Read a journal's counts; an empty list if it is of another file or broken."""
    body = content[HEADER.size :]
    if content[: HEADER.size] != header or len(body) % COUNT.size:
        return []
    return [count for (count,) in COUNT.iter_unpack(body)]


def _write_all(descriptor: int, chunk: bytes, offset: int) -> None:
    """Write the whole chunk: a full disk can make the system take less of it first."""
    written = os.pwrite(descriptor, chunk, offset)
    while written < len(chunk):
        written += os.pwrite(descriptor, memoryview(chunk)[written:], offset + written)
