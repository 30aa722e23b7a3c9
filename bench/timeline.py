"""Where a start's seconds went, read from the lines of its log and when each one came."""

import dataclasses
import re
from collections.abc import Sequence

Line = tuple[float, str]
"""Seconds from the process's start to the line, and the line."""

MARKS = (
    # phase: the line that ends it; a release that does not write it has no such phase
    ("imports", r"non-default args:|vLLM API server version"),
    ("configuration", ""),
    ("engine process", r"Initializing a V1 LLM engine"),
    ("device", r"Starting to load model|Loading model from scratch"),
    ("model", r"Model loading took|Loading weights took"),
    ("compilation", r"torch\.compile.* took|Directly load AOT compilation"),
    ("profile and KV cache", r"KV cache size: "),
    ("graphs and warm-up of vLLM", r"init engine \(profile"),
    ("application", r"Waiting for application startup"),
)
OPEN = "warm-up"
"""The last phase: from the application to the first answer on the port."""

ENGINE = re.compile(r"\((EngineCore|Worker)")
"""Begins each line of the engine's process, in every release from 0.11 on."""

SERVER = re.compile(r"\(APIServer")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase:
    """One stretch of a start, in seconds since the process began."""

    name: str
    begin: float
    end: float


def phases(lines: Sequence[Line], opened: float) -> list[Phase]:
    """Cut a start into its phases.

    A phase ends with the last line that bears its mark; time before a missing mark belongs to the
    next phase found. So the phases touch, and add up to `opened`.

    Args:
        lines: the log, in order.
        opened: seconds until the port answered.
    """
    found: list[Phase] = []
    begin = 0.0
    for name, mark in MARKS:
        end = _end(lines, mark)
        if end is not None and begin <= end <= opened:
            found.append(Phase(name=name, begin=begin, end=end))
            begin = end
    return [*found, Phase(name=OPEN, begin=begin, end=opened)]


def _end(lines: Sequence[Line], mark: str) -> float | None:
    if mark:
        return next((at for at, line in reversed(lines) if re.search(mark, line)), None)
    # The configuration ends with the server's last word before the engine's first.
    first = next((number for number, (_, line) in enumerate(lines) if ENGINE.search(line)), 0)
    return next((at for at, line in reversed(lines[:first]) if SERVER.search(line)), None)


NOTES = re.compile(
    r"load failure|Directly load|saved AOT|Using .* backend|KV cache size|compile cache|JIT"
    r"|Graph capturing finished|torch\.compile.* took|Loading weights took|init engine"
    r"|Compiling a graph|Dynamo bytecode|Model loading took|EngineCore process"
)


def notes(lines: Sequence[Line], limit: int = 40) -> list[str]:
    """Return the lines that say what was compiled, loaded or captured, with their seconds."""
    told = [(at, line) for at, line in lines if NOTES.search(line)]
    return [f"{at:.2f} {re.sub(r'^.*?[]] ', '', line)[:200]}" for at, line in told[:limit]]
