"""What a scan says of an image: the same text for the same image, lock, secrets and logs.

{"version": 1, "verdict": "clean" or "leaks",
 "manifest": digest, "config": digest,
 "layers": [{"digest", "diff_id", "size" in bytes, "state": "searched", "base" or "weights",
             "entries": how many, "searched": bytes, "weights": [path of each file matched]}, ...],
 "others": [{"digest", "searched"}, ...], blobs that the manifest does not name,
 "logs": [{"name", "sha256", "searched"}, ...],
 "secrets": [who holds an exact secret that was looked for, ...],
 "findings": [{"source", "path", "part", "offset", "what", "form"}, ...]}
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from stages import output
from stages.scan.findings import Finding

VERSION = 1


class State(StrEnum):
    """Why a layer was searched or passed over."""

    SEARCHED = "searched"
    BASE = "base"  # absent: the base's, known by its digest
    WEIGHTS = "weights"  # the lock names its digest


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of the image."""

    digest: str
    diff_id: str
    size: int
    state: State
    entries: int = 0
    searched: int = 0
    weights: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Other:
    """A blob that the manifest does not name."""

    digest: str
    searched: int


@dataclass(frozen=True, kw_only=True)
class Log:
    """A file searched beside the image."""

    name: str
    sha256: str
    searched: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole."""

    manifest: str
    config: str
    layers: tuple[Layer, ...]
    others: tuple[Other, ...]
    logs: tuple[Log, ...]
    secrets: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing was found, and nothing was left unread that should be read."""
        return not self.findings

    @property
    def searched(self) -> int:
        """How many bytes were searched."""
        layers = sum(one.searched for one in self.layers)
        others = sum(one.searched for one in self.others)
        return layers + others + sum(one.searched for one in self.logs)


def dump(report: Report) -> str:
    """Write the report as JSON."""
    head = {"version": VERSION, "verdict": "clean" if report.clean else "leaks"}
    return json.dumps(head | asdict(report), indent=2) + "\n"


def write(report: Report, path: Path) -> None:
    """Write the report in one step.

    Raises:
        StorageError: The file cannot be written.
    """
    output.replace(path, dump(report))
