"""Debian's docker-registry, the real program, on a loopback port."""

import contextlib
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.server import free_port

START_SECONDS = 20.0
ACCEPT = (
    "application/vnd.oci.image.manifest.v1+json,"
    " application/vnd.docker.distribution.manifest.v2+json"
)


@dataclass
class Registry:
    """One registry: where it listens, what it keeps, and what it was asked.

    Attributes:
        folder: Receives `data`, `config.yml` and `log`.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def host(self) -> str:
        """What stands before the repository in an image's name."""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """Everything it has written, its access log among it."""
        return (self.folder / "log").read_text(errors="replace")

    @property
    def data(self) -> Path:
        """The folder that holds blobs and tags."""
        return self.folder / "data"

    def asked(self, method: str = "") -> list[str]:
        """List requests as METHOD PATH STATUS, those of one method where it is named."""
        found = []
        for line in self.log.splitlines():
            if ' "' not in line or " HTTP/1.1" not in line:
                continue
            request, _, rest = line.partition(' "')[2].partition(" HTTP/1.1")
            if request.startswith(method):
                found.append(f"{request} {rest.removeprefix(chr(34)).split()[0]}")
        return found

    def start(self) -> None:
        """Start it, or start it again on what it kept."""
        self.data.mkdir(parents=True, exist_ok=True)
        config = self.folder / "config.yml"
        # JSON is YAML: the program reads it as its settings.
        config.write_text(
            json.dumps(
                {
                    "version": 0.1,
                    "log": {"level": "info", "accesslog": {"disabled": False}},
                    "storage": {
                        "filesystem": {"rootdirectory": str(self.data)},
                        "delete": {"enabled": True},
                    },
                    "http": {"addr": self.host, "secret": "kept over a restart"},
                }
            )
        )
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(config)], stdout=log, stderr=subprocess.STDOUT
            )
        self._wait()

    def stop(self) -> None:
        """End it at once, as a crash would; what it kept stays."""
        if self._process:
            self._process.kill()
            self._process.wait(10)

    def manifest(self, repository: str, reference: str) -> dict[str, object]:
        """Read a manifest by tag or digest."""
        request = urllib.request.Request(
            f"http://{self.host}/v2/{repository}/manifests/{reference}", headers={"Accept": ACCEPT}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, object] = json.load(answer)
            return found

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the repository serves a blob."""
        request = urllib.request.Request(
            f"http://{self.host}/v2/{repository}/blobs/{digest}", method="HEAD"
        )
        try:
            with urllib.request.urlopen(request, timeout=10):
                return True
        except urllib.error.HTTPError as error:
            with error:
                return False

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"http://{self.host}/v2/", timeout=1):
                    return
            except OSError:
                assert self._process is not None
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"the registry did not start:\n{self.log}") from None
                time.sleep(0.05)


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[Registry]:
    """Run a registry in `folder`, which need not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    found = Registry(folder)
    try:
        found.start()
        yield found
    finally:
        found.stop()
