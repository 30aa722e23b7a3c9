"""Whether an image is its lock's, its blobs are what they are called, and files at hand are its.

Each function gives a check's detail, or raises WrongError or IntegrityError with what is wrong.
"""

import hashlib
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from stages import compile_cache, image, layer, progress, verify
from stages.errors import IntegrityError
from stages.image import CACHE, RUNTIME, Image, Kind, Layer, Provenance
from stages.lockfile import Lock
from stages.scan import layout
from stages.scan.layout import Blob
from stages.smoke.content import Content, InFolder, sha256
from stages.smoke.report import WrongError
from stages.smoke.subject import Subject
from stages.stop import Stop

# What an image says of its making: no lock tells it.
_OF_THE_MAKING = {f"{image.OCI}.{name}" for name in ("created", "revision", "source", "version")}
WEIGHTS = frozenset({Kind.WEIGHTS, Kind.MODEL})


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """An image, and what it must agree with.

    Attributes:
        described: What the lock, the runtime and the compile cache make of it.
    """

    subject: Subject
    lock: Lock
    described: Image
    stop: Stop

    def image(self) -> str:
        """Hold how it starts and what it says of itself against the description."""
        wanted, run = self.described, self.subject.run
        arguments = self.subject.arguments
        _same("Entrypoint", arguments.entrypoint, wanted.entrypoint)
        _same("Cmd", arguments.cmd, wanted.command)
        _within("Env", arguments.env, wanted.env)
        for name, text in (
            ("User", wanted.user),
            ("WorkingDir", wanted.working_dir),
            ("StopSignal", wanted.stop_signal),
        ):
            _same(name, run.get(name), text)
        _within("label", self.subject.labels, _told(wanted.labels))
        _within("annotation", self.subject.annotations, _told(wanted.annotations))
        return f"starts {' '.join((*arguments.entrypoint, *arguments.cmd))} as {wanted.user}"

    def layers(self) -> str:
        """Hold our layers against the description, and every blob that is there to its digest."""
        _same("layers", [kind for kind, _ in self.subject.ours], [*self._kinds()])
        weights = {one.digest for one in self.described.layers if one.digest}
        for described, blob in self._pairs():
            if not self.subject.layout.path(blob.digest).exists() and blob.digest not in weights:
                raise WrongError(f"blob {blob.digest} of {described.told} is not in the layout")
            _same(f"size of {described.told}", blob.size, described.size)
            if described.digest:
                _same(f"digest of {described.told}", blob.digest, described.digest)
        return f"{self._check_blobs()} of {len(self.subject.layout.layers)} layers read"

    def weights(self, content: Content) -> str:
        """Hold the model's files against the lock, and against the layers that they make."""
        for described, blob in self._pairs():
            if described.kind not in WEIGHTS:
                continue
            if isinstance(content, InFolder):
                self._check_packed(described.home, described.entries, content.folder, blob)
            if not described.digest or not isinstance(content, InFolder):
                self._check_files(content, [one.path for one in described.entries])
        model = self.lock.model
        return f"{len(model.files)} files, {progress.size(model.size)}, are the lock's"

    def served(self, tree: Path) -> str:
        """Hold what is served beside the weights against the image's layers."""
        for described, blob in self._pairs():
            if described.kind not in WEIGHTS:
                folder = tree / described.home
                self._check_packed(described.home, described.entries, folder, blob)
        return f"{tree} holds what the image's layers do"

    def _kinds(self) -> Iterator[str]:
        return (str(one.kind) for one in self.described.layers)

    def _pairs(self) -> Iterator[tuple[Layer, Blob]]:
        blobs = [blob for _, blob in self.subject.ours]
        if len(blobs) != len(self.described.layers):
            raise WrongError(f"{len(blobs)} layers are ours, expected {len(self.described.layers)}")
        return zip(self.described.layers, blobs, strict=True)

    def _check_blobs(self) -> int:
        """Read each blob that the layout holds; give how many."""
        found = self.subject.layout
        there = [one for one in found.layers if found.path(one.digest).exists()]
        for one in there:
            self.stop.check()
            layout.check(found, one.digest, one.size)
        return len(there)

    def _check_packed(
        self, home: PurePosixPath, entries: Sequence[layer.Entry], folder: Path, blob: Blob
    ) -> None:
        hasher = hashlib.sha256()
        try:
            for piece in layer.pack(home, entries, folder):
                hasher.update(piece)
                self.stop.check()
        except (OSError, ValueError) as error:
            raise WrongError(f"{folder}: {error}") from error
        _same(f"layer of {folder}", f"sha256:{hasher.hexdigest()}", blob.digest)

    def _check_files(self, content: Content, paths: Sequence[str]) -> None:
        known = {file.path: file.sha256 for file in self.lock.model.files}
        for path in paths:
            _same(f"sha256 of {path}", sha256(content, path, self.stop), known[path])


def describe(lock: Lock, tree: Path, stop: Stop) -> Image:
    """Describe the image of a lock and a tree, whatever else lies in the tree.

    Raises:
        IntegrityError: The compile cache is not what it says.
    """
    runtime = tree / RUNTIME
    modules = [path for path in verify.files_below(runtime) if path.endswith(".py")]
    entries = [layer.Entry(path=path, size=(runtime / path).stat().st_size) for path in modules]
    cache = compile_cache.read(tree / CACHE, stop) if (tree / CACHE).is_dir() else ()
    return image.describe(lock, runtime=entries, cache=cache, provenance=Provenance())


def unpack(subject: Subject, into: Path) -> None:
    """Write what the image's layers hold beside the weights into a folder.

    Raises:
        IntegrityError: A layer cannot be read.
    """
    for kind, blob in subject.ours:
        path = subject.layout.path(blob.digest)
        if kind in WEIGHTS or not path.exists():
            continue
        try:
            with tarfile.open(path, "r:") as tar:
                tar.extractall(into, filter="data")
        except (OSError, tarfile.TarError) as error:
            raise IntegrityError(f"{path} cannot be read as a layer: {error}") from error


def _told(said: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in said.items() if name not in _OF_THE_MAKING}


def _same(what: str, seen: Any, wanted: Any) -> None:
    if seen != wanted:
        raise WrongError(f"{what} is {_shown(seen)}, expected {_shown(wanted)}")


def _within(what: str, seen: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    for name, text in wanted.items():
        _same(f"{what} {name}", seen.get(name), text)


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:197]}..."  # noqa: PLR2004
