"""A file on its way survives its writer."""

from pathlib import Path

import pytest

from stages.partial import Partial
from tests.stages.model import noise

SIZE, PART = 1000, 300
BYTES = noise(SIZE)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Give the path without a suffix."""
    return tmp_path / ("0" * 64)


def fill(partial: Partial, *ranges: tuple[int, int]) -> None:
    """Write these ranges of the file."""
    for start, end in ranges:
        partial.write(start, BYTES[start:end])


def test_new_file_has_nothing(base: Path) -> None:
    """Nothing is there at first, and the data has its final size."""
    with Partial.open(base, SIZE, part=PART) as partial:
        assert (partial.count, partial.frontier, partial.resumed) == (0, 0, False)
        assert base.with_suffix(".data").stat().st_size == SIZE


def test_what_was_written_is_there_after_a_restart(base: Path) -> None:
    """A second run sees each part where the first one left it."""
    with Partial.open(base, SIZE, part=PART) as partial:
        fill(partial, (0, 250), (300, 301), (900, 1000))

    with Partial.open(base, SIZE, part=PART) as again:
        assert again.done == [250, 1, 0, 100]
        assert (again.frontier, again.resumed) == (250, True)


def test_bytes_after_a_gap_are_not_counted(base: Path) -> None:
    """A part counts from its start: bytes past a gap in it do not count."""
    with Partial.open(base, SIZE, part=PART) as partial:
        fill(partial, (10, 20))

        assert partial.count == 0


def test_a_write_may_run_through_parts(base: Path) -> None:
    """A body that holds the whole file fills every part, whatever each had before."""
    with Partial.open(base, SIZE, part=PART) as partial:
        fill(partial, (300, 400), (0, 700), (700, 1000))

        assert partial.frontier == SIZE


@pytest.mark.parametrize(
    "damage",
    [
        lambda _, parts: parts.write_bytes(b""),
        lambda _, parts: parts.write_bytes(parts.read_bytes() + b"x"),
        lambda _, parts: parts.write_bytes(b"X" + parts.read_bytes()[1:]),
        lambda _, parts: parts.write_bytes(parts.read_bytes()[:-8] + b"\xff" * 8),
        lambda data, _: data.write_bytes(b"short"),
        lambda data, _: data.unlink(),
    ],
    ids=["empty", "longer", "other magic", "count past the end", "short data", "no data"],
)
def test_journal_that_does_not_fit_is_not_believed(base: Path, damage: object) -> None:
    """A damaged journal, or data of another size, starts the file anew."""
    with Partial.open(base, SIZE, part=PART) as partial:
        fill(partial, (0, 1000))
    damage(base.with_suffix(".data"), base.with_suffix(".parts"))  # type: ignore[operator]

    with Partial.open(base, SIZE, part=PART) as again:
        assert (again.count, again.resumed) == (0, False)


def test_other_part_size_starts_anew(base: Path) -> None:
    """A journal of another division says nothing about this one."""
    with Partial.open(base, SIZE, part=PART) as partial:
        fill(partial, (0, 1000))

    with Partial.open(base, SIZE, part=PART + 1) as again:
        assert again.count == 0


def test_complete_file_is_plain(base: Path, tmp_path: Path) -> None:
    """A completed file has mode 0644 and time 0, and leaves no journal."""
    target = tmp_path / "whole"
    with Partial.open(base, SIZE, part=PART) as partial:
        fill(partial, (0, 1000))
        partial.complete(target)

    assert target.read_bytes() == BYTES
    assert (target.stat().st_mode & 0o7777, target.stat().st_mtime) == (0o644, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_empty_file_is_complete_at_once(base: Path) -> None:
    """A file of no bytes has no parts."""
    with Partial.open(base, 0, part=PART) as partial:
        assert (partial.frontier, partial.parts) == (0, ())


def test_discarded_file_leaves_nothing(base: Path, tmp_path: Path) -> None:
    """What is discarded is deleted."""
    with Partial.open(base, SIZE, part=PART) as partial:
        partial.discard()

    assert list(tmp_path.iterdir()) == []
