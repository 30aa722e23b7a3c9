"""An OCI image layout on its way to disk: blobs first, and the index that names them last."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stages.errors import StorageError
from stages.stop import Stop

VERSION = b'{"imageLayoutVersion":"1.0.0"}'


@dataclass(frozen=True, kw_only=True)
class Blob:
    """What was written: its `sha256:` digest and its size in bytes."""

    digest: str
    size: int


@dataclass(frozen=True)
class Layout:
    """A layout in a folder that is there and empty."""

    folder: Path
    stop: Stop

    def add(self, pieces: Iterable[bytes | memoryview]) -> Blob:
        """Write a blob under its digest, hashing the very bytes that are written.

        Raises:
            StorageError: The disk kept another number of bytes than it was given.
        """
        blobs = self.folder / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        temporary = blobs / f".{os.getpid()}"
        hasher, size = hashlib.sha256(), 0
        # In one thread: pieces of 1 MiB are hashed and written while the processor's own cache
        # holds them, which measured faster than handing them to a second thread.
        with temporary.open("wb", buffering=0) as file:
            for piece in pieces:
                self.stop.check()
                hasher.update(piece)
                size += len(piece)
                _write(file.fileno(), piece)
        blob = Blob(digest=f"sha256:{hasher.hexdigest()}", size=size)
        if temporary.stat().st_size != size:
            raise StorageError(f"{self.folder}: {size} bytes were written, fewer were kept")
        temporary.chmod(0o644)
        temporary.replace(blobs / hasher.hexdigest())
        return blob

    def finish(self, index: bytes) -> None:
        """Make it a layout: readers look for these two files."""
        for name, content in (("oci-layout", VERSION), ("index.json", index)):
            (self.folder / name).write_bytes(content)
            (self.folder / name).chmod(0o644)
        for folder in (self.folder / "blobs", self.folder / "blobs" / "sha256"):
            folder.chmod(0o755)


def _write(descriptor: int, piece: bytes | memoryview) -> None:
    """Write all of a piece, however many calls that takes."""
    left = memoryview(piece)
    while left:
        left = left[os.write(descriptor, left) :]
