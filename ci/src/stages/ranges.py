"""How one file is divided among parallel requests, and how far it has come."""

from collections.abc import Sequence
from dataclasses import dataclass

PART = 32 * 2**20  # bytes asked for in one request


@dataclass(frozen=True)
class Part:
    """Bytes `start` (included) to `end` (excluded) of a file; `index` counts from 0."""

    index: int
    start: int
    end: int

    @property
    def size(self) -> int:
        """The part's length in bytes."""
        return self.end - self.start


def split(size: int, *, part: int = PART) -> tuple[Part, ...]:
    """Cover `size` bytes with parts of `part` bytes, the last one shorter; none for size 0."""
    starts = range(0, size, part)
    return tuple(Part(n, start, min(start + part, size)) for n, start in enumerate(starts))


def frontier(parts: Sequence[Part], done: Sequence[int]) -> int:
    """Tell how many bytes are there from the file's start with no gap.

    Args:
        parts: The parts of the file, in order.
        done: For each part, how many of its bytes are there, counted from its start.
    """
    for part, count in zip(parts, done, strict=True):
        if count < part.size:
            return part.start + count
    return parts[-1].end if parts else 0
