"""A download as a process of its own, from a paced Hub, and how it is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.hub import LoopbackHub

ROOT = Path(__file__).parents[2]
RATE = 50e6  # bytes a second
SEND_BUFFER = 64 * 1024  # bytes
KILLS = 20


@dataclass(frozen=True, kw_only=True)
class Toll:
    """What a transfer with kills cost, in bytes: handed to the kernel, and lost in sockets."""

    sent: int
    in_sockets: int


class Paced:
    """A Hub paced at 50 MB/s with small send buffers, and a download as a process."""

    def __init__(self, hub: LoopbackHub, folder: Path) -> None:
        """Download into folders below `folder`."""
        self.hub, self.folder, self.out = hub, folder, folder / "out"

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start `download` in a process of its own."""
        folders = (f"--cache={self.folder / 'cache'}", f"--out={self.out}")
        return self.run("download", f"--lock={self.folder / 'lock'}", *folders, *options)

    def run(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a verb in a process of its own."""
        environ = os.environ | {
            "PYTHONPATH": str(ROOT / "ci" / "src"),
            "HF_ENDPOINT": self.hub.endpoint,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "stages", *arguments],
            env=environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def wait_for(self, sent: float, process: "subprocess.Popen[str]") -> None:
        """Wait until the storage has sent so many bytes, all runs together."""
        while self.hub.storage.sent < sent and process.poll() is None:
            time.sleep(0.002)

    @contextmanager
    def halted(self) -> Iterator[None]:
        """Let the storage send nothing meanwhile, so that what is under way can be counted."""
        self.hub.storage.pace.halted = True
        time.sleep(0.01)
        yield
        self.hub.storage.pace.halted = False

    def in_sockets(self) -> int:
        """Count the bytes between the storage and its clients, as the kernel knows them."""
        port = f":{self.hub.storage.port:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        unsent = [row[4].split(":")[0] for row in rows if row[1].endswith(port)]
        unread = [row[4].split(":")[1] for row in rows if row[2].endswith(port)]
        return sum(int(count, 16) for count in (*unsent, *unread))

    def killed(self, total: int) -> Toll:
        """Kill the download at 20 moments spread over `total` bytes, then let it finish."""
        in_sockets = 0
        for number in range(1, KILLS + 1):
            process = self.start()
            self.wait_for(total * number / (KILLS + 1), process)
            process.send_signal(signal.SIGSTOP)
            with self.halted():
                in_sockets += self.in_sockets()
                process.kill()
                process.communicate()
            assert process.returncode == -signal.SIGKILL
            assert not (self.out / "config.json").exists()
        process = self.start()
        _, err = process.communicate()
        assert process.returncode == 0, err
        return Toll(sent=self.hub.storage.sent, in_sockets=in_sockets)
