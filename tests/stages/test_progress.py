"""Progress is a bar on a terminal and lines elsewhere."""

import io
import os
import pty
from collections.abc import Iterator
from functools import partial

import anyio
import pytest

from stages import progress
from stages.progress import Look, Mode, Moment

HALF = Moment(done=500_000_000, total=1_000_000_000, rate=50_000_000)


@pytest.fixture
def terminal() -> Iterator[io.TextIOWrapper]:
    """Give one end of a terminal."""
    other, descriptor = pty.openpty()
    with os.fdopen(descriptor, "w") as file:
        yield file
    os.close(other)


def test_auto_is_a_bar_on_a_terminal_and_lines_elsewhere(terminal: io.TextIOWrapper) -> None:
    """A terminal that cannot redraw a line gets lines too."""
    modes = [
        progress.look(Mode.AUTO, out, terminal=redraws, colour=True).mode
        for out, redraws in ((terminal, True), (terminal, False), (io.StringIO(), True))
    ]

    assert modes == [Mode.BAR, Mode.PLAIN, Mode.PLAIN]


@pytest.mark.parametrize("mode", [Mode.BAR, Mode.PLAIN, Mode.NONE])
def test_choice_of_the_user_is_kept(mode: Mode) -> None:
    """What was asked for is what is shown."""
    assert progress.look(mode, io.StringIO(), terminal=True, colour=True).mode is mode


def test_colour_needs_a_terminal_and_no_no_color(terminal: io.TextIOWrapper) -> None:
    """See https://no-color.org."""
    looks = [
        progress.look(Mode.BAR, out, terminal=True, colour=colour).colour
        for out, colour in ((terminal, True), (terminal, False), (io.StringIO(), True))
    ]

    assert looks == [True, False, False]


def test_line_says_how_far_how_fast_and_how_long() -> None:
    """Share, bytes, rate and time left."""
    assert HALF.line() == " 50%  500.0 MB of 1.00 GB  50.0 MB/s, 10 s left"
    assert Moment(done=0, total=10, rate=0).line() == "  0%  0 B of 10 B  0 B/s"


def test_bar_is_as_long_as_the_share() -> None:
    """Half of it is full at half."""
    assert f"[{'#' * 12}{'.' * 12}]" in HALF.bar(colour=False)
    assert f"{progress.GREEN}{'#' * 12}{progress.PLAIN}" in HALF.bar(colour=True)


def test_all_means_all() -> None:
    """100 % is shown when the last byte is there, and for a transfer of nothing."""
    assert Moment(done=999, total=1000, rate=1).percent == 99
    assert Moment(done=0, total=0, rate=1).percent == 100
    assert "." not in Moment(done=0, total=0, rate=1).bar(colour=False).partition("]")[0]


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (119, "119 s"), (125, "2 min 05 s")])
def test_duration_is_written_as_a_person_would(seconds: float, text: str) -> None:
    """Minutes from two minutes on."""
    assert progress.duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(5, "5 B"), (1500, "1.5 kB"), (2e9, "2.00 GB")])
def test_size_has_a_decimal_unit(count: float, text: str) -> None:
    """As disks and networks are sold."""
    assert progress.size(count) == text


def shown(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> str:
    """Show a short piece of work."""
    monkeypatch.setattr(progress, "BAR_EVERY", 0.01)
    monkeypatch.setattr(progress, "LINE_EVERY", 0.05)
    out = io.StringIO()
    look = Look(out=out, mode=mode, colour=False)
    work = partial(anyio.sleep, 0.2)
    anyio.run(partial(progress.shown, look, work, total=10, count=lambda: 5))
    return out.getvalue()


def test_bar_redraws_and_clears_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it stays in the terminal."""
    text = shown(Mode.BAR, monkeypatch)

    assert "50%" in text
    assert "\n" not in text
    assert text.endswith(progress.CLEAR)


def test_lines_come_every_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log gets whole lines without control characters."""
    text = shown(Mode.PLAIN, monkeypatch)

    assert 2 <= len(text.splitlines()) <= 4
    assert all(line.isprintable() for line in text.splitlines())


def test_none_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written."""
    assert shown(Mode.NONE, monkeypatch) == ""
