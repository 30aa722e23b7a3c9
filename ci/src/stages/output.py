"""What a stage writes: a folder empty before, and empty again if it fails, or one file at once."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from stages.errors import StorageError


@contextlib.contextmanager
def filling(out: Path) -> Iterator[None]:
    """Make the folder, and take back what was written if the work does not end well.

    Raises:
        StorageError: It is not an empty folder, or cannot be written.
    """
    check(out)
    was_there = out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        out.chmod(0o755)
        yield
    except OSError as error:
        _empty(out, remove=not was_there)
        raise StorageError(
            f"{out} cannot be written: {error.strerror}. Make room or choose another --out"
        ) from error
    except BaseException:
        _empty(out, remove=not was_there)
        raise


def check(out: Path) -> None:
    """Refuse an output that is not an empty folder or nothing at all, before work is done.

    Raises:
        StorageError: Says what is there.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise StorageError(f"{out} is not a folder: choose another --out")
    if out.is_dir() and (found := sorted(out.iterdir())):
        raise StorageError(
            f"{out} is not empty, it holds {found[0].name}: choose an empty folder for --out, "
            "or remove what is there"
        )


def check_file(path: Path) -> None:
    """Refuse a file in a folder that is not there, before work is done.

    Raises:
        StorageError: Names the folder.
    """
    if not path.parent.is_dir():
        raise StorageError(f"{path} cannot be written: there is no folder {path.parent}")


def replace(path: Path, text: str) -> None:
    """Write a file in one step, in the place of what was there.

    Raises:
        StorageError: It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(
            f"{path} cannot be written: {error.strerror}. Choose another --out"
        ) from error


def _empty(out: Path, *, remove: bool) -> None:
    """Delete what lies in a folder that was empty when we came."""
    for found in out.iterdir() if out.is_dir() else ():
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found, ignore_errors=True)
        else:
            found.unlink(missing_ok=True)
    if remove and out.is_dir():
        out.rmdir()
