"""The compile cache that `bake` kept: a folder with a cache.json that says what is in it.

What is cached is code that will run, so a file is used only if it is the one that was baked.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

FACTS = "cache.json"
VERSION = 1
VARIABLE = "PREWARM_COMPILE_CACHE"
DEFAULT = Path("/opt/prewarm/compile-cache")


@dataclasses.dataclass(frozen=True, kw_only=True)
class File:
    """One file of the cache."""

    path: str
    """Relative to the cache's folder."""
    size: int
    """Bytes."""
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kept:
    """A kept cache: where it lies, and what its cache.json says in fields of the same names."""

    folder: Path
    problem: str = ""
    """Why the cache cannot be used at all; empty where it can."""
    key: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What it was made under: fact -> value."""
    recorded: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What else was so: fact -> value; it takes no part in the key."""
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What was set for the bake: a variable's name -> text."""
    arguments: tuple[str, ...] = ()
    """What followed the image's name at the bake."""
    files: tuple[File, ...] = ()
    times: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Path -> time of change in ns, of files whose user builds them again if it is another."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def find(environ: Mapping[str, str]) -> Kept | None:
    """Read the cache of this image, None where there is none."""
    folder = Path(environ.get(VARIABLE) or DEFAULT)
    try:
        return _read(folder, json.loads((folder / FACTS).read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Kept(folder=folder, problem=f"{folder / FACTS} cannot be read: {error.strerror}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Kept(folder=folder, problem=f"{folder / FACTS} is not what `bake` writes: {error!r}")


def _read(folder: Path, told: Any) -> Kept:
    if told["version"] != VERSION:
        raise ValueError(told["version"])
    return Kept(
        folder=folder,
        key=dict(told["key"]),
        recorded=dict(told["recorded"]),
        settings={str(name): str(text) for name, text in told["settings"].items()},
        arguments=tuple(map(str, told["arguments"])),
        files=tuple(map(_file, told["files"])),
        times={str(path): int(when) for path, when in told["times"].items()},
    )


def _file(item: Any) -> File:
    path = PurePosixPath(item["path"])
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(str(path))
    return File(path=str(path), size=int(item["size"]), sha256=str(item["sha256"]))


def write(kept: Kept) -> None:
    """Write the cache's cache.json: the same text for the same cache."""
    told = {"version": VERSION} | dataclasses.asdict(kept)
    del told["folder"], told["problem"]
    text = json.dumps(told, indent=1, sort_keys=True)
    (kept.folder / FACTS).write_text(f"{text}\n")


def listed(folder: Path, paths: Iterable[str]) -> tuple[File, ...]:
    """Describe files below `folder`, in the order of their names."""
    return tuple(
        File(path=path, size=(folder / path).stat().st_size, sha256=sha256(folder / path))
        for path in sorted(paths)
    )


def below(folder: Path) -> dict[str, os.stat_result]:
    """Find every plain file below `folder`: path relative to it -> its state; a link is none.

    This is looked at while a start waits, so no object is made for each of thousands of files.
    """
    found: dict[str, os.stat_result] = {}
    _find(str(folder), "", found)
    return found


def _find(folder: str, before: str, found: dict[str, os.stat_result]) -> None:
    try:
        entries = list(os.scandir(folder))
    except OSError:  # there is none, or it is not ours to see
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            _find(entry.path, f"{before}{entry.name}/", found)
        elif entry.is_file(follow_symlinks=False):
            with contextlib.suppress(FileNotFoundError):  # a half-written one, renamed meanwhile
                found[f"{before}{entry.name}"] = entry.stat(follow_symlinks=False)


def sha256(file: Path) -> str:
    """Hash a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
