"""Whether the compile cache was used, judged by what a start wrote into it."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum

from runtime.cache_copy import Snapshot
from runtime.vllm_cache import What, passing, what


class Word(StrEnum):
    """The verdict's one word."""

    HIT = "HIT"
    PARTIAL = "PARTIAL"
    MISS = "MISS"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the cache was worth to one start."""

    word: Word
    reasons: tuple[str, ...]
    """Why it is no HIT, one sentence each."""
    written: Mapping[str, int]
    """What was written -> number of files; empty where nothing was compiled."""

    def __str__(self) -> str:
        """Spell it for the log."""
        because = f" because {', '.join(self.reasons)}" if self.reasons else ""
        return f"compile cache: {self.word}{because}"


def written(before: Snapshot, after: Snapshot) -> list[str]:
    """Name the files that are new or were changed, but for those that say nothing."""
    return [path for path in sorted(after) if before.get(path) != after[path] and not passing(path)]


def judge(paths: Sequence[str], reasons: Sequence[str], *, compiled: int = 0) -> Verdict:
    """Judge a start: nothing compiled = HIT, only kernels = PARTIAL, graphs = MISS.

    Args:
        paths: files of the cache that the start wrote.
        reasons: what was known to differ or to be missing.
        compiled: graphs that the engine says it has compiled, should it not have written them.
    """
    counts = Counter(what(path) for path in paths)
    del counts[What.OTHER]
    if not counts and not compiled:
        return Verdict(word=Word.HIT, reasons=(), written={})
    told = [f"{count} {kind} were written" for kind, count in sorted(counts.items())]
    if compiled and not counts[What.GRAPH]:
        told.append(f"{compiled} graphs were compiled and not kept")
    return Verdict(
        word=Word.MISS if counts[What.GRAPH] or compiled else Word.PARTIAL,
        reasons=(*reasons, *told),
        written={str(kind): count for kind, count in sorted(counts.items())},
    )
