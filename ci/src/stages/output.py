"""A folder that a stage fills: empty before, and empty again if the stage fails."""

import contextlib
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


def _empty(out: Path, *, remove: bool) -> None:
    """Delete what lies in a folder that was empty when we came."""
    for found in out.iterdir() if out.is_dir() else ():
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found, ignore_errors=True)
        else:
            found.unlink(missing_ok=True)
    if remove and out.is_dir():
        out.rmdir()
