"""Speed of making an image beside `cp` and `openssl dgst -sha256`, on the same weights.

usage: PYTHONPATH=ci/src:. python bench/layers.py [--size BYTES] [--rounds N] [--known]
           [--folder DIR]

Each round handles a file of random bytes twice: cp copies it to a file that openssl then hashes,
and `python -m stages image` makes an image of it, start-up included. With --known the lock holds
the layers' digests; without, each file is also held against its sha256. The order changes from
round to round. Prints each round and the ratio of the medians (at least 0.8 is demanded).
Exit code 1 if not met.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.download import NAME, ROOT, prepare
from stages import layer, lockfile
from stages.lock import with_digests
from stages.lockfile import Base
from tests.stages.packaging import IMAGE, SmallBase

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_RATIO = 0.8


def main() -> int:
    """Run the rounds and judge them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2 * 10**9, help="bytes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files lie")
    parser.add_argument("--known", action="store_true", help="let the lock know the layers")
    found = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=found.folder) as name:
        folder = Path(name)
        sha256 = lay_out(folder, found.size, known=found.known)
        return rounds(folder, found.size, found.rounds, sha256)


def lay_out(folder: Path, size: int, *, known: bool) -> str:
    """Write tree, base and lock, and give the sha256 of the weights."""
    sha256 = prepare(folder, size)
    digest = SmallBase().layout(folder / "base")
    lock = replace(lockfile.read(folder / "lock"), base=Base(image=IMAGE, digest=digest))
    lock = with_digests(lock, folder / "model") if known else lock
    (folder / "lock").write_text(lockfile.dump(lock))
    stages(folder, "rootfs", "--weights", folder / "model", "--runtime", ROOT / "runtime", "tree")
    return sha256


def rounds(folder: Path, size: int, count: int, sha256: str) -> int:
    """Time both, by turns, and print what they took."""
    speeds: dict[str, list[float]] = {"cp + openssl": [], "image": []}

    def by_cp() -> None:
        cp(folder, sha256)

    def by_image() -> None:
        stages(
            folder, "image", "--rootfs", folder / "tree", f"--base=oci:{folder / 'base'}", "work"
        )

    both: list[tuple[str, Callable[[], None]]] = [("cp + openssl", by_cp), ("image", by_image)]
    for number in range(count):
        for name, work in both if number % 2 == 0 else reversed(both):
            os.sync()
            begun = time.perf_counter()
            work()
            speeds[name].append(size / (time.perf_counter() - begun) / 1e6)
            print(f"round {number + 1}: {name:12} {speeds[name][-1]:6.0f} MB/s", flush=True)
            shutil.rmtree(folder / "work")
    ratio = median(speeds["image"]) / median(speeds["cp + openssl"])
    print(f"ratio of medians {ratio:.2f} (at least {LEAST_RATIO})")
    return 0 if ratio >= LEAST_RATIO else 1


def cp(folder: Path, sha256: str) -> None:
    """Copy the weights with cp, and hash the copy with openssl."""
    source = folder / "tree" / layer.MODELS / NAME / "model.safetensors"
    target = folder / "work" / source.name
    target.parent.mkdir()
    subprocess.run(["cp", source, target], check=True)
    command = ["openssl", "dgst", "-sha256", "-r", str(target)]
    hashed = subprocess.run(command, check=True, capture_output=True, text=True)
    if not hashed.stdout.startswith(sha256):
        raise SystemExit("cp copied other bytes")


def stages(folder: Path, verb: str, *words: object) -> None:
    """Run a stage on the lock; the last word is the folder that it fills."""
    *options, out = (str(word) for word in words)
    command = [sys.executable, "-m", "stages", verb, f"--lock={folder / 'lock'}", *options]
    environ = os.environ | {"PYTHONPATH": str(ROOT / "ci" / "src")}
    subprocess.run(
        [*command, f"--out={folder / out}"], env=environ, stdout=subprocess.DEVNULL, check=True
    )


if __name__ == "__main__":
    sys.exit(main())
