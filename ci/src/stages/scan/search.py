"""Finding secrets in bytes: each piece is read once, whatever its size and whatever it holds.

Nearly all that is looked for is, or ends in, a run of signs that words and binaries rarely hold.
So the runs are taken out first, and the many literals are looked for in them alone. Text that is
one long run, such as base64, is the worst case; bench/scan.py measures it beside the others.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from stages.scan.needles import Needle
from stages.scan.shapes import LONGEST_MATCH, SHAPES, SHORTEST_RUN, Shape

PIECE = 256 * 1024  # bytes searched at a time: they stay in a core's own cache
MOST_HITS = 100  # of one source; more would tell nothing new
_BEFORE = 8  # bytes kept before a run, for a prefix that is none
_SIGNS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_MASK = bytes(sign in _SIGNS for sign in range(256))
_RUN = b"\1" * SHORTEST_RUN


@dataclass(frozen=True, order=True, kw_only=True)
class Hit:
    """A place where something was found: offset in bytes, what it is, and in which form."""

    offset: int
    what: str
    form: str


class Search:
    """Looks for some exact secrets, and for the known shapes."""

    def __init__(self, needles: Sequence[Needle] = ()) -> None:
        """Take the secrets' forms."""
        self._in_runs = [one for one in needles if _is_run(one.text)]
        self._anywhere = [one for one in needles if not _is_run(one.text)]
        self.overlap = max([LONGEST_MATCH, *(len(one.text) for one in needles)])

    def in_text(self, text: str) -> list[Hit]:
        """Search a name or a value."""
        return self.in_bytes(text.encode(errors="surrogateescape"))

    def in_bytes(self, content: bytes) -> list[Hit]:
        """Search what is small enough to be held."""
        return sorted(set(self._window(content, done=0)))

    def in_file(self, file: BinaryIO) -> tuple[list[Hit], int]:
        """Search a stream to its end; gives the hits and the number of bytes read."""
        return self.in_pieces(iter(lambda: file.read(PIECE), b""))

    def in_pieces(self, pieces: Iterable[bytes]) -> tuple[list[Hit], int]:
        """Search pieces that make up one text; gives the hits and the number of bytes read."""
        found: set[Hit] = set()
        tail, position = b"", 0
        for piece in pieces:
            window = tail + piece
            start = position - len(tail)
            for hit in self._window(window, done=len(tail)):
                if len(found) >= MOST_HITS:
                    break
                found.add(Hit(offset=start + hit.offset, what=hit.what, form=hit.form))
            position += len(piece)
            tail = window[-self.overlap :]
        return sorted(found), position

    def _window(self, window: bytes, *, done: int) -> Iterator[Hit]:
        """Find what ends behind the first `done` bytes, which were searched before."""
        runs = _runs(window)
        for needle in self._anywhere:
            yield from _exact(needle, window, done)
        for shape in SHAPES:
            if not shape.run and any(anchor in window for anchor in shape.anchors):
                yield from _matches(shape, window, done)
        if not runs:
            return
        for needle in self._in_runs:
            if needle.text in runs:
                yield from _exact(needle, window, done)
        for shape in SHAPES:
            if shape.run and any(anchor in runs for anchor in shape.anchors):
                yield from _matches(shape, window, done)


def _is_run(text: bytes) -> bool:
    return len(text) >= SHORTEST_RUN and not text.translate(None, _SIGNS)


def _runs(window: bytes) -> bytes:
    """Join all runs in the window, with a few bytes before each."""
    mask = window.translate(_MASK)
    found = []
    start = mask.find(_RUN)
    while start >= 0:
        end = mask.find(b"\0", start + SHORTEST_RUN)
        if end < 0:
            end = len(window)
        found.append(window[max(0, start - _BEFORE) : end])
        start = mask.find(_RUN, end)
    return b"\n".join(found)


def _exact(needle: Needle, window: bytes, done: int) -> Iterator[Hit]:
    size = len(needle.text)
    at = window.find(needle.text, max(0, done - size + 1))
    while at >= 0:
        yield Hit(offset=at, what=f"the secret of {needle.secret}", form=needle.form)
        at = window.find(needle.text, at + size)


def _matches(shape: Shape, window: bytes, done: int) -> Iterator[Hit]:
    for match in shape.pattern.finditer(window):
        if match.end() > done:
            yield Hit(offset=match.start(), what=shape.name, form="plain")
