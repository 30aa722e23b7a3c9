"""What a smoke test says; `push` takes an image only with the report that names it and passes it.

{"version": 1, "verdict": "passed" or "failed", "level": "static", "cpu" or "gpu",
 "image": {"layers": [diff_id of every layer, the base's first],
           "arguments": {"entrypoint": [...], "cmd": [...], "env": {name: value}}},
          null when no image was named,
 "vllm": {"image": version in the image or null, "tested": version that answered or null},
 "isolated": whether the server had no network but loopback; null without a server,
 "checks": [{"name", "passed", "detail", "first_s", "typical_s": seconds or null}, ...],
 "not_shown": [what this level cannot show, ...],
 "start": what the server's own GET /prewarm said, or null}
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from stages import output
from stages.errors import IntegrityError, StorageError, UnsafeError

VERSION = 1


class Level(StrEnum):
    """How much was tried."""

    STATIC = "static"  # what can be read without a server
    CPU = "cpu"  # the same files and runtime on vLLM's build for the CPU
    GPU = "gpu"


class WrongError(Exception):
    """What was looked at is not as it should be; the text is a check's detail."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        detail: What was seen.
        first_s: Seconds that the first answer took; None where nothing was timed.
        typical_s: The median of the next ones, in seconds.
    """

    name: str
    passed: bool
    detail: str
    first_s: float | None = None
    typical_s: float | None = None

    def __str__(self) -> str:
        """Write the check as one line."""
        word = "passed" if self.passed else "FAILED"
        times = ""
        if self.first_s is not None and self.typical_s is not None:
            times = f"first {self.first_s * 1e3:.0f} ms, typical {self.typical_s * 1e3:.0f} ms  "
        return f"{word}  {self.name:<16}  {times}{self.detail}"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """How the image starts, out of its configuration."""

    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Image:
    """Which image the report is about: every layer's diff_id, and how it starts."""

    layers: tuple[str, ...]
    arguments: Arguments


@dataclass(frozen=True, kw_only=True)
class Versions:
    """vLLM's version in the image, and the one that answered; None where nobody says."""

    image: str | None
    tested: str | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole; see the module."""

    level: Level
    image: Image | None
    vllm: Versions
    isolated: bool | None
    checks: tuple[Check, ...]
    not_shown: tuple[str, ...]
    start: Mapping[str, Any] | None

    @property
    def failed(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if not check.passed]

    @property
    def passed(self) -> bool:
        """Whether something was looked at and all of it was right."""
        return bool(self.checks) and not self.failed


def looked_at(name: str, look: Callable[[], str]) -> Check:
    """Run one check that is not timed: `look` gives the detail, or raises what is wrong."""
    try:
        return Check(name=name, passed=True, detail=look())
    except (WrongError, IntegrityError, UnsafeError, StorageError) as error:
        return Check(name=name, passed=False, detail=str(error))


def dump(report: Report) -> str:
    """Write the report as JSON."""
    head = {"version": VERSION, "verdict": "passed" if report.passed else "failed"}
    return json.dumps(head | asdict(report), indent=2) + "\n"


def write(report: Report, path: Path) -> None:
    """Write the report in one step.

    Raises:
        StorageError: The file cannot be written.
    """
    output.replace(path, dump(report))


def median(seconds: Sequence[float]) -> float:
    """Give the middle one, rounded to a tenth of a millisecond."""
    return round(sorted(seconds)[len(seconds) // 2], 4)
