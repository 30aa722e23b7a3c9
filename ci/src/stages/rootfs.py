"""The tree: everything of ours that the image holds, as plain files where they will lie.

OUT/model-cache/models/NAME/   the lock's files
OUT/opt/prewarm/runtime/       the runtime package, its modules only
OUT/opt/prewarm/compile-cache/ what `bake` kept, if there is any
"""

import contextlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stages import compile_cache, disk, layer, output, verify
from stages.errors import IntegrityError, LockError, UsageError
from stages.image import CACHE, RUNTIME
from stages.lockfile import File, Lock
from stages.stop import Stop

MODE = 0o644  # of every file in the image
MAIN = "__main__.py"  # what makes a package one that can be run
_WEIGHTS = "--weights takes the folder that `download` filled for this lock"
_ROOTFS = "--rootfs takes the folder that `rootfs` wrote for this lock"


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A tree that has been checked: its folder, the runtime's modules, the cache's files.

    Attributes:
        cached: Where the cache's files lie: in the tree, or in a folder of their own.
    """

    folder: Path
    runtime: tuple[layer.Entry, ...]
    cache: tuple[File, ...]
    cached: Path

    def place(self, home: PurePosixPath) -> Path:
        """Give the folder here that holds what lies at `home` in the image."""
        return self.cached if home == CACHE else self.folder / home


def make(
    lock: Lock, *, weights: Path | None, runtime: Path, cache: Path | None, out: Path, stop: Stop
) -> Tree:
    """Write the tree into an empty folder: second names of the files where that can be, or copies.

    Args:
        lock: What is packaged.
        weights: The folder of the model's files; None leaves them out, which takes a lock that
            knows their layers.
        runtime: The runtime package.
        cache: The folder that `bake` wrote, if any.
        out: The folder to fill.
        stop: Ends the work.

    Raises:
        LockError: There are no weights, and the lock does not know all of their layers.
        IntegrityError: Weights or cache are not what they should be; `out` is left empty.
        UsageError: `runtime` is not the runtime package.
        StorageError: `out` is not empty or cannot be written.
    """
    output.check(out)
    names = modules(runtime)
    files = compile_cache.read(cache, stop) if cache else ()
    home = layer.MODELS / lock.model.name
    if weights is None:
        check_known(lock)
    elif not disk.same_device(weights, out):
        disk.check([disk.Need(out, lock.model.size)])
    with output.filling(out):
        if weights:
            _place_weights(lock, weights, out / home, stop)
        for module in names:
            place(runtime / module, out / RUNTIME / module, link=False)
        for file in files:
            place((cache or out) / file.path, out / CACHE / file.path, link=False)
        date(out)
        return read(lock, out, stop, known=weights is None)


def check_known(lock: Lock) -> None:
    """Refuse a lock that does not say which layers the weights make.

    Raises:
        LockError: Says which layer it is, and how it becomes known.
    """
    for one in lock.model.layers:
        if one.digest is None:
            raise LockError(
                f"--known: the lock does not know the digest of the layer of {one.files[0]}. Run "
                "`lock --weights DIR` once where the weights are"
            )


def read(
    lock: Lock, folder: Path, stop: Stop, *, known: bool = False, cache: Path | None = None
) -> Tree:
    """Check that a tree holds exactly what the image will; the weights by their sizes only.

    Args:
        lock: What is packaged.
        folder: The tree.
        stop: Ends the work.
        known: The weights may be absent.
        cache: A compile cache that the tree does not hold.

    Raises:
        IntegrityError: Something is absent, differs, or does not belong there.
        UsageError: There are two compile caches.
    """
    there = set(verify.files_below(folder))
    home = layer.MODELS / lock.model.name
    for file in lock.model.files:
        path = str(home / file.path)
        size = (folder / path).stat().st_size if path in there else None
        if size != file.size and not (known and size is None):
            seen = "absent" if size is None else f"{size} bytes long"
            raise IntegrityError(
                f"{folder / path} is {seen}, the lock says {file.size} bytes. {_ROOTFS}"
            )
    weights = {str(home / file.path) for file in lock.model.files}
    modules = {path for path in there if path.startswith(f"{RUNTIME}/") and path.endswith(".py")}
    cached = {path for path in there if path.startswith(f"{CACHE}/")}
    if other := sorted(there - weights - modules - cached):
        raise IntegrityError(f"{folder} holds {other[0]}, which no image should. {_ROOTFS}")
    if f"{RUNTIME}/{MAIN}" not in modules:
        raise IntegrityError(f"{folder} holds no {RUNTIME}/{MAIN}. {_ROOTFS}")
    if cached and cache:
        raise UsageError(f"--compile-cache: {folder} holds a compile cache already")
    place = cache or folder / CACHE
    return Tree(
        folder=folder,
        runtime=tuple(
            layer.Entry(path=path.removeprefix(f"{RUNTIME}/"), size=(folder / path).stat().st_size)
            for path in sorted(modules)
        ),
        cache=compile_cache.read(place, stop) if cached or cache else (),
        cached=place,
    )


def modules(runtime: Path) -> list[str]:
    """List the package's modules; what Python left beside them is not part of it.

    Raises:
        UsageError: The folder is no package that can be run.
    """
    if not (runtime / MAIN).is_file():
        raise UsageError(f"--runtime: {runtime} holds no {MAIN}; expected the runtime package")
    return [path for path in verify.files_below(runtime) if path.endswith(".py")]


def _place_weights(lock: Lock, weights: Path, home: Path, stop: Stop) -> None:
    for file in lock.model.files:
        source = weights / file.path
        verify.check(file, source, stop=stop, advice=_WEIGHTS)
        place(source, home / file.path)


def place(source: Path, target: Path, *, link: bool = True) -> None:
    """Put a file at its name in the tree, without changing the one that was given."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if link and _is_plain(source):
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copyfile(source, target)
    target.chmod(MODE)
    os.utime(target, (0, 0))


def _is_plain(source: Path) -> bool:
    """Whether a second name has the mode and time that the tree wants, as `download` writes."""
    found = source.lstat()
    return found.st_mode == stat.S_IFREG | MODE and found.st_mtime_ns == 0


def date(out: Path) -> None:
    """Give every folder the mode and time that it has in a layer."""
    for folder in (*(found for found in out.rglob("*") if found.is_dir()), out):
        folder.chmod(0o755)
        os.utime(folder, (0, 0))
