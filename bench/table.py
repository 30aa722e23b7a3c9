"""Medians of many starts, side by side, and their ratios to the first two variants."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Start = Mapping[str, Any]
"""One line of what cold_start.py writes: see its `one_start`."""


def tables(starts: Sequence[Start]) -> str:
    """Return one table a machine: numbers of two machines are never compared."""
    machines = list(dict.fromkeys(start["machine"] for start in starts))
    parts = []
    for machine in machines:
        here = [s for s in starts if s["machine"] == machine and s["counted"] and "open" in s]
        failed = [s for s in starts if s["machine"] == machine and "failed" in s]
        parts.append(_table(here) if here else "")
        parts += [f"failed: {s['variant']} round {s['round']}: {s['failed']}" for s in failed]
    return "\n\n".join(filter(None, parts))


def _table(starts: Sequence[Start]) -> str:
    names = list(dict.fromkeys(start["variant"] for start in starts))
    by_name = {name: [s for s in starts if s["variant"] == name] for name in names}
    width = max(26, *(len(row) for row, _ in rows(starts)))
    head = f"{starts[0]['device']}, vLLM {starts[0]['vllm']}, medians"
    lines = [head, f"{'':<{width}}" + "".join(f"{name:>16}" for name in names)]
    lines.append(f"{'starts':<{width}}" + "".join(f"{len(by_name[n]):>16}" for n in names))
    for row, read in rows(starts):
        cells = [_median(map(read, by_name[name])) for name in names]
        shown = "".join(f"{_number(cell):>16}" for cell in cells)
        lines.append(f"{row:<{width}}{shown}")
    for base in names[:2]:
        cells = [_ratio(by_name[name], by_name[base]) for name in names]
        row = f"until open / {base}"
        lines.append(f"{row:<{width}}" + "".join(f"{_number(cell):>16}" for cell in cells))
    return "\n".join(lines)


Row = tuple[str, Callable[[Start], float | None]]


def rows(starts: Sequence[Start]) -> list[Row]:
    """Return the rows of the table: a name, and how a start's number is read."""

    def path(*keys: str, scale: float = 1) -> Callable[[Start], float | None]:
        def read(start: Start) -> float | None:
            value: Any = start
            for key in keys:
                value = value.get(key) if isinstance(value, Mapping) else None
            return None if value is None else value * scale

        return read

    def ratio(kind: str) -> Callable[[Start], float | None]:
        first, typical = (
            path("asked", "kinds", kind, "first"),
            path("asked", "kinds", kind, "typical"),
        )

        def read(start: Start) -> float | None:
            above, below = first(start), typical(start)
            return above / below if above is not None and below else None

        return read

    phases = list(dict.fromkeys(p for s in starts for p in s["phases"]))
    asked = [start.get("asked", {}) for start in starts]
    kinds = list(dict.fromkeys(k for a in asked for k in a.get("kinds", {})))
    lengths = list(dict.fromkeys(k for a in asked for k in a.get("lengths", {})))
    return [
        ("until open, s", path("open")),
        *((f"  {name}, s", path("phases", name)) for name in phases),
        *(
            (f"{kind}: typical, ms", path("asked", "kinds", kind, "typical", scale=1e3))
            for kind in kinds
        ),
        *((f"{kind}: first / typical", ratio(kind)) for kind in kinds),
        *(
            (f"{length} tokens: typical, ms", path("asked", "lengths", length, scale=1e3))
            for length in lengths
        ),
        ("decoded tokens a second", path("asked", "decode_tokens_per_s")),
        ("the same, 16 clients", path("asked", "load_tokens_per_s")),
        ("SIGTERM to exit, s", path("stop_s")),
        ("exit code", path("exit_code")),
    ]


def _median(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return statistics.median(found) if found else None


def _ratio(starts: Sequence[Start], base: Sequence[Start]) -> float | None:
    above = _median(start["open"] for start in starts)
    below = _median(start["open"] for start in base)
    return above / below if above is not None and below else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"  # noqa: PLR2004
