"""What a start measured: the answer of `GET /prewarm` and one JSON line in the log."""

import dataclasses
import json
import os
import re
import time
from pathlib import Path
from typing import Any

_SECRET = re.compile(r"(?i)(^|[-_])(key|tok(en)?|secret|passw(or)?d|credentials?)(?![a-z])")
_JSON_VALUE = re.compile(
    r"""(?i)("[^"]*(?:key|token|secret|passw(?:or)?d|credential)[^"]*"\s*:\s*)"(?:[^"\\]|\\.)*\""""
)
_USER = re.compile(r"//[^/\s@]+@")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """One kind of warm-up request, sent twice with different text."""

    kind: str
    first_s: float
    """Seconds to the last byte of the first answer (of the slowest, where several go at once)."""
    repeat_s: float
    """The same for the second: what a user will see."""


class Report:
    """Gathers one start's phases and warm-up timings."""

    def __init__(self, **facts: Any) -> None:
        """Begin at the process's own start.

        Args:
            facts: what was started: release, dtype, arguments and the like.
        """
        self._facts = facts
        self._phases: dict[str, float] = {}
        self._begun = time.monotonic() - process_age()
        self._phase_begun = self._begun
        self.timings: list[Timing] = []
        self.left_out: dict[str, str] = {}
        """Kind of request -> why it was not sent."""
        self.skipped = False
        self.engine: list[dict[str, Any]] = []
        """Moments of the engine's start: what ended, when, and how long the engine says it took."""
        self.compile_cache: dict[str, Any] | None = None
        """Verdict, reasons and what was written; None where the image has no cache."""

    def end_phase(self, name: str) -> float:
        """Close a phase that began where the last one ended; return its seconds."""
        now = time.monotonic()
        self._phases[name] = now - self._phase_begun
        self._phase_begun = now
        return self._phases[name]

    @property
    def begun(self) -> float:
        """When the process was created, in seconds of time.monotonic()."""
        return self._begun

    @property
    def seconds(self) -> float:
        """Seconds from the process's start to the end of the last phase."""
        return self._phase_begun - self._begun

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON holds it; every duration in seconds."""
        return {
            **self._facts,
            "seconds_to_warm": round(self.seconds, 3),
            "phases": {name: round(seconds, 3) for name, seconds in self._phases.items()},
            "warmup": {
                "skipped": self.skipped,
                "requests": [
                    {
                        "kind": t.kind,
                        "first_s": round(t.first_s, 4),
                        "repeat_s": round(t.repeat_s, 4),
                    }
                    for t in self.timings
                ],
                "left_out": self.left_out,
            },
            "engine": self.engine,
            "compile_cache": self.compile_cache,
        }

    def log_line(self) -> str:
        """Return the report as one line that Cloud Logging reads as a structured entry."""
        word = "open without a warm-up" if self.skipped else "warm"
        message = f"prewarm: {word} after {self.seconds:.1f} s"
        return json.dumps({"severity": "INFO", "message": message, "prewarm": self.as_dict()})


def redacted(arguments: list[str]) -> list[str]:
    """Hide what may be a secret: values of flags and JSON keys that say so, and users in URLs."""
    shown: list[str] = []
    hide = False
    for argument in arguments:
        flag, equals, _ = argument.partition("=")
        secret = flag.startswith("-") and bool(_SECRET.search(flag))
        if hide and not argument.startswith("-"):
            shown.append("***")
        elif secret and equals:
            shown.append(f"{flag}=***")
        else:
            shown.append(_USER.sub("//***@", _JSON_VALUE.sub(r"\1***", argument)))
        hide = secret and not equals
    return shown


def process_age() -> float:
    """Seconds since this process was created, 0.0 where the kernel does not say.

    See https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    """
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError):
        return 0.0
    return max(0.0, uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK"))
