"""How far a transfer has come: a bar on a terminal, a line every 10 s elsewhere."""

import enum
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TextIO

import anyio

from stages.companion import accompanied

BAR_EVERY = 0.2  # seconds
LINE_EVERY = 10.0  # seconds
SHORT = 120  # seconds; from here on, minutes say more
WIDTH = 24  # characters of the bar itself
GREEN, PLAIN, CLEAR = "\x1b[32m", "\x1b[0m", "\r\x1b[2K"


class Mode(enum.StrEnum):
    """What `--progress` takes."""

    AUTO = "auto"
    BAR = "bar"
    PLAIN = "plain"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Look:
    """Where progress goes and what it looks like; `mode` is never AUTO."""

    out: TextIO
    mode: Mode
    colour: bool


def look(mode: Mode, out: TextIO, *, terminal: bool, colour: bool) -> Look:
    """Decide what AUTO means: a bar where a line can be redrawn.

    Args:
        mode: What the user asked for.
        out: Where progress goes.
        terminal: Whether the terminal, if `out` is one, can redraw a line.
        colour: Whether it may be sent colours.
    """
    if mode is Mode.AUTO:
        mode = Mode.BAR if out.isatty() and terminal else Mode.PLAIN
    return Look(out=out, mode=mode, colour=colour and out.isatty() and terminal)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What is known at one moment: bytes there, bytes in all, bytes a second lately."""

    done: int
    total: int
    rate: float

    @property
    def percent(self) -> int:
        """The share that is there, rounded down, so that 100 means all."""
        return 100 * self.done // self.total if self.total else 100

    def line(self) -> str:
        """Write the moment as one line."""
        left = (self.total - self.done) / self.rate if self.rate > 0 else None
        time_left = "" if left is None else f", {duration(left)} left"
        return (
            f"{self.percent:3d}%  {size(self.done)} of {size(self.total)}"
            f"  {size(self.rate)}/s{time_left}"
        )

    def bar(self, *, colour: bool) -> str:
        """Write the moment as a bar that redraws its line."""
        full = WIDTH * self.done // self.total if self.total else WIDTH
        drawn = "#" * full
        shown = f"{GREEN}{drawn}{PLAIN}" if colour else drawn
        return f"{CLEAR}[{shown}{'.' * (WIDTH - full)}] {self.line()}"


async def shown(
    look: Look, work: Callable[[], Awaitable[None]], *, total: int, count: Callable[[], int]
) -> None:
    """Do `work` and show how far it is.

    Args:
        look: Where and how.
        work: What to do.
        total: Bytes in all.
        count: Gives the bytes that are there now.
    """
    if look.mode is Mode.NONE:
        return await work()
    try:
        await accompanied(work, by=partial(_show, look, total, count))
    finally:
        if look.mode is Mode.BAR:
            print(CLEAR, end="", file=look.out, flush=True)


async def _show(look: Look, total: int, count: Callable[[], int]) -> None:
    every = BAR_EVERY if look.mode is Mode.BAR else LINE_EVERY
    recent = [(time.monotonic(), count())]
    while True:
        await anyio.sleep(every)
        recent = [*recent[-round(LINE_EVERY / every) :], (time.monotonic(), count())]
        (before, had), (now, done) = recent[0], recent[-1]
        moment = Moment(done=done, total=total, rate=(done - had) / (now - before))
        if look.mode is Mode.BAR:
            print(moment.bar(colour=look.colour), end="", file=look.out, flush=True)
        else:
            print(moment.line(), file=look.out, flush=True)


def size(count: float) -> str:
    """Write a number of bytes with three digits and a decimal unit."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return (
                f"{count / factor:.2f} {unit}" if unit == "GB" else f"{count / factor:.1f} {unit}"
            )
    return f"{count:.0f} B"


def duration(seconds: float) -> str:
    """Write seconds as a person would."""
    whole = round(seconds)
    if whole < SHORT:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60:02d} s"
