"""Speed of `scan` on what is not weights, on one core.

usage: PYTHONPATH=ci/src:. python bench/scan.py [--size BYTES] [--rounds N]

Packs layers of one kind of content each and scans them as the command does, for one exact secret
and all known shapes, the digest of each layer included. Prints the median speed and the slowest
(200 MB/s demanded of each but base64, which is the worst case: told, not judged). Exit code 1 if
not met.
"""

import argparse
import base64
import json
import os
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from stages.scan import image
from stages.scan.needles import needles
from tests.stages.planting import LETTERS, Image

LEAST = 200e6  # bytes a second
LARGEST_FILE = 2**20  # bytes of one file in a layer


def main() -> int:
    """Run the rounds and judge them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64 * 10**6, help="bytes of each kind")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    slow = False
    for kind, content in kinds(asked.size):
        with tempfile.TemporaryDirectory() as folder:
            size = write(Path(folder) / "layout", content)
            speeds = [size / seconds(Path(folder) / "layout") for _ in range(asked.rounds)]
        middle = median(speeds)
        print(f"{kind:16} {middle / 1e6:6.0f} MB/s, slowest {min(speeds) / 1e6:6.0f} MB/s")
        slow |= middle < LEAST and kind != "base64"
    return int(slow)


def kinds(size: int) -> Iterator[tuple[str, bytes]]:
    """Yield kinds of content, repeated up to `size` bytes."""
    library = Path(sysconfig.get_path("stdlib"))
    sources = b"".join(path.read_bytes() for path in sorted(library.glob("*.py")))
    words = sorted({word.decode(errors="replace") for word in sources.split()})
    vocabulary = {f"\u2581{word}": number for number, word in enumerate(words)}
    kinds = {
        "Python": sources,
        "vocabulary": json.dumps(vocabulary, indent=1).encode(),
        "program": Path(sys.executable).resolve().read_bytes(),
        "random bytes": os.urandom(2**24),
        "base64": base64.encodebytes(os.urandom(2**23)),
    }
    for kind, content in kinds.items():
        yield kind, (content * (size // len(content) + 1))[:size]


def write(folder: Path, content: bytes) -> int:
    """Write an image that holds the content as files, and give its layer's size."""
    parts = range(0, len(content), LARGEST_FILE)
    files = {f"f{start}": b"-" + content[start : start + LARGEST_FILE] for start in parts}
    made = Image(files=files)
    made.write(folder)
    return len(made.layer())


def seconds(folder: Path) -> float:
    """Time one scan."""
    secret = needles("bench", f"hf_{LETTERS[:34]}".encode())
    begun = time.perf_counter()
    image.scan(folder, lock=None, secrets=secret, logs=[])
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
