"""A push that cannot succeed, or is ended, says so in time and leaves no tag behind."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.push import STREAMS
from stages.retry import Attempts
from tests.stages.model import Ended
from tests.stages.packaging import manifest_of
from tests.stages.pushing import Ready
from tests.support.registry import Registry
from tests.support.registry_faults import Act, Proxy, Seen

pytestmark = pytest.mark.containers

Run = Callable[..., Ended]
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less between tries, but as long as a registry asks for."""

    def pause(_: Attempts, failure: Exception) -> float:
        asked: float = getattr(failure, "wait_s", None) or 0.0
        return asked + 0.01

    monkeypatch.setattr(Attempts, "_pause", pause)


def test_registry_that_stays_away_is_told(stages: Run, ready: Ready, front: Proxy) -> None:
    """Patience is bounded, and the message says that nothing was lost."""
    front.act = lambda seen: Act(status=503) if seen.method == "POST" else None

    ended = stages(*ready.words(f"{front.host}/a/b:v1"))

    assert ended.code == 2
    assert "status 503 (gave up after 10 tries" in ended.err
    assert "What has been uploaded is kept: run the same command again" in ended.err


def test_registry_that_asks_for_an_hour_is_told_at_once(
    stages: Run, ready: Ready, front: Proxy
) -> None:
    """A pause past all patience is not begun."""
    front.act = lambda seen: (
        Act(status=429, headers={"Retry-After": "3600"}) if seen.method == "POST" else None
    )

    ended = stages(*ready.words(f"{front.host}/a/b:v1"))

    assert ended.code == 2
    assert "it asks for 3600 s" in ended.err


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("kind", ["HEAD blob", "POST upload", "PUT upload", "PUT manifest"])
def test_refusal_ends_the_push_at_once(
    stages: Run, ready: Ready, front: Proxy, shelf: Registry, status: int, kind: str
) -> None:
    """What a login may not do, trying again will not mend; no tag is written."""
    front.act = lambda seen: Act(status=status) if seen.kind == kind else None

    ended = stages(*ready.words(f"{front.host}/a/b:v1"))

    assert ended.code == 2
    assert ended.err.count("stages: ") == 1
    assert f"{front.host}/a/b" in ended.err
    assert not (shelf.data / "docker/registry/v2/repositories/a/b/_manifests/tags").exists()
    assert len(front.asked(kind)) <= STREAMS


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_push_that_is_ended_goes_on_the_next_time(
    stages: Run, ready: Ready, front: Proxy, shelf: Registry, sent: signal.Signals
) -> None:
    """In mid-blob: there is no tag then, and what had arrived is not sent again."""
    running: list[subprocess.Popen[bytes]] = []

    def end() -> None:
        running[0].send_signal(sent)
        running[0].wait(20)

    front.act = in_largest(ready, end)
    words = [sys.executable, "-m", "stages", *ready.words(f"{front.host}/a/b:v1")]
    with subprocess.Popen(words, env={"PYTHONPATH": str(ROOT / "ci/src")}) as process:
        running.append(process)
    arrived = {one for one in ready.digests if shelf.has_blob("a/b", one)}
    tagged = list(shelf.data.glob("**/tags/*/current/link"))
    front.act = lambda _: None

    ended = stages(*ready.words(f"{front.host}/a/b:v1"))

    assert process.returncode == -sent
    assert tagged == []
    assert len(arrived) >= 2
    assert ended.code == 0, ended.err
    assert ended.err.count("is there") == len(arrived)


def in_largest(ready: Ready, what: Callable[[], object]) -> Callable[[Seen], Act | None]:
    """Do something in the middle of the largest blob, when smaller ones have arrived."""
    size = max(one["size"] for one in manifest_of(ready.layout)["layers"])

    def slowly() -> None:
        time.sleep(1)
        what()

    def choose(seen: Seen) -> Act | None:
        return Act(cut_after=size // 2, meanwhile=slowly) if seen.size == size else None

    return choose
