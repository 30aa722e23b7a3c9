"""Download speed beside `curl` and `openssl dgst -sha256`, on the same file over loopback.

usage: PYTHONPATH=ci/src:. python bench/download.py [--size BYTES] [--rounds N] [--folder DIR]

A process of its own serves a file of random bytes with sendfile. Each round fetches it twice: with
curl to a file that openssl then hashes, and with `python -m stages download`, start-up,
verification and laying out included. The order changes from round to round, since what runs first
may find a busier disk. Prints each round, the ratio of the medians (at least 0.9 is demanded), and
the most memory that the download held (less than 200 MB is demanded). Exit code 1 if not met.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from stages import lockfile
from stages.lockfile import Base, File, Lock, Model
from tests.support.hub_repo import Content

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
NAME, COMMIT = "bench/model", "c" * 40
LEAST_RATIO = 0.9
MOST_MEMORY = 200e6  # bytes


def main() -> int:
    """Run the rounds and judge them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2 * 10**9, help="bytes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files lie")
    found = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=found.folder) as name:
        folder = Path(name)
        sha256 = prepare(folder, found.size)
        server = serve(folder / "model")
        try:
            endpoint = (server.stdout or sys.stdin).readline().strip()
            return rounds(folder, endpoint, found.size, found.rounds, sha256)
        finally:
            server.kill()
            server.communicate()


def prepare(folder: Path, size: int) -> str:
    """Write the model and its lock, and give the sha256 of the weights."""
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_bytes(b"{}")
    with (model / "model.safetensors").open("wb") as file:
        for start in range(0, size, 2**24):
            file.write(os.urandom(min(2**24, size - start)))
    contents = {path.name: Content(path) for path in sorted(model.iterdir())}
    files = tuple(
        File(path=path, size=one.size, sha256=one.sha256) for path, one in contents.items()
    )
    lock = Lock(
        model=Model(
            name=NAME,
            revision="main",
            commit=COMMIT,
            files=files,
            layers=lockfile.layers(NAME, files),
        ),
        base=Base(image="docker.io/library/none:none", digest=f"sha256:{'0' * 64}"),
    )
    (folder / "lock").write_text(lockfile.dump(lock))
    return contents["model.safetensors"].sha256


def serve(model: Path) -> subprocess.Popen[str]:
    """Start the loopback Hub; its first line is its address."""
    command = [sys.executable, "-m", "tests.support.hub", NAME, str(model)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def rounds(folder: Path, endpoint: str, size: int, count: int, sha256: str) -> int:
    """Time both, by turns, and print what they took."""
    speeds: dict[str, list[float]] = {"curl + openssl": [], "download": []}
    memory = 0

    def by_curl() -> None:
        curl(folder, endpoint, sha256)

    def by_download() -> None:
        nonlocal memory
        memory = max(memory, download(folder, endpoint))

    both: list[tuple[str, Callable[[], None]]] = [
        ("curl + openssl", by_curl),
        ("download", by_download),
    ]
    for number in range(count):
        for name, work in both if number % 2 == 0 else reversed(both):
            os.sync()
            begun = time.perf_counter()
            work()
            speeds[name].append(size / (time.perf_counter() - begun) / 1e6)
            print(f"round {number + 1}: {name:15} {speeds[name][-1]:6.0f} MB/s", flush=True)
            shutil.rmtree(folder / "work", ignore_errors=True)
    ratio = median(speeds["download"]) / median(speeds["curl + openssl"])
    print(f"ratio of medians {ratio:.2f} (at least {LEAST_RATIO})")
    print(f"most memory {memory / 1e6:.0f} MB (less than {MOST_MEMORY / 1e6:.0f})")
    return 0 if ratio >= LEAST_RATIO and memory < MOST_MEMORY else 1


def curl(folder: Path, endpoint: str, sha256: str) -> None:
    """Fetch the weights with curl, and hash them with openssl."""
    target = folder / "work" / "model.safetensors"
    target.parent.mkdir()
    address = f"{endpoint}/{NAME}/resolve/{COMMIT}/model.safetensors"
    subprocess.run(["curl", "-sSfL", "-o", target, address], check=True)
    command = ["openssl", "dgst", "-sha256", "-r", str(target)]
    hashed = subprocess.run(command, check=True, capture_output=True, text=True)
    if not hashed.stdout.startswith(sha256):
        raise SystemExit("curl fetched other bytes than were served")


def download(folder: Path, endpoint: str) -> int:
    """Run the stage, and give the most memory it held, in bytes."""
    work = folder / "work"
    command = [sys.executable, "-m", "stages", "download", f"--lock={folder / 'lock'}"]
    environ = os.environ | {"HF_ENDPOINT": endpoint, "PYTHONPATH": str(ROOT / "ci" / "src")}
    options = [f"--cache={work / 'cache'}", f"--out={work / 'out'}", "--progress=none"]
    process = subprocess.Popen([*command, *options], env=environ, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"download ended with exit code {process.returncode}")
    return usage.ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
