"""Whether there is room, before the first byte is fetched."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stages.errors import StorageError

SPARE = 64 * 2**20  # bytes left for everyone else


@dataclass(frozen=True)
class Need:
    """How many bytes a folder, which need not exist yet, is about to receive."""

    folder: Path
    size: int


def existing(folder: Path) -> Path:
    """Give the folder, or its nearest parent that exists."""
    absolute = folder.absolute()
    return next(one for one in (absolute, *absolute.parents) if one.exists())


def same_device(one: Path, other: Path) -> bool:
    """Whether files can be linked between two folders, which need not exist yet."""
    return existing(one).stat().st_dev == existing(other).stat().st_dev


def check(needs: Iterable[Need]) -> None:
    """Compare needs with what is free; mounts that share a disk are counted together.

    Raises:
        StorageError: A disk has too little room; says how much is needed and free.
    """
    sums: dict[tuple[int, ...], tuple[Path, int, int]] = {}
    for need in needs:
        stats = os.statvfs(existing(need.folder))
        # Two mounts of one disk have different device numbers but the same counters.
        disk = (stats.f_blocks, stats.f_bfree, stats.f_files)
        folder, size, _ = sums.get(disk, (need.folder, 0, 0))
        sums[disk] = (folder, size + need.size, stats.f_bavail * stats.f_frsize)
    for folder, size, free in sums.values():
        if size and size + SPARE > free:
            raise StorageError(
                f"too little disk at {folder}: {size / 1e9:.2f} GB are needed, "
                f"{free / 1e9:.2f} GB are free. Make room, or choose another folder"
            )
