"""Debian's Docker engine, with a socket and a data folder of its own. Needs root."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.server import ROOT

CLIENT = "/usr/bin/docker"  # Debian's, which can build with BuildKit
START_SECONDS = 60.0


@dataclass(frozen=True)
class Docker:
    """A running engine."""

    socket: Path

    @property
    def environ(self) -> dict[str, str]:
        """What a client needs to speak to it."""
        return {
            **os.environ,
            "DOCKER_HOST": f"unix://{self.socket}",
            "DOCKER_BUILDKIT": "1",
            "BUILDKIT_PROGRESS": "plain",
        }

    def run(
        self, *words: object, check: bool = True, timeout: float = 300, cwd: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a docker command; a failed one raises with what it wrote."""
        done = subprocess.run(
            [CLIENT, *map(str, words)],
            env=self.environ,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            told = f"{done.stdout[-4000:]}{done.stderr[-4000:]}"
            raise AssertionError(f"docker {' '.join(map(str, words))}: {done.returncode}\n{told}")
        return done

    def output(self, *words: object, timeout: float = 300) -> str:
        """Return what a docker command printed."""
        return self.run(*words, timeout=timeout).stdout.strip()


@contextlib.contextmanager
def docker() -> Iterator[Docker]:
    """Run an engine, and remove what it kept.

    Its folder lies in .cache, on the disk with room for images; runc wants its own path, no link.
    """
    (ROOT / ".cache").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="docker-", dir=(ROOT / ".cache").resolve()))
    run = Path(tempfile.mkdtemp(prefix="docker-"))  # a socket's path must be short
    found = Docker(run / "sock")
    command = [
        "dockerd",
        "--storage-driver=overlay2",
        f"--host=unix://{found.socket}",
        f"--data-root={folder / 'data'}",
        f"--exec-root={run / 'exec'}",
        f"--pidfile={run / 'pid'}",
    ]
    try:
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait(found, process, folder / "log")
            yield found
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait(10)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(run, ignore_errors=True)


def _wait(found: Docker, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while found.run("version", check=False, timeout=20).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"dockerd did not start:\n{log.read_text()[-4000:]}")
        time.sleep(0.2)
