"""Time from an edit of `runtime/` to a pushed image, beside `docker build` and `docker push`.

usage: PYTHONPATH=ci/src:. python bench/push.py [--size BYTES] [--base BYTES] [--rounds N] [--cold]
           [--folder DIR]

Debian's docker-registry holds a base and an image of random weights, pushed once by each. Then each
round adds a line to the runtime and publishes it twice, by turns:

  stages   `rootfs --known`, `image --known` and `push`, three programs, start-up included; the lock
           knows the weights' layers, so no weights are at hand. `scan` is timed beside them
  docker   `docker build` (BuildKit) of a Dockerfile with the same layers in the same order, and
           `docker push`; with --cold its builder has been emptied, as on a fresh machine of CI

The report of a smoke test is written by hand. Prints each round, the ratio of the medians, and how
many bytes of blobs `push` sent in a round. Needs root, docker.io and docker-registry.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.download import NAME, ROOT, prepare
from stages import lockfile
from stages.lock import with_digests
from stages.lockfile import Base
from tests.stages.packaging import IMAGE, manifest_of
from tests.stages.pushing import large_base, passing, put_image
from tests.support.dockerd import Docker, docker
from tests.support.registry import Registry, registry
from tests.support.registry_faults import Proxy, proxy

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 512  # bytes; a tar counts in them


def main() -> int:
    """Run the rounds and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=10**9, help="bytes of weights")
    parser.add_argument("--base", type=int, default=200 * 10**6, help="bytes of the base")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="empty Docker's builder every time")
    parser.add_argument("--folder", type=Path, help="where the files lie")
    found = parser.parse_args()
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(dir=found.folder)))
        shelf = running.enter_context(registry(folder / "registry"))
        front = running.enter_context(proxy(shelf.host))
        engine = running.enter_context(docker())
        bench = Bench(folder, shelf, front, engine, cold=found.cold)
        bench.prepare(found.size, found.base // BLOCK * BLOCK)
        bench.rounds(found.rounds)
    return 0


@dataclass(frozen=True)
class Bench:
    """One run, in a folder of its own."""

    folder: Path
    shelf: Registry
    front: Proxy
    engine: Docker
    cold: bool

    def prepare(self, size: int, base: int) -> None:
        """Write weights, base, runtime and Dockerfile, and push once by each."""
        folder = self.folder
        prepare(folder, size)
        digest = large_base(folder / "base", base)
        put_image(self.shelf, "vllm/base", folder / "base", digest)
        lock = replace(lockfile.read(folder / "lock"), base=Base(image=IMAGE, digest=digest))
        lock = with_digests(lock, folder / "model")
        (folder / "lock").write_text(lockfile.dump(lock))
        runtime = folder / "context" / "runtime"
        runtime.mkdir(parents=True)
        for path in (ROOT / "runtime").glob("*.py"):
            (runtime / path.name).write_bytes(path.read_bytes())
        (folder / "model").rename(folder / "context" / "model")
        home = f"/model-cache/models/{NAME}"
        (folder / "context" / "Dockerfile").write_text(
            f"FROM {self.shelf.host}/vllm/base@{digest}\n"
            f"COPY model/model.safetensors {home}/\nCOPY model/config.json {home}/\n"
            'USER 2000:0\nENTRYPOINT ["python3", "-P", "-m", "runtime"]\n'
            "COPY runtime /opt/prewarm/runtime\n"
        )
        self.by_stages(self.shelf.host, first=True)
        self.by_docker()

    def rounds(self, count: int) -> None:
        """Time both, by turns."""
        seconds: dict[str, list[float]] = {"stages": [], "docker": []}
        both: list[tuple[str, Callable[[], float]]] = [
            ("stages", lambda: self.by_stages(self.shelf.host)),
            ("docker", self.by_docker),
        ]
        for number in range(count):
            self.edit(number)
            if self.cold:
                self.empty()
            for name, work in both if number % 2 == 0 else reversed(both):
                seconds[name].append(work())
                print(f"round {number + 1}: {name} {seconds[name][-1]:6.2f} s", flush=True)
        ratio = median(seconds["docker"]) / median(seconds["stages"])
        scan = self.timed("scan", self.folder / "image", f"--lock={self.folder / 'lock'}")
        print(f"scan takes {scan:.2f} s more")
        print(f"docker takes {ratio:.1f} times as long, of medians")
        self.edit(count)
        before = self.front.received
        self.by_stages(self.front.host)
        print(f"a push sends {self.front.received - before} bytes of blobs")

    def edit(self, number: int) -> None:
        """Add a line to the runtime."""
        with (self.folder / "context" / "runtime" / "__main__.py").open("a") as file:
            file.write(f"# edit {number}\n")

    def by_stages(self, host: str, *, first: bool = False) -> float:
        """Publish with the stages; give the seconds of rootfs, image and push."""
        folder = self.folder
        subprocess.run(["rm", "-rf", folder / "tree", folder / "image"], check=True)
        lock, base = f"--lock={folder / 'lock'}", f"--base={host}/vllm/base"
        context, tree = folder / "context", folder / "tree"
        weights = f"--weights={context / 'model'}" if first else "--known"
        known = () if first else ("--known",)
        runtime = f"--runtime={context / 'runtime'}"
        seconds = self.timed("rootfs", lock, weights, runtime, f"--out={tree}")
        image = folder / "image"
        words = (lock, f"--rootfs={tree}", base, f"--out={image}")
        seconds += self.timed("image", *words, *known)
        self.timed("scan", image, lock, f"--out={folder / 'scan.json'}")
        (folder / "report.json").write_text(json.dumps(passing(image)))
        reports = (f"--report={folder / 'report.json'}", f"--scan={folder / 'scan.json'}")
        seconds += self.timed("push", image, f"{host}/bench/stages:v1", *reports, base)
        kept = self.shelf.manifest("bench/stages", "v1")
        if kept != manifest_of(image):
            raise SystemExit("the registry holds another image")
        return seconds

    def by_docker(self) -> float:
        """Publish with Docker; give the seconds of build and push."""
        name = f"{self.shelf.host}/bench/docker:v1"
        begun = time.perf_counter()
        self.engine.run("build", "--tag", name, ".", cwd=self.folder / "context", timeout=1800)
        self.engine.run("push", name, timeout=1800)
        return time.perf_counter() - begun

    def empty(self) -> None:
        """Take from Docker what it has built and pulled."""
        self.engine.run("rmi", "--force", f"{self.shelf.host}/bench/docker:v1", check=False)
        self.engine.run("system", "prune", "--all", "--force")
        self.engine.run("builder", "prune", "--all", "--force")

    def timed(self, verb: str, *words: object) -> float:
        """Run a stage; give its seconds."""
        command = [sys.executable, "-m", "stages", verb, *map(str, words)]
        environ = os.environ | {"PYTHONPATH": str(ROOT / "ci" / "src")}
        begun = time.perf_counter()
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - begun
        if ended.returncode:
            raise SystemExit(f"{verb}: {ended.stderr}")
        return seconds


if __name__ == "__main__":
    sys.exit(main())
