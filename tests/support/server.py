"""Runs `python -P -m runtime` as users do, and watches its port from the first moment on."""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.02


def free_port() -> int:
    """Return a TCP port that nobody holds just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclasses.dataclass
class PortWatch:
    """Tries to connect every 20 ms from the process's start on."""

    port: int
    attempts: int = 0
    opened_at: float | None = None
    """time.time() of the first connect that succeeded."""
    _stop: threading.Event = dataclasses.field(default_factory=threading.Event)

    def run(self) -> None:
        """Poll until the port opens or the watch is stopped."""
        while not self._stop.is_set():
            self.attempts += 1
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    self.opened_at = time.time()
                    return
            self._stop.wait(POLL_SECONDS)

    def stop(self) -> None:
        """End the watch."""
        self._stop.set()


class Server:
    """One server process, its log and its port."""

    def __init__(
        self,
        python: Path | str,
        environ: Mapping[str, str],
        *,
        log: Path,
        arguments: Sequence[str] = (),
        wrapper: Sequence[str] = (),
        path: Sequence[Path] = (),
    ) -> None:
        """Start it.

        Args:
            python: interpreter of the environment that holds vLLM.
            environ: settings; PORT is chosen where it is missing.
            log: file for everything that the process writes.
            arguments: after the module's name.
            wrapper: command that runs the command, such as unshare.
            path: folders before this repository's on PYTHONPATH.
        """
        self.log_file = log
        self._answers: list[HTTPResponse | urllib.error.HTTPError] = []
        self.port = int(environ.get("PORT") or free_port())
        keep = {k: v for k, v in os.environ.items() if k in {"PATH", "LANG", "TMPDIR", "HOME"}}
        folders = [*map(str, path), str(ROOT)]
        variables = {"PORT": str(self.port), "PYTHONPATH": ":".join(folders), **environ}
        self.watch = PortWatch(self.port)
        self.started_at = time.time()
        with log.open("wb") as opened:
            self.process = subprocess.Popen(
                [*wrapper, str(python), "-P", "-m", "runtime", *arguments],
                env=keep | variables,
                stdout=opened,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        threading.Thread(target=self.watch.run, daemon=True).start()

    @property
    def log(self) -> str:
        """All that the process has written so far."""
        return self.log_file.read_text(errors="replace")

    def wait_open(self, timeout: float = 150) -> float:
        """Wait for the port and return when it opened (time.time())."""
        deadline = time.monotonic() + timeout
        while self.watch.opened_at is None:
            if self.process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(self.log.splitlines()[-100:])
                raise AssertionError(f"the port never opened, rc {self.process.poll()}:\n{tail}")
            time.sleep(POLL_SECONDS)
        return self.watch.opened_at

    def wait_for(self, text: str, timeout: float = 60) -> None:
        """Wait until the log holds `text`."""
        deadline = time.monotonic() + timeout
        while text not in self.log:
            if time.monotonic() > deadline:
                raise AssertionError(f"no {text!r} in the log:\n{self.log[-3000:]}")
            time.sleep(POLL_SECONDS)

    def wait(self, timeout: float = 60) -> int:
        """Wait for the process's end and return its exit code."""
        code = self.process.wait(timeout)
        self.watch.stop()
        return code

    def stop(self, number: int = signal.SIGTERM, timeout: float = 30) -> tuple[int, float]:
        """Send a signal; return the exit code and the seconds that the end took."""
        begun = time.monotonic()
        self.process.send_signal(number)
        return self.wait(timeout), time.monotonic() - begun

    def kill(self) -> None:
        """End the process and everything in its session; close what was opened to it."""
        self.watch.stop()
        for answer in self._answers:
            answer.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def report(self) -> dict[str, Any]:
        """Return the start's report out of the log."""
        line = next(line for line in self.log.splitlines() if line.startswith('{"severity"'))
        found: dict[str, Any] = json.loads(line)["prewarm"]
        return found

    def open(
        self, path: str, body: object = None, timeout: float = 60, /, **headers: str
    ) -> HTTPResponse:
        """GET, or POST `body` as JSON; header names with _ for -. Errors raise HTTPError."""
        data = json.dumps(body).encode() if body is not None else None
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data,
            {"content-type": "application/json", **named},
        )
        try:
            answer: HTTPResponse = urllib.request.urlopen(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            self._answers.append(error)
            raise
        self._answers.append(answer)
        return answer

    def status(self, path: str, body: object = None, **headers: str) -> int:
        """Return the status of one request, whatever it is."""
        try:
            return self.open(path, body, 60, **headers).status
        except urllib.error.HTTPError as error:
            return error.code


@contextlib.contextmanager
def running(*arguments: Any, **options: Any) -> Iterator[Server]:
    """Start a server and leave nothing of it behind."""
    server = Server(*arguments, **options)
    try:
        yield server
    finally:
        server.kill()


def children(pid: int) -> list[int]:
    """Return the process ids of all descendants of `pid`."""
    listed = subprocess.run(
        ["ps", "-e", "-o", "pid=,ppid="], check=True, capture_output=True, text=True
    )
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    found = [pid]
    for parent in found:
        found += [child for child, of in pairs if of == parent]
    return found[1:]


PYTHON = sys.executable
