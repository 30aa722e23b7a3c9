"""The folder in which `build` works, and what lies in it.

WORK/weights/      the model's files, unless they were given or need not be had
WORK/tree/         what `rootfs` wrote
WORK/image/        what `image` wrote: an OCI layout with our blobs
WORK/report.json   what `smoke` wrote
WORK/server.log    what the server wrote that `smoke` started, if it started one
WORK/scan.json     what `scan` wrote
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from stages.errors import StorageError

WEIGHTS = "weights"
MADE = ("tree", "image", "report.json", "server.log", "scan.json")  # anew each time


@dataclass(frozen=True)
class Work:
    """A folder to work in."""

    folder: Path

    @property
    def weights(self) -> Path:
        """The model's files; kept from build to build."""
        return self.folder / WEIGHTS

    @property
    def tree(self) -> Path:
        """Everything of ours that the image holds, as files."""
        return self.folder / "tree"

    @property
    def image(self) -> Path:
        """The image's layout."""
        return self.folder / "image"

    @property
    def report(self) -> Path:
        """The smoke test's report."""
        return self.folder / "report.json"

    @property
    def log(self) -> Path:
        """The log of the server that the smoke test started."""
        return self.folder / "server.log"

    @property
    def scan(self) -> Path:
        """The scan's report."""
        return self.folder / "scan.json"

    def clear(self) -> None:
        """Make the folder, and take away what an earlier build left but for the weights.

        Raises:
            StorageError: It holds what no build left, or cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            there = sorted(path.name for path in self.folder.iterdir())
            if other := [name for name in there if name not in {WEIGHTS, *MADE}]:
                raise StorageError(
                    f"{self.folder} holds {other[0]}, which no build left: choose an empty folder "
                    "for --work, or remove what is there"
                )
            for name in MADE:
                path = self.folder / name
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"{self.folder} cannot be written: {error.strerror}. Choose another --work"
            ) from error
