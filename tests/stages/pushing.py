"""An image ready to be pushed, with the reports that `push` demands."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.stages.model import Ended
from tests.stages.packaging import Inputs, SmallBase, config_of, manifest_of
from tests.support.registry import Registry

Run = Callable[..., Ended]


def passing(layout: Path) -> dict[str, Any]:
    """Give a report as `smoke` writes it of a layout that passes."""
    config = config_of(layout)
    run = config["config"]
    arguments = {
        "entrypoint": run["Entrypoint"],
        "cmd": run.get("Cmd", []),
        "env": dict(one.split("=", 1) for one in run["Env"]),
    }
    return {
        "version": 1,
        "verdict": "passed",
        "level": "static",
        "image": {"layers": config["rootfs"]["diff_ids"], "arguments": arguments},
        "vllm": {"image": "0.9.0", "tested": None},
        "isolated": None,
        "checks": [{"name": "layers", "passed": True, "detail": "", "first_s": None}],
        "not_shown": ["whether the server answers"],
        "start": None,
    }


@dataclass(frozen=True)
class Ready:
    """An image's layout beside its reports.

    Attributes:
        inputs: What it was made of.
    """

    inputs: Inputs
    layout: Path

    @classmethod
    def make(
        cls,
        stages: Run,
        folder: Path,
        *,
        base: SmallBase | None = None,
        known: bool = True,
    ) -> "Ready":
        """Make an image, scan it, and write a report of a smoke test."""
        inputs = Inputs.write(folder, base, known=known)
        assert stages(*inputs.rootfs()).code == 0
        assert stages(*inputs.image()).code == 0
        ready = cls(inputs, folder / "image")
        ready.prove(stages)
        return ready

    def prove(self, stages: Run) -> None:
        """Scan the layout, and write a report of a smoke test beside it."""
        lock, out = self.inputs.folder / "lock", self.inputs.folder / "scan.json"
        ended = stages("scan", self.layout, f"--lock={lock}", f"--out={out}")
        assert ended.code == 0, ended
        self.report.write_text(json.dumps(passing(self.layout)))

    @property
    def report(self) -> Path:
        """The smoke test's report."""
        return self.inputs.folder / "report.json"

    @property
    def scan(self) -> Path:
        """The scan's report."""
        return self.inputs.folder / "scan.json"

    @property
    def digests(self) -> set[str]:
        """Every blob that the manifest names."""
        return blobs_of(manifest_of(self.layout))

    def words(
        self, *targets: str, base: str | None = None, more: tuple[str, ...] = ()
    ) -> list[str]:
        """Give the words of a `push`."""
        place = base or f"oci:{self.inputs.folder / 'base'}"
        reports = [f"--report={self.report}", f"--scan={self.scan}"]
        return ["push", str(self.layout), *targets, *reports, f"--base={place}", *more]


def blobs_of(manifest: dict[str, Any]) -> set[str]:
    """List the blobs that a manifest names."""
    return {manifest["config"]["digest"], *(one["digest"] for one in manifest["layers"])}


@dataclass
class Watch:
    """Looks at tags while a push runs.

    Attributes:
        looks: How often the registry answered.
        missing: Blobs that a manifest under a tag named and the registry did not have.
    """

    registry: Registry
    repository: str
    tags: tuple[str, ...]
    looks: int = 0
    missing: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Look once at every tag."""
        for tag in self.tags:
            with suppress(OSError):  # no such tag yet, or the registry is being started again
                manifest = self.registry.manifest(self.repository, tag)
                for digest in blobs_of(manifest):
                    if not self.registry.has_blob(self.repository, digest):
                        self.missing.append(digest)
            self.looks += 1

    def run(self) -> None:
        """Look until told to end."""
        while not self._ended.is_set():
            self.look()
            time.sleep(0.01)

    @contextmanager
    def running(self) -> Iterator["Watch"]:
        """Look as long as the block runs."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()


@contextmanager
def watched(registry: Registry, repository: str, *tags: str) -> Iterator[Watch]:
    """Look at tags of a repository until the block ends."""
    with Watch(registry, repository, tags).running() as watch:
        yield watch
