"""The compile cache that `bake` kept: a folder with a cache.json that says what is in it.

cache.json holds {"version": 1, "key": {fact -> value that the cache was made under}, "recorded":
{fact -> value that takes no part}, "settings": {variable -> text}, "arguments": [text, ...],
"files": [{"path", "size" in bytes, "sha256"}, ...]}. What is cached is code that will run.
"""

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

_BLOCK_BYTES = 1 << 20


class UnreadableError(Exception):
    """There is a cache, but its cache.json cannot be understood."""


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
    """A kept cache: where it lies, and what its cache.json says."""

    folder: Path
    key: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    recorded: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What was set for the bake: a variable's name -> text."""
    arguments: tuple[str, ...] = ()
    """What followed the image's name at the bake."""
    files: tuple[File, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def find(environ: Mapping[str, str]) -> Kept | None:
    """Read the cache of this image, None where there is none.

    Raises:
        UnreadableError: there is one, and its cache.json says nothing.
    """
    folder = Path(environ.get(VARIABLE) or DEFAULT)
    try:
        told = json.loads((folder / FACTS).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{folder / FACTS} cannot be read: {error}") from error
    try:
        _check_version(told["version"])
        return Kept(
            folder=folder,
            key=dict(told["key"]),
            recorded=dict(told["recorded"]),
            settings={str(name): str(text) for name, text in told["settings"].items()},
            arguments=tuple(map(str, told["arguments"])),
            files=tuple(map(_file, told["files"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableError(f"{folder / FACTS} is not what `bake` writes: {error!r}") from error


def _check_version(seen: Any) -> None:
    if seen != VERSION:
        raise ValueError(f"version {seen}")


def _file(item: Any) -> File:
    path = PurePosixPath(item["path"])
    if path.is_absolute() or ".." in path.parts or len(path.parts) < 2:  # noqa: PLR2004 - KIND/FILE
        raise ValueError(str(path))
    return File(path=str(path), size=int(item["size"]), sha256=str(item["sha256"]))


def write(kept: Kept) -> None:
    """Write the cache's cache.json, the same text for the same cache."""
    told = {
        "version": VERSION,
        "key": kept.key,
        "recorded": kept.recorded,
        "settings": kept.settings,
        "arguments": list(kept.arguments),
        "files": [dataclasses.asdict(file) for file in kept.files],
    }
    text = json.dumps(told, indent=1, sort_keys=True)
    (kept.folder / FACTS).write_text(f"{text}\n")


def listed(folder: Path, paths: Iterable[str]) -> tuple[File, ...]:
    """Describe files below `folder`, in the order of their names."""
    return tuple(
        File(path=path, size=(folder / path).stat().st_size, sha256=sha256(folder / path))
        for path in sorted(paths)
    )


def below(folder: Path) -> list[str]:
    """Name every plain file below `folder`, relative to it, in order; a link is none."""
    found = []
    for home, _, names in os.walk(folder):
        for name in names:
            file = Path(home, name)
            if file.is_file() and not file.is_symlink():
                found.append(str(file.relative_to(folder)))
    return sorted(found)


def sha256(file: Path) -> str:
    """Hash a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
