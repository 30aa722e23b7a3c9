"""Draw where the seconds of a start go, from what cold_start.py wrote.

usage: bench/waterfall.py FILE... --out docs/cold-start.svg [--variant NAME ...]

One row a variant: the phases of its median start, in order, as one bar. Needs matplotlib (the
dependency group `bench`).
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

Start = Mapping[str, Any]

COLOURS = {
    "imports": "#4c72b0",
    "configuration": "#8da0cb",
    "engine process": "#55a868",
    "device": "#9ed8a8",
    "model": "#937860",
    "compilation": "#c44e52",
    "profile and KV cache": "#dd8452",
    "graphs and warm-up of vLLM": "#f0b27a",
    "application": "#8172b3",
    "warm-up": "#ccb974",
}
LEAST_LABELLED_SECONDS = 2.5


def median_start(starts: Sequence[Start]) -> Start:
    """Return the start in the middle by its seconds: its phases add up, as medians would not."""
    ordered = sorted(starts, key=lambda start: start["open"])
    return ordered[(len(ordered) - 1) // 2]


def draw(starts: Sequence[Start], names: Sequence[str], out: Path) -> None:
    """Write the picture of the variants `names`, the first on top."""
    mpl.rcParams["svg.hashsalt"] = "prewarm"  # the same numbers give the same file
    figure, axes = plt.subplots(figsize=(9.5, 0.62 * len(names) + 1.5))
    for row, name in enumerate(names):
        start = median_start([s for s in starts if s["variant"] == name])
        begin = 0.0
        for phase, seconds in start["phases"].items():
            axes.barh(row, seconds, left=begin, color=COLOURS[phase], edgecolor="white", height=0.7)
            if seconds >= LEAST_LABELLED_SECONDS:
                axes.text(begin + seconds / 2, row, f"{seconds:.0f}", ha="center", va="center")
            begin += seconds
        axes.text(begin + 0.7, row, f"{start['open']:.1f} s", va="center", fontweight="bold")
    shown = [phase for phase in COLOURS if any(phase in s["phases"] for s in starts)]
    handles = [plt.Rectangle((0, 0), 1, 1, color=COLOURS[phase]) for phase in shown]
    axes.legend(
        handles, shown, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.18), fontsize=8
    )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("seconds from the process's start until the port answers")
    axes.set_xlim(0, axes.get_xlim()[1] * 1.06)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    device, vllm = starts[0]["device"], starts[0]["vllm"]
    axes.set_title(f"{device}, vLLM {vllm}", fontsize=10, loc="left")
    figure.savefig(out, bbox_inches="tight", metadata={"Date": None})


def main() -> None:
    """Read the starts and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variant", action="append", help="default: all, in order")
    options = parser.parse_args()
    lines = [line for file in options.files for line in file.read_text().splitlines()]
    starts = [start for start in map(json.loads, lines) if start["counted"] and "open" in start]
    names = options.variant or list(dict.fromkeys(start["variant"] for start in starts))
    draw(starts, names, options.out)


if __name__ == "__main__":
    main()
