"""Too little disk is told before the first byte."""

import os
from collections import namedtuple
from pathlib import Path

import pytest

from stages import disk
from stages.errors import StorageError

Stats = namedtuple("Stats", "f_blocks f_bfree f_files f_bavail f_frsize")  # noqa: PYI024


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Set free bytes by the folder's name; other folders share one disk of 1 GB."""
    sizes: dict[str, int] = {}

    def statvfs(path: Path) -> Stats:
        blocks = sizes.get(path.name, 10**6)
        return Stats(blocks * 2, blocks, 7, blocks, 1000)

    monkeypatch.setattr(os, "statvfs", statvfs)
    return sizes


def test_room_enough_is_no_error(tmp_path: Path, free: dict[str, int]) -> None:
    """Less than what is free, less a little for others, passes."""
    assert free == {}
    disk.check([disk.Need(tmp_path / "not" / "yet", 900_000_000)])


def test_too_little_room_is_refused(tmp_path: Path, free: dict[str, int]) -> None:
    """The message has the folder, what is needed and what is free."""
    assert free == {}
    with pytest.raises(StorageError, match=r"out.*1\.00 GB are needed, 1\.00 GB are free"):
        disk.check([disk.Need(tmp_path / "out", 10**9)])


def test_two_mounts_of_one_disk_share_its_room(tmp_path: Path, free: dict[str, int]) -> None:
    """Cache and output together must fit where both lie on one disk."""
    both = [disk.Need(tmp_path / "a", 600_000_000), disk.Need(tmp_path / "b", 600_000_000)]

    with pytest.raises(StorageError, match=r"1\.20 GB are needed"):
        disk.check(both)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    free["b"] = 10**6 + 1
    disk.check(both)


def test_nothing_to_write_needs_no_room(tmp_path: Path, free: dict[str, int]) -> None:
    """A full disk is no reason to refuse what is there already."""
    free[tmp_path.name] = 0

    disk.check([disk.Need(tmp_path, 0)])
