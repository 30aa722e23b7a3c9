"""The weights: a folder with exactly the lock's files, verified, plain, ready to be packaged.

The folder is filled in such an order that it never looks complete before it is: the file without
which nothing loads a model goes first when files change, and comes last.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from stages.cache import Cache
from stages.errors import StorageError, UnsafeError
from stages.lockfile import CONFIG, File, Model

PREFIX = ".prewarm-"  # of a file not yet at its name


def check_folder(model: Model, out: Path) -> None:
    """Refuse a folder that holds anything but this model's files, before work is done.

    Raises:
        StorageError: Names what else is there.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise StorageError(f"{out} is not a folder: choose another --out")
    ours = {file.path for file in model.files}
    for found in sorted(out.rglob("*")):
        if found.is_dir() and not found.is_symlink():
            continue
        if found.name.startswith(PREFIX) or str(found.relative_to(out)) in ours:
            continue
        raise StorageError(
            f"{out} holds {found.relative_to(out)}, which is not in the lock: "
            "choose an empty folder for --out, or remove what is there"
        )


def check_no_code(path: str, content: bytes) -> None:
    """Refuse a configuration that names code to load from the repository.

    Raises:
        UnsafeError: It holds `auto_map`, or cannot be read as JSON.
    """
    try:
        value = json.loads(content)
        found = _names_code(value)
    except (ValueError, RecursionError) as error:
        raise UnsafeError(f"{path} is not sound JSON: the model is refused") from error
    if found:
        raise UnsafeError(
            f"{path} holds auto_map: this model runs code from its repository, which is refused. "
            "Choose a model that the server knows by itself"
        )


def may_name_code(path: str) -> bool:
    """Whether a file is one in which a model names code: a small JSON file at the top."""
    name = path.lower()
    return "/" not in name and name.endswith("config.json")


def assemble(model: Model, cache: Cache, out: Path) -> None:
    """Fill `out` with the model's files from the cache, replacing those of another commit.

    Raises:
        StorageError: The folder cannot be written.
        UnsafeError: A configuration names code; `out` is untouched.
    """
    for file in model.files:
        if may_name_code(file.path):
            check_no_code(file.path, cache.path(file).read_bytes())
    try:
        out.mkdir(parents=True, exist_ok=True)
        config = out / CONFIG
        if config.exists() and not _is(config, cache, model):
            config.unlink()
        for file in sorted(model.files, key=lambda file: (file.path == CONFIG, file.path)):
            _place(file, cache, out / file.path)
        _clean(out)
    except OSError as error:
        raise StorageError(
            f"{out} cannot be written: {error.strerror}. Nothing in it is complete: "
            "make room or choose another --out, and run the same command again"
        ) from error


def _is(config: Path, cache: Cache, model: Model) -> bool:
    """Whether the folder is this very model's already, file by file."""
    return all(_same(cache.path(file), config.parent / file.path) for file in model.files)


def _same(source: Path, target: Path) -> bool:
    """Whether two names are of one file."""
    with contextlib.suppress(OSError):
        return source.samefile(target) and not target.is_symlink()
    return False


def _place(file: File, cache: Cache, target: Path) -> None:
    """Put one file at its name in one step."""
    if _same(cache.path(file), target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{PREFIX}{file.sha256[:16]}")
    temporary.unlink(missing_ok=True)
    cache.copy(file, temporary)
    temporary.chmod(0o644)
    os.utime(temporary, (0, 0))
    temporary.replace(target)


def _clean(out: Path) -> None:
    """Delete what a killed run left, and date the folders 0, for they are packaged too."""
    for left in out.rglob(f"{PREFIX}*"):
        left.unlink()
    folders = [found for found in out.rglob("*") if found.is_dir()]
    for folder in (*folders, out):
        folder.chmod(0o755)
        os.utime(folder, (0, 0))


def _names_code(value: Any) -> bool:
    """Look for the key `auto_map` at any depth."""
    if isinstance(value, dict):
        return "auto_map" in value or any(_names_code(item) for item in value.values())
    return isinstance(value, list) and any(_names_code(item) for item in value)
