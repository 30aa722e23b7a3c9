"""Locking and downloading the small model through faults that a test asks for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import httpx

from stages.cache import Cache
from stages.download import Download
from stages.hub import Hub
from stages.lock import Locker
from stages.progress import Look, Mode
from stages.reference import parse
from stages.registry import Registry
from stages.retry import Patience
from tests.stages.model import NAME
from tests.support.hub import LoopbackHub
from tests.support.hub_wire import Answer

PART = 512 * 1024  # bytes; the model's 3 MB are 7 parts
QUICK = Patience(attempts=6, total_s=20, first_s=0.01, longest_s=0.02)
BASE = parse(f"docker.io/a/b:c@sha256:{'a' * 64}")
WEIGHTS = "model.safetensors"


class Fetch:
    """Locks at once, then downloads on demand."""

    def __init__(self, hub: LoopbackHub, client: httpx.Client, folder: Path) -> None:
        """Lock the small model as it is now."""
        self.hub, self.folder, self.out = hub, folder, folder / "out"
        self.asker = Hub(client, hub.endpoint, patience=QUICK)
        locker = Locker(hub=self.asker, registry=Registry(client))
        self.lock = locker.lock(NAME, revision="main", base=BASE).lock
        hub.hub.log.clear()

    def __call__(self) -> int:
        """Download, and give the bytes that were missing."""
        with (self.folder / "progress").open("a") as out:
            download = Download(
                hub=self.asker,
                cache=Cache(self.folder / "cache", part=PART),
                look=Look(out=out, mode=Mode.NONE, colour=False),
                patience=QUICK,
            )
            return anyio.run(download.run, self.lock, self.out)

    @property
    def weights(self) -> bytes:
        """What came, or nothing."""
        path = self.out / WEIGHTS
        return path.read_bytes() if path.exists() else b""

    def assert_nothing_looks_complete(self) -> None:
        """The folder was not begun, and the cache does not call the weights whole."""
        assert not self.out.exists()
        entry = next(file for file in self.lock.model.files if file.path == WEIGHTS)
        assert not (self.folder / "cache" / "sha256" / entry.sha256).exists()


def status(code: int, **headers: str) -> Callable[[Answer], Answer]:
    """Answer with a status and headers, underscores in their names being dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Answer(code, named, b"no")


def cut(after: int) -> Callable[[Answer], Answer]:
    """Break the connection after so many bytes."""
    return lambda answer: replace(answer, cut_after=after)


def whole(answer: Answer) -> Answer:
    """Ignore the range: 200 with the file from its start."""
    headers = {name: value for name, value in answer.headers.items() if name != "Content-Range"}
    assert answer.content
    return replace(answer, status=200, headers=headers, start=0, end=answer.content.size)


def content_range(text: str) -> Callable[[Answer], Answer]:
    """Send another Content-Range."""
    return lambda answer: replace(answer, headers=answer.headers | {"Content-Range": text})


def shifted(answer: Answer) -> Answer:
    """Send the range one byte further on, and say so honestly."""
    assert answer.content
    start, end = answer.start - 1, answer.end - 1
    text = f"bytes {start}-{end - 1}/{answer.content.size}"
    return replace(answer, start=start, end=end, headers=answer.headers | {"Content-Range": text})


def flipped(answer: Answer) -> Answer:
    """Send wrong bytes."""
    return replace(answer, flipped=True)


def hung(answer: Answer) -> Answer:
    """Send nothing."""
    return replace(answer, hang=True)
