"""A server under the stop-watch: its process, and its log with the time of each line."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

POLL_SECONDS = 0.02
_SETTINGS = ("VLLM_", "HF_", "PREWARM_", "MAX_", "TORCHINDUCTOR_", "TRITON_")


class StartError(Exception):
    """The server ended, took too long, or did not answer what it was asked."""


class Started:
    """One server on a free loopback port."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], port: int) -> None:
        """Start it; `environ` comes on top of what is not a setting in our own."""
        key = environ.get("VLLM_API_KEY")
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        outside = {k: v for k, v in os.environ.items() if not k.startswith(_SETTINGS)}
        self.command = list(command)
        self.port = port
        self.lines: list[tuple[float, str]] = []  # as timeline.Line
        self._begun = time.monotonic()
        self._process = subprocess.Popen(
            command,
            env=outside | dict(environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        for line in self._process.stdout:
            self.lines.append((time.monotonic() - self._begun, line.rstrip("\n")))

    def wait_open(self, limit: float) -> float:
        """Return the seconds until the port answered /health.

        Raises:
            StartError: the process ended, or `limit` seconds passed.
        """
        while (passed := time.monotonic() - self._begun) < limit:
            if self._process.poll() is not None:
                raise StartError(f"the server ended with code {self._process.returncode}")
            with contextlib.suppress(OSError):
                self.get("/health", timeout=5)
                return time.monotonic() - self._begun
            time.sleep(POLL_SECONDS)
        raise StartError(f"the port did not answer within {passed:.0f} s")

    def get(self, path: str, timeout: float = 60) -> bytes:
        """Return the answer of a GET."""
        address = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(address, headers=self._headers)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            body: bytes = answer.read()
        return body

    def seconds(self, path: str, body: Mapping[str, Any]) -> float:
        """Time one request to its last byte."""
        address = f"http://127.0.0.1:{self.port}{path}"
        data = json.dumps(body).encode()
        headers = {"content-type": "application/json", **self._headers}
        request = urllib.request.Request(address, data, headers)
        begun = time.perf_counter()
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            told = error.read().decode(errors="replace")[:300]
            raise StartError(f"{path} answered {error.code}: {told}") from error
        return time.perf_counter() - begun

    def stop(self) -> tuple[int, float]:
        """End it as a platform does; return the exit code and the seconds that took."""
        begun = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60), time.monotonic() - begun

    def kill(self) -> None:
        """Leave nothing of it behind."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)


def free_port() -> int:
    """Return a TCP port that nobody holds just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
