"""The download cache: whole files by their sha256, and files on their way.

DIR/sha256/HEX          a whole file, verified when it was completed and again before each use
DIR/partial/HEX.data    a file on its way, at its final size, with gaps
DIR/partial/HEX.parts   how far each part of it has come
DIR/lock                held by the one download that writes here
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from stages.errors import StorageError
from stages.lockfile import File
from stages.partial import Partial
from stages.ranges import PART
from stages.stop import Stop

POLL = 0.2  # seconds between looks at a lock that another download holds


class Cache:
    """A folder that keeps what has been fetched, whatever model or commit it belongs to."""

    def __init__(self, folder: Path, *, part: int = PART) -> None:
        """Use `folder`, which need not exist, and fetch files in parts of `part` bytes."""
        self.folder = folder
        self._part = part
        self._whole = folder / "sha256"
        self._partial = folder / "partial"

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            StorageError: The cache cannot be written.
        """
        try:
            for folder in (self._whole, self._partial):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"the cache {self.folder} cannot be written: {error.strerror}. "
                "Choose another --cache"
            ) from error

    @contextlib.contextmanager
    def held(self, *, waiting: Callable[[], None], stop: Stop) -> Iterator[None]:
        """Hold the cache alone; calls `waiting` once if another download holds it."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            told = False
            while not _taken(descriptor):
                if not told:
                    waiting()
                told = True
                stop.sleep(POLL)
            yield
        finally:
            os.close(descriptor)

    def path(self, file: File) -> Path:
        """Give the path of the whole file, whether or not it is there."""
        return self._whole / file.sha256

    def partial(self, file: File) -> Partial:
        """Open the file's bytes on their way, starting anew if none are there."""
        return Partial.open(self._partial / file.sha256, file.size, part=self._part)

    def missing(self, file: File) -> int:
        """Count the bytes that must still be fetched for a file that is not whole."""
        if self.path(file).exists():
            return 0
        with self.partial(file) as partial:
            return file.size - partial.count

    def forget(self, file: File) -> None:
        """Delete the whole file, which does not hold what it should."""
        self.path(file).unlink(missing_ok=True)

    def copy(self, file: File, target: Path) -> None:
        """Put the file at `target`: a second name where the file system allows, else a copy."""
        source = self.path(file)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)


def _taken(descriptor: int) -> bool:
    """Try to take the lock; the system drops it when its holder ends, however it ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
