"""The image's server, run out of a tree on this machine from its start to its end."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from stages.errors import StoppedError, StorageError, UsageError
from stages.smoke.launch import START_S
from stages.smoke.report import WrongError
from stages.stop import Stop

STOP_S = 30.0  # seconds from SIGTERM to the end
SAY_EVERY_S = 10.0
POLL_S = 0.1
LOG_TAIL = 60  # lines that are shown of a log
TOLD = "prewarm:"  # begins what the server says of its start
UID_MAP = Path("/proc/self/uid_map")


@dataclass(frozen=True, kw_only=True)
class Process:
    """A server that was started.

    Attributes:
        log: Everything that it writes.
        port: Where it will listen, on loopback.
    """

    process: "subprocess.Popen[bytes]"
    log: Path
    port: int
    stop: Stop

    def wait_open(self) -> str:
        """Wait until the port opens, telling every 10 s how far it is.

        Raises:
            WrongError: It ended before, or takes longer than 300 s.
            StoppedError: The work must stop.
        """
        begun, said = time.monotonic(), SAY_EVERY_S
        while not _accepts(self.port):
            self.stop.sleep(POLL_S)
            seconds = time.monotonic() - begun
            if (code := self.process.poll()) is not None:
                raise WrongError(f"the server ended with code {code} before its port opened")
            if seconds > START_S:
                raise WrongError(f"the port did not open within {START_S} s")
            if seconds >= said:
                sys.stderr.write(f"stages: smoke: {said:.0f} s: {self._told()}\n")
                said += SAY_EVERY_S
        return f"port {self.port} opened after {time.monotonic() - begun:.1f} s"

    def end(self) -> str:
        """Stop the server as a platform does.

        Raises:
            WrongError: It does not end in time, or not well.
        """
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise WrongError(f"the server still ran {STOP_S:.0f} s after SIGTERM") from None
        if code:
            raise WrongError(f"SIGTERM ended the server with code {code}, expected 0")
        return f"exit code 0 after {time.monotonic() - begun:.1f} s"

    def tail(self) -> str:
        """Give the log's last lines."""
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL:]
        return "".join(f"{line}\n" for line in lines)

    def _told(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        told = [line.removeprefix(TOLD).strip() for line in lines if line.startswith(TOLD)]
        return told[-1] if told else "the server has said nothing yet"


@contextmanager
def running(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    user: tuple[int, int] | None,
    scratch: Path,
    log: Path,
    stop: Stop,
) -> Iterator[Process]:
    """Start a server and leave nothing of it behind.

    Args:
        command: Its command line.
        environ: Its environment, PORT included.
        user: User and group to run as; None is whoever we are.
        scratch: An empty folder of its own.
        log: Receives what it writes.
        stop: Ends it, however it is just being asked.

    Raises:
        StorageError: The log cannot be written.
        UsageError: There is no such program.
    """
    if user:
        os.chown(scratch, *user)
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env=dict(environ),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user[0] if user else None,
                group=user[1] if user else None,
                extra_groups=() if user else None,
            )
    except FileNotFoundError as error:
        if error.filename == str(log):
            raise StorageError(f"{log} cannot be written: {error.strerror}") from error
        raise UsageError(f"--python: there is no {command[0]}") from error
    except OSError as error:
        raise UsageError(f"{command[0]} cannot be started: {error.strerror}") from error
    threading.Thread(target=_kill_when_stopped, args=(process, stop), daemon=True).start()
    try:
        yield Process(process=process, log=log, port=int(environ["PORT"]), stop=stop)
    finally:
        _kill(process)


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder that stands for a container's /tmp, and delete it with all that is in it."""
    folder = Path(tempfile.mkdtemp(prefix="prewarm-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def may_be(user: tuple[int, int]) -> bool:
    """Whether this process may start another as that user: root, where the user exists."""
    if os.geteuid():
        return False
    for line in UID_MAP.read_text().splitlines():
        inside, _, count = map(int, line.split())
        if inside <= user[0] < inside + count:
            return True
    return False


def free_port() -> int:
    """Give a TCP port that nobody holds just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _kill_when_stopped(process: "subprocess.Popen[bytes]", stop: Stop) -> None:
    with suppress(StoppedError):
        while process.poll() is None:
            stop.sleep(POLL_S)
        return
    _kill(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End the server and every process of its session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
