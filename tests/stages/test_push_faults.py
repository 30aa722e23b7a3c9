"""A push through a failing registry succeeds, and no tag ever names what is not there."""

import shutil
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.registry import upload
from stages.retry import Attempts
from tests.stages.model import Ended
from tests.stages.pushing import Ready, blobs_of, watched
from tests.support.registry import Registry
from tests.support.registry_faults import Act, Proxy, Seen, Tokens

pytestmark = pytest.mark.containers

Run = Callable[..., Ended]
Fault = Callable[[Proxy, Registry], Callable[[Seen], Act | None]]
ROOT = Path(__file__).parents[2]
LARGE = 2**20  # bytes; only the weights' layers and their chunks have so many


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less between tries, and send small chunks."""

    def pause(self: Attempts, failure: Exception) -> float:
        asked: float = getattr(failure, "wait_s", None) or 0.0
        return asked + min(1.0, 0.02 * 2.0**self._failures)

    monkeypatch.setattr(Attempts, "_pause", pause)
    monkeypatch.setattr(upload, "CHUNK", LARGE)


def once_each(act: Act) -> Fault:
    """Break the first request of each kind, whatever it is about."""

    def fault(_proxy: Proxy, _registry: Registry) -> Callable[[Seen], Act | None]:
        counts: Counter[str] = Counter()
        lock = threading.Lock()

        def choose(seen: Seen) -> Act | None:
            with lock:
                counts[seen.kind] += 1
                return act if counts[seen.kind] == 1 else None

        return choose

    return fault


def in_body(make: Callable[[Registry], Callable[[], object]], *, times: int = 1) -> Fault:
    """Do something in the middle of large bodies, and break their connections."""

    def fault(_proxy: Proxy, running: Registry) -> Callable[[Seen], Act | None]:
        left, lock, what = [times], threading.Lock(), make(running)

        def choose(seen: Seen) -> Act | None:
            with lock:
                if seen.method not in {"PUT", "PATCH"} or seen.size < LARGE or not left[0]:
                    return None
                left[0] -= 1
            return Act(cut_after=seen.size // 2, meanwhile=what)

        return choose

    return fault


def restart(running: Registry) -> Callable[[], object]:
    """Kill the registry, and start it again on what it kept."""

    def again() -> None:
        running.stop()
        running.start()

    return again


def lose(running: Registry) -> None:
    """Delete every upload that the registry has begun."""
    for folder in running.data.rglob("_uploads"):
        shutil.rmtree(folder, ignore_errors=True)


def lost(_proxy: Proxy, running: Registry) -> Callable[[Seen], Act | None]:
    """Lose all uploads once, when some of a large blob has come and more is about to."""
    counts: Counter[str] = Counter()
    lock = threading.Lock()

    def choose(seen: Seen) -> Act | None:
        with lock:
            counts[seen.kind] += seen.size >= LARGE
            last = 2 if seen.method == "PATCH" else 1
            mine = seen.size >= LARGE and counts[seen.kind] == last
        return Act(before=lambda: lose(running)) if mine else None

    return choose


def refusing_chunks(status: int, *, later: bool = False) -> Fault:
    """Refuse chunks: all of them, or those that do not begin a blob."""

    def fault(_proxy: Proxy, _registry: Registry) -> Callable[[Seen], Act | None]:
        def choose(seen: Seen) -> Act | None:
            span = seen.headers.get("content-range", "0-")
            refused = seen.method == "PATCH" and not (later and span.startswith("0-"))
            return Act(status=status) if refused else None

        return choose

    return fault


FAULTS: dict[str, Fault] = {
    "500": once_each(Act(status=500)),
    "502": once_each(Act(status=502)),
    "408": once_each(Act(status=408)),
    "429": once_each(Act(status=429, headers={"Retry-After": "1"})),
    "answer never comes": once_each(Act(unheard=True)),
    "connection cut in mid-blob": in_body(lambda _: lambda: None, times=3),
    "registry restarted in mid-push": in_body(restart),
    "upload lost": lost,
    "upload lost with the connection": in_body(lambda running: lambda: lose(running)),
}
OF_CHUNKS: dict[str, Fault] = {
    "chunks refused with 416": refusing_chunks(416),
    "chunks refused with 400": refusing_chunks(400),
    "chunks refused with 405": refusing_chunks(405),
    "later chunks refused with 416": refusing_chunks(416, later=True),
}


CASES = [(name, mode) for name in FAULTS for mode in ("single", "chunked")]


@pytest.mark.parametrize(("name", "mode"), [*CASES, *((name, "chunked") for name in OF_CHUNKS)])
def test_push_succeeds_in_spite_of(
    stages: Run, ready: Ready, front: Proxy, shelf: Registry, name: str, mode: str
) -> None:
    """What fails is done again, and at no time does a tag name a manifest that lacks a blob."""
    front.act = (FAULTS | OF_CHUNKS)[name](front, shelf)

    with watched(shelf, "a/b", "v1", "latest") as watch:
        ended = stages(
            *ready.words(f"{front.host}/a/b:v1", f"{front.host}/a/b:latest"), f"--uploads={mode}"
        )

    watch.look()
    assert ended.code == 0, ended.err
    assert front.acted
    assert watch.missing == []
    assert watch.looks > 1
    for tag in ("v1", "latest"):
        assert blobs_of(shelf.manifest("a/b", tag)) == ready.digests
    assert all(shelf.has_blob("a/b", digest) for digest in ready.digests)


@pytest.mark.parametrize("mode", ["single", "chunked"])
@pytest.mark.parametrize("uses", [5, 9])
def test_push_outlives_its_tokens(
    stages: Run, ready: Ready, front: Proxy, shelf: Registry, mode: str, uses: int
) -> None:
    """A token that has expired is fetched again, in the middle of whatever is being done."""
    front.tokens = Tokens(user=("ada", "secret word"), uses=uses)
    environ = {"REGISTRY_USERNAME": "ada", "REGISTRY_PASSWORD": "secret word"}

    with watched(shelf, "a/b", "v1") as watch:
        ended = stages(*ready.words(f"{front.host}/a/b:v1"), f"--uploads={mode}", environ=environ)

    watch.look()
    assert ended.code == 0, ended.err
    assert watch.missing == []
    assert len(front.tokens.asked) > 3
    assert {tuple(one["scope"]) for one in front.tokens.asked} == {("repository:a/b:pull,push",)}
    assert "secret word" not in ended.out + ended.err


def test_chunks_go_on_where_they_were(stages: Run, ready: Ready, front: Proxy) -> None:
    """Chunks that were answered are not sent again after an error."""
    refused: list[Seen] = []

    def choose(seen: Seen) -> Act | None:
        third = seen.headers.get("content-range", "").startswith(f"{2 * LARGE}-")
        if seen.method == "PATCH" and third and not refused:
            refused.append(seen)
            return Act(status=503)
        return None

    front.act = choose

    ended = stages(*ready.words(f"{front.host}/a/b:v1"), "--uploads=chunked")

    ranges = [one.headers["content-range"] for one in front.asked("PATCH upload")]
    large = [span for span in ranges if not span.startswith("0-")]
    assert ended.code == 0
    assert refused
    assert Counter(large)[f"{LARGE}-{2 * LARGE - 1}"] == 1
    assert Counter(large)[f"{2 * LARGE}-{3 * LARGE - 1}"] == 2
    assert len(front.asked("GET upload")) == 1
