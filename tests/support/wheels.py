"""Source files of vLLM releases, read out of their wheels without fetching the whole wheel.

pip resolves where a wheel lies; a wheel is a zip archive, so its list of files and then the few
files that are wanted come by HTTP ranges. Kept in .cache/releases.
"""

import hashlib
import io
import json
import re
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

from tests.support.server import ROOT

CACHE = ROOT / ".cache" / "releases"
WANTED = re.compile(
    r"vllm/(envs|version|config|utils|sampling_params|logger"
    r"|config/.*|utils/.*|compilation/.*|entrypoints/.*|engine/arg_utils)(\.py)?"
)
PLATFORMS = ("manylinux_2_35_x86_64", "manylinux_2_31_x86_64", "manylinux_2_28_x86_64")
READ_BYTES = 1 << 20


class _Ranges(io.RawIOBase):
    """A remote file that answers reads with range requests."""

    def __init__(self, address: str) -> None:
        self._address = address
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD")) as answer:
            self._size = int(answer.headers["content-length"])
        self._position = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        self._position = base[whence] + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        end = min(self._position + len(buffer), self._size)
        if end <= self._position:
            return 0
        wanted = {"range": f"bytes={self._position}-{end - 1}"}
        with urllib.request.urlopen(
            urllib.request.Request(self._address, headers=wanted)
        ) as answer:
            data = answer.read()
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _address(release: str) -> str:
    """Ask pip where the release's wheel lies."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    command += ["--no-deps", "--quiet", "--report", "-", "--only-binary=:all:"]
    command += ["--python-version", "3.12", "--target", str(CACHE / "none")]
    for platform in (*PLATFORMS, "manylinux1_x86_64"):
        command += ["--platform", platform]
    done = subprocess.run(
        [*command, f"vllm=={release}"], check=True, capture_output=True, text=True
    )
    address: str = json.loads(done.stdout)["install"][0]["download_info"]["url"]
    return address


def package(release: str) -> Path:
    """Return the `vllm` folder of a release, holding the files that tests read."""
    folder = CACHE / release
    complete = folder / f"complete-{hashlib.sha256(WANTED.pattern.encode()).hexdigest()[:8]}"
    if not complete.is_file():
        remote = io.BufferedReader(_Ranges(_address(release)), READ_BYTES)
        with zipfile.ZipFile(remote) as wheel:
            members = [m for m in wheel.infolist() if WANTED.fullmatch(m.filename)]
            for member in sorted(members, key=lambda m: m.header_offset):
                if member.filename.endswith(".py"):
                    wheel.extract(member, folder)
        complete.touch()
    return folder / "vllm"
