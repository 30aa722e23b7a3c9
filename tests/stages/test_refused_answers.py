"""A download refuses what asking again will not mend, and nothing then looks complete."""

import os
import time
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from stages.cache import Cache
from stages.errors import (
    AnswerError,
    IntegrityError,
    NotFoundError,
    StagesError,
    StorageError,
)
from stages.hub import Hub
from tests.stages.fetching import (
    PART,
    QUICK,
    WEIGHTS,
    Fetch,
    content_range,
    flipped,
    hung,
    status,
    whole,
)
from tests.stages.model import COMMIT, NAME
from tests.support.hub import Fault
from tests.support.hub_repo import Content
from tests.support.hub_wire import Answer


def other_sizes() -> dict[str, tuple[Callable[[Answer], Answer], type[StagesError], str]]:
    """List answers that asking again will not mend."""
    return {
        "another size in Content-Range": (
            content_range("bytes 0-9/10"), IntegrityError, "has 10 bytes, the lock says"
        ),
        "no Content-Range": (content_range(""), AnswerError, "cannot be read"),
        "another unit": (content_range("lines 1-2/3"), AnswerError, "cannot be read"),
        "another length": (
            lambda answer: replace(whole(answer), end=10), IntegrityError, "has 10 bytes"
        ),
        "compressed": (
            lambda answer: replace(answer, headers=answer.headers | {"Content-Encoding": "gzip"}),
            AnswerError, "encodes the file as 'gzip'",
        ),
        "range past the end": (status(416), AnswerError, "unexpected status 416"),
        "teapot": (status(418), AnswerError, "unexpected status 418"),
    }  # fmt: skip


@pytest.mark.parametrize("case", other_sizes())
def test_answer_that_cannot_be_right_ends_the_download(fetch: Fetch, case: str) -> None:
    """It is told at once, and nothing looks complete."""
    change, kind, message = other_sizes()[case]
    fetch.hub.faults.append(Fault(change, times=10_000))

    with pytest.raises(kind, match=message):
        fetch()
    fetch.assert_nothing_looks_complete()


def test_failure_does_not_wait_for_a_silent_server(fetch: Fetch, client: httpx.Client) -> None:
    """What ends the download is told although other requests get no answer."""
    client.timeout = httpx.Timeout(30.0)
    fetch.hub.faults += [Fault(hung, times=2), Fault(status(418), times=99)]
    begun = time.monotonic()

    with pytest.raises(AnswerError, match="unexpected status 418"):
        fetch()

    assert time.monotonic() - begun < 5


def test_room_for_copies_is_counted(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files cannot be linked, cache and output both need room, before the first byte."""
    monkeypatch.setattr("stages.disk.same_device", lambda *_: False)
    monkeypatch.setattr("stages.disk.SPARE", 2**60)

    with pytest.raises(StorageError, match=r"0\.01 GB are needed"):  # 6.9 MB, and not 3.4
        fetch()
    assert fetch.hub.storage.log == []


def test_wrong_bytes_are_refused(fetch: Fetch) -> None:
    """Bytes with another sha256 are deleted; the error has both digests."""
    fetch.hub.faults.append(Fault(flipped))
    right = fetch.hub.repo.commits[COMMIT][WEIGHTS].sha256

    with pytest.raises(IntegrityError, match=rf"safetensors: .*sha256 .* the lock says {right}"):
        fetch()
    fetch.assert_nothing_looks_complete()
    assert not list((fetch.folder / "cache" / "partial").glob(f"{right}*"))


def test_wrong_bytes_of_an_earlier_run_are_fetched_again(fetch: Fetch) -> None:
    """After a power cut the journal may lie: the file is fetched anew, once."""
    entry = next(file for file in fetch.lock.model.files if file.path == WEIGHTS)
    cache = Cache(fetch.folder / "cache", part=PART)
    cache.prepare()
    with cache.partial(entry) as partial:
        partial.write(0, bytes(PART))

    fetch()

    assert Content(fetch.weights).sha256 == entry.sha256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (b"other weights", "is not what the lock says"),
        (None, "the Hub lists no such file"),
    ],
    ids=["other bytes", "no file"],
)
def test_moved_commit_is_told_before_the_first_byte(
    fetch: Fetch, change: bytes | None, message: str
) -> None:
    """A commit that no longer holds what was locked is refused before anything is fetched."""
    if change is None:
        del fetch.hub.repo.commits[COMMIT][WEIGHTS]
    else:
        fetch.hub.repo.commits[COMMIT][WEIGHTS] = Content(change)

    with pytest.raises(IntegrityError, match=message):
        fetch()
    fetch.assert_nothing_looks_complete()
    assert fetch.hub.storage.log == []


def test_answer_about_another_commit_is_refused(fetch: Fetch) -> None:
    """X-Repo-Commit must be the lock's, and so must the model info's."""
    moved = {"X-Repo-Commit": "e" * 40}
    fetch.hub.faults.append(
        Fault(
            lambda answer: replace(answer, headers=answer.headers | moved),
            path="/resolve/",
            where="hub",
            method="HEAD",
        )
    )

    with pytest.raises(IntegrityError, match=r"commit 'eee.*has moved"):
        fetch()
    fetch.hub.facts = lambda facts: facts | {"sha": "e" * 40}
    with pytest.raises(IntegrityError, match="the Hub answers with eee"):
        fetch()
    fetch.assert_nothing_looks_complete()


def test_small_file_that_changed_is_refused(fetch: Fetch) -> None:
    """Small files have no sha256 on the Hub: their bytes are judged when they come."""
    same_size = b"x" * fetch.hub.repo.commits[COMMIT]["LICENSE"].size
    fetch.hub.repo.commits[COMMIT]["LICENSE"] = Content(same_size)

    with pytest.raises(IntegrityError, match="LICENSE: the Hub sent bytes with sha256"):
        fetch()
    assert not fetch.out.exists()


def test_unknown_commit_is_told_before_the_first_byte(fetch: Fetch) -> None:
    """A commit that the Hub does not know is named, with the page to look at."""
    fetch.hub.repo.commits.clear()
    fetch.hub.repo.refs.clear()

    with pytest.raises(NotFoundError, match=f"no branch, tag or commit {COMMIT}: see http"):
        fetch()
    assert fetch.hub.storage.log == []


def test_file_that_vanishes_is_told(fetch: Fetch) -> None:
    """A 404 of the Hub for a listed file says to lock again."""
    fetch.hub.faults.append(
        Fault(status(404, X_Error_Code="EntryNotFound"), path="/resolve/", where="hub", times=99)
    )

    with pytest.raises(NotFoundError, match=r"has no file .* run `lock` again"):
        fetch()
    fetch.assert_nothing_looks_complete()


def test_too_little_disk_is_told_before_the_first_byte(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pre-flight compares what is missing with what is free."""
    monkeypatch.setattr("stages.disk.SPARE", 2**60)

    with pytest.raises(StorageError, match="too little disk"):
        fetch()
    assert fetch.hub.storage.log == []
    fetch.assert_nothing_looks_complete()


def test_disk_that_fills_up_is_told(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk in mid-transfer ends it with a message, and what came is kept."""
    write = os.pwrite
    room = iter(range(20))

    def full(descriptor: int, piece: bytes, offset: int) -> int:
        if len(piece) > 1000 and next(room, None) is None:
            raise OSError(28, "No space left on device")
        return write(descriptor, piece, offset)

    monkeypatch.setattr(os, "pwrite", full)

    with pytest.raises(StorageError, match=r"No space left on device.*make room"):
        fetch()
    fetch.assert_nothing_looks_complete()


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("ftp://x/y", "no http address"),
        ("http://u:p@x/y", "no http address"),
        ("http://[", "no http address"),
        ("http://127.0.0.1:99999999/", "no http address"),
    ],
)
def test_redirect_to_nowhere_is_refused(fetch: Fetch, location: str, message: str) -> None:
    """A Location that is no http address is refused, and not shown."""
    fetch.hub.faults.append(
        Fault(status(302, Location=location), path="/resolve/", where="hub", times=99)
    )

    with pytest.raises(AnswerError, match=message) as caught:
        fetch()
    assert location not in str(caught.value)


def test_redirects_without_end_are_refused(fetch: Fetch) -> None:
    """Five are followed."""
    fetch.hub.faults.append(
        Fault(status(302, Location="/x/resolve/y/z"), path="/resolve/", where="hub", times=99)
    )

    with pytest.raises(AnswerError, match="more than 5 redirects"):
        fetch()


def test_redirect_from_https_to_http_is_refused() -> None:
    """What was asked for in private is not fetched in the clear."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.scheme == "https"
        return httpx.Response(302, headers={"Location": "http://cdn.example/x"})

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        hub = Hub(client, "https://hub.example", patience=QUICK)
        with pytest.raises(AnswerError, match=r"https to http://cdn.example, which is refused"):
            hub.repository(NAME, "main")
