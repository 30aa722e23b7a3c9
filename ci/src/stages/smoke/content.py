"""The image's files, wherever they are at hand: in a folder, or in the layers of a layout."""

import hashlib
import tarfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from stages.errors import IntegrityError
from stages.stop import Stop
from stages.verify import READ


class Content(Protocol):
    """Files by their path below one folder of the image."""

    def open(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """Open one for reading, from any place in it.

        Raises:
            IntegrityError: It is not there, or cannot be read.
        """


@dataclass(frozen=True)
class InFolder:
    """A folder that `download` or `rootfs` wrote."""

    folder: Path

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        """Open a plain file."""
        try:
            with (self.folder / path).open("rb") as file:
                yield file
        except OSError as error:
            raise IntegrityError(f"{self.folder / path}: {error.strerror}") from error


@dataclass(frozen=True)
class InLayers:
    """The blobs of layers: plain tars, as all of ours are.

    Attributes:
        home: The folder, relative to the image's root.
    """

    blobs: tuple[Path, ...]
    home: PurePosixPath

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        """Open a member of whichever layer has it."""
        for blob in self.blobs:
            try:
                with tarfile.open(blob, "r:") as tar:
                    file = _member(tar, str(self.home / path))
                    if file:
                        yield file
                        return
            except (OSError, tarfile.TarError) as error:
                raise IntegrityError(f"{blob} cannot be read as a layer: {error}") from error
        raise IntegrityError(f"no layer of the image holds {self.home / path}")


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes] | None:
    try:
        return tar.extractfile(name)
    except KeyError:
        return None


def sha256(content: Content, path: str, stop: Stop) -> str:
    """Hash a file."""
    hasher = hashlib.sha256()
    with content.open(path) as opened:
        while piece := opened.read(READ):
            hasher.update(piece)
            stop.check()
    return hasher.hexdigest()


def read(content: Content, path: str, *, most: int) -> bytes:
    """Read a file whole.

    Raises:
        IntegrityError: It is larger than `most` bytes, or cannot be read.
    """
    with content.open(path) as opened:
        found = opened.read(most + 1)
    if len(found) > most:
        raise IntegrityError(f"{path} is larger than {most} bytes")
    return found
