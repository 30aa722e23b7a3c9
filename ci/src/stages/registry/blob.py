"""A blob on its way to a registry: its bytes from any place on, as often as they are needed."""

import contextlib
import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from stages.errors import IntegrityError
from stages.reference import Reference
from stages.registry.reading import PIECE, Registry


class Blob(Protocol):
    """Bytes known by their digest, which whoever receives them holds them to."""

    @property
    def digest(self) -> str:
        """The `sha256:` digest."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def open(self, start: int) -> AbstractContextManager[Iterator[bytes]]:
        """Give the bytes from `start` on, in pieces.

        Raises:
            IntegrityError: They are not those of the digest.
            TransientError: They cannot be had this time.
        """

    def check(self) -> None:
        """Look for the fault after a registry found other bytes than the digest's.

        Raises:
            IntegrityError: It is ours.
        """


@dataclass(frozen=True, kw_only=True)
class InFile:
    """A blob in a file on this machine."""

    digest: str
    size: int
    path: Path

    @contextlib.contextmanager
    def open(self, start: int) -> Iterator[Iterator[bytes]]:
        """Read the file, if it is as long as it should be."""
        try:
            file = self.path.open("rb", buffering=0)
        except OSError as error:
            raise IntegrityError(
                f"blob {self.digest} cannot be read: {error.strerror}. Make the layout again"
            ) from error
        with file:
            length = file.seek(0, 2)
            if length != self.size:
                raise self._other(f"{length} bytes long")
            file.seek(start)
            yield iter(lambda: file.read(PIECE), b"")

    def check(self) -> None:
        """Hash the file."""
        hasher = hashlib.sha256()
        with self.open(0) as pieces:
            for piece in pieces:
                hasher.update(piece)
        if f"sha256:{hasher.hexdigest()}" != self.digest:
            raise self._other(f"sha256:{hasher.hexdigest()}")

    def _other(self, seen: str) -> IntegrityError:
        return IntegrityError(
            f"blob {self.digest} in {self.path.parent} is {seen}, the manifest says {self.size} "
            "bytes: make the layout again"
        )


@dataclass(frozen=True, kw_only=True)
class InRegistry:
    """A blob in a registry, which streams past this machine's disk."""

    digest: str
    size: int
    reference: Reference
    registry: Registry = field(repr=False)

    def open(self, start: int) -> AbstractContextManager[Iterator[bytes]]:
        """Ask its registry for it."""
        return self.registry.stream(self.reference, self.digest, start)

    def check(self) -> None:
        """Find nothing: a fault that the other registry has once, it need not have again."""
