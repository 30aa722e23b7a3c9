"""One folder for each kind of layer, for makers of images that copy folders, as a Dockerfile does.

OUT/weights/        model-cache/models/NAME/...  weight files
OUT/model-files/    model-cache/models/NAME/...  the model's other files
OUT/compile-cache/  opt/prewarm/compile-cache/   what `bake` kept
OUT/runtime/        opt/prewarm/runtime/         the runtime package
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stages import compile_cache, output, rootfs, verify
from stages.image import CACHE, RUNTIME, Kind, weight_layers
from stages.lockfile import Lock
from stages.stop import Stop

_WEIGHTS = "--weights takes the folder that `download` filled for this lock"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What is laid out: the folder of each part, None where that part is not wanted."""

    weights: Path | None = None
    runtime: Path | None = None
    cache: Path | None = None


def make(lock: Lock, sources: Sources, *, out: Path, stop: Stop) -> None:
    """Fill an empty folder: second names of weights where that can be, or copies.

    Raises:
        IntegrityError: Weights or cache are not what they should be; `out` is left empty.
        UsageError: `sources.runtime` is not the runtime package.
        StorageError: `out` is not empty or cannot be written.
    """
    with output.filling(out):
        if sources.weights:
            _weights(lock, sources.weights, out, stop)
        if sources.runtime:
            modules = rootfs.modules(sources.runtime)
            _copy(sources.runtime, modules, out / Kind.RUNTIME, RUNTIME)
        if sources.cache:
            files = [file.path for file in compile_cache.read(sources.cache, stop)]
            _copy(sources.cache, files, out / Kind.CACHE, CACHE)
        rootfs.date(out)


def _weights(lock: Lock, folder: Path, out: Path, stop: Stop) -> None:
    known = {file.path: file for file in lock.model.files}
    for one in weight_layers(lock):
        for entry in one.entries:
            source = folder / entry.path
            verify.check(known[entry.path], source, stop=stop, advice=_WEIGHTS)
            rootfs.place(source, out / one.kind / one.home / entry.path)


def _copy(folder: Path, paths: list[str], out: Path, home: PurePosixPath) -> None:
    for path in paths:
        rootfs.place(folder / path, out / home / path, link=False)
