"""Copy the kept cache to where it may be written, checked file by file.

In the image the cache belongs to root and cannot be written, but its users lock, touch and add
files. The copy runs in a process of its own while Python imports.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path, PurePosixPath

from runtime import helper, kept_cache
from runtime.kept_cache import File, Kept
from runtime.vllm_cache import FLASHINFER, FOLDERS, What, flashinfer, what

ROOT = "PREWARM_CACHE_ROOT"
"""Names the folder that holds every copy; some keys and build files hold its path."""

Places = Mapping[str, Path]
"""Folder of the kept cache -> where its files are used."""

Snapshot = Mapping[str, tuple[int, int]]
"""Path below the kept cache's folder -> (size in bytes, time of change in ns)."""


def lead(environ: MutableMapping[str, str]) -> Places:
    """Lead every user of a cache to a folder that can be written; what was set already, stays."""
    for kind, name in FOLDERS.items():
        environ[name] = environ.get(name) or str(root(environ) / kind)
    places = {kind: Path(environ[name]) for kind, name in FOLDERS.items()}
    return {**places, FLASHINFER: flashinfer(environ)}


def root(environ: Mapping[str, str]) -> Path:
    """Return the folder of all copies: the same at the bake and at every start of an image."""
    own = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(environ.get(ROOT) or Path(own, "prewarm"))


class Copying:
    """A copy that goes on in a process of its own."""

    def __init__(self, kept: Kept, places: Places) -> None:
        """Begin it."""
        self._reader, writer = os.pipe()

        def work() -> None:
            problems = copy(kept, places)
            with os.fdopen(writer, "w") as told:
                json.dump(problems, told)

        helper.fork(work)
        os.close(writer)

    def wait(self) -> list[str]:
        """Wait for its end; return what could not be copied and why, one sentence each."""
        with os.fdopen(self._reader, "rb") as told:
            text = told.read()
        return list(json.loads(text)) if text else ["the cache could not be copied"]


def copy(kept: Kept, places: Places) -> list[str]:
    """Copy every file that is what cache.json says, and none of an artefact that is not whole.

    A file that is there already, from an earlier start of this container, stays.

    Returns:
        What is missing or wrong, one sentence for each file.
    """
    problems: dict[str, list[str]] = {}
    made: dict[str, list[Path]] = {}
    for file in kept.files:
        target = _target(file, places)
        if target is None or (target.is_file() and target.stat().st_size == file.size):
            continue
        if problem := _copy_one(kept, file, target):
            problems.setdefault(artefact(file.path), []).append(problem)
        else:
            made.setdefault(artefact(file.path), []).append(target)
    for broken in problems:
        for target in made.get(broken, []):
            target.unlink(missing_ok=True)
    return [problem for found in problems.values() for problem in found]


def changed(kept: Kept, places: Places, paths: Iterable[str]) -> list[str]:
    """Leave out the files whose bytes are still those that were baked.

    A release that finds its graphs may unpack them over the files that it unpacked before: on
    0.25.1 sixteen at each start.
    """
    baked = {file.path: file for file in kept.files}
    return [
        path
        for path in paths
        if (file := baked.get(path)) is None or not _holds(_target(file, places), file)
    ]


def _holds(place: Path | None, file: File) -> bool:
    try:
        return place is not None and kept_cache.sha256(place) == file.sha256
    except OSError:  # gone again
        return False


def artefact(path: str) -> str:
    """Name what a file is a part of: with a part missing, the rest would mislead its user."""
    pure = PurePosixPath(path)
    if what(path) is What.GRAPH and pure.parts[0] == "vllm":
        return "/".join(pure.parts[:2])
    return str(pure.parent)


def _target(file: File, places: Places) -> Path | None:
    kind, _, rest = file.path.partition("/")
    return places[kind] / rest if kind in places else None


def _copy_one(kept: Kept, file: File, target: Path) -> str:
    """Copy one file under another name first; return what is wrong with it, or ""."""
    try:
        content = (kept.folder / file.path).read_bytes()
        if len(content) != file.size or hashlib.sha256(content).hexdigest() != file.sha256:
            return f"{file.path} is not the file that was baked"
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.prewarm")
        part.write_bytes(content)
        if (when := kept.times.get(file.path)) is not None:
            os.utime(part, ns=(when, when))
        part.rename(target)
    except FileNotFoundError:
        return f"{file.path} is missing"
    except OSError as error:
        return f"{file.path} cannot be copied into {target.parent}: {error.strerror}"
    return ""


def snapshot(places: Places) -> dict[str, tuple[int, int]]:
    """See what lies in the places now."""
    found = {}
    for kind, folder in places.items():
        for path, seen in kept_cache.below(folder).items():
            found[f"{kind}/{path}"] = (seen.st_size, seen.st_mtime_ns)
    return found
