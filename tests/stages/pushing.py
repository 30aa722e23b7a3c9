"""An image ready to be pushed, with the reports that `push` demands."""

import hashlib
import json
import shutil
import tarfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from stages import lockfile
from stages.lockfile import Base
from tests.stages.model import Ended
from tests.stages.packaging import IMAGE, OCI, Inputs, SmallBase, blob, config_of, manifest_of
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
    def make(cls, stages: Run, folder: Path) -> "Ready":
        """Make an image, scan it, and write a report of a smoke test."""
        ready = cls(Inputs.write(folder, known=True), folder / "image")
        ready.build(stages)
        return ready

    def build(self, stages: Run, *more: str, environ: Mapping[str, str] | None = None) -> None:
        """Make tree, image and reports of what lies in the inputs now.

        Args:
            stages: Runs the command line.
            more: Further words for `image`, such as where the base lies.
            environ: The environment of `image`.
        """
        for made in (self.inputs.folder / "tree", self.layout):
            shutil.rmtree(made, ignore_errors=True)
        for words in (self.inputs.rootfs(), self.inputs.image(*more)):
            ended = stages(*words, environ=environ)
            assert ended.code == 0, ended
        self.prove(stages)

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


def made_on(
    stages: Run,
    folder: Path,
    place: str,
    digest: str,
    *,
    environ: Mapping[str, str] | None = None,
) -> Ready:
    """Make an image over a base in a registry, with its reports."""
    inputs = Inputs.write(folder, known=True)
    lock = lockfile.read(folder / "lock")
    locked = replace(lock, base=Base(image=IMAGE, digest=digest))
    (folder / "lock").write_text(lockfile.dump(locked))
    ready = Ready(inputs, folder / "image")
    ready.build(stages, f"--base={place}", environ=environ)
    return ready


def seed(
    registry: Registry, repository: str, folder: Path, *, kinds: Mapping[str, str] = OCI
) -> str:
    """Put a small base into a registry; give its digest."""
    digest = SmallBase(index=False, kinds=kinds).layout(folder / "seed")
    put_image(registry, repository, folder / "seed", digest)
    return digest


def put_image(registry: Registry, repository: str, layout: Path, digest: str) -> None:
    """Put an image into a registry, with nothing of the program under test."""
    manifest = json.loads(blob(layout, digest).read_bytes())
    for one in (manifest["config"], *manifest["layers"]):
        request = urllib.request.Request(
            f"http://{registry.host}/v2/{repository}/blobs/uploads/", method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            address = f"{answer.headers['Location']}&digest={one['digest']}"
        with blob(layout, one["digest"]).open("rb") as file:
            _put(address, file, one["size"], "application/octet-stream")
    content = blob(layout, digest).read_bytes()
    address = f"http://{registry.host}/v2/{repository}/manifests/{digest}"
    _put(address, BytesIO(content), len(content), manifest["mediaType"])


def _put(address: str, file: IO[bytes], size: int, kind: str) -> None:
    headers = {"Content-Length": str(size), "Content-Type": kind}
    request = urllib.request.Request(address, data=file, method="PUT", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 201


def large_base(folder: Path, size: int) -> str:
    """Write a base whose one layer has about `size` bytes and takes no disk; give its digest."""
    path = folder.parent / f"{folder.name}.tar"
    info = tarfile.TarInfo("opt/large")
    info.size = size
    with path.open("wb") as file:
        file.write(info.tobuf())
        file.truncate(tarfile.BLOCKSIZE + size + 2 * tarfile.BLOCKSIZE)
    with path.open("rb") as file:
        diff_id = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    made = SmallBase(
        index=False,
        layer={
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": diff_id,
            "size": path.stat().st_size,
        },
        config={"rootfs": {"type": "layers", "diff_ids": [diff_id]}},
    )
    digest = made.layout(folder)
    path.rename(blob(folder, diff_id))
    return digest
