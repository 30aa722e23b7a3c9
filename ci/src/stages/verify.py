"""Files on disk, held against what is known of them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from stages.errors import IntegrityError
from stages.lockfile import File
from stages.names import path_problem
from stages.stop import Stop

READ = 2**20  # bytes hashed at a time


def sha256(path: Path, stop: Stop) -> str:
    """Hash a file, giving up as soon as the work must stop."""
    hasher = hashlib.sha256()
    with path.open("rb", buffering=0) as opened:
        while piece := opened.read(READ):
            hasher.update(piece)
            stop.check()
    return hasher.hexdigest()


def check(file: File, path: Path, *, stop: Stop, advice: str) -> None:
    """Hold one file against its size and sha256.

    Raises:
        IntegrityError: It is absent or another one; ends with `advice`.
    """
    try:
        size = path.stat().st_size
        found = sha256(path, stop) if size == file.size else "not looked at"
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {error.strerror}. {advice}") from error
    if found != file.sha256:
        raise IntegrityError(
            f"{path} has {size} bytes and sha256 {found}, expected {file.size} bytes and "
            f"{file.sha256}. {advice}"
        )


def files_below(folder: Path) -> Iterator[str]:
    """Yield the path of every plain file below `folder`, relative to it, in order.

    Raises:
        IntegrityError: There is a link, a device or the like, or a name no image should hold.
    """
    for found in sorted(folder.rglob("*")):
        path = found.relative_to(folder).as_posix()
        if problem := path_problem(path):
            raise IntegrityError(f"{folder}: {problem}")
        if found.is_symlink() or not (found.is_dir() or found.is_file()):
            raise IntegrityError(f"{found} is neither a plain file nor a folder")
        if found.is_file():
            yield path
