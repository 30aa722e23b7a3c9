"""A download bears what networks do in passing."""

import random

import pytest

from stages.errors import (
    StagesError,
    UnreachableError,
)
from tests.stages.fetching import (
    PART,
    WEIGHTS,
    Fetch,
    content_range,
    cut,
    hung,
    shifted,
    status,
    whole,
)
from tests.stages.model import COMMIT
from tests.support.hub import SIGNATURE, Fault
from tests.support.hub_repo import Content

BORNE = {
    "429 with Retry-After": status(429, Retry_After="0"),
    "429 with a limit": status(429, RateLimit='"resolvers";r=0;t=0'),
    "500": status(500),
    "502": status(502),
    "503 with a date": status(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
    "cut at once": cut(0),
    "cut in the middle": cut(100_000),
    "silence": hung,
    "signature expired": status(403),
    "storage lost it": status(404),
}


@pytest.mark.parametrize("case", BORNE)
def test_passing_fault_is_borne(fetch: Fetch, case: str) -> None:
    """The download goes on after each, and the result is right."""
    fetch.hub.faults.append(Fault(BORNE[case], times=3))

    fetch()

    assert Content(fetch.weights).sha256 == fetch.hub.repo.commits[COMMIT][WEIGHTS].sha256


@pytest.mark.parametrize("case", ["429 with Retry-After", "502", "cut at once"])
def test_passing_fault_of_the_hub_is_borne(fetch: Fetch, case: str) -> None:
    """Facts, access and redirects are asked again as well."""
    for path, method in (("/api/models/", "GET"), ("/resolve/", "GET"), ("/resolve/", "HEAD")):
        fetch.hub.faults.append(Fault(BORNE[case], path=path, where="hub", method=method, times=2))

    fetch()

    assert fetch.weights


def test_fault_that_stays_is_told_and_what_came_is_kept(fetch: Fetch) -> None:
    """After bounded tries the error says what failed; the next run fetches only the rest."""
    rest = Fault(status(503), path=SIGNATURE, times=10_000)
    passed = iter([False] * 3 + [True] * 10_000)
    change = rest.change
    rest.change = lambda answer: change(answer) if next(passed) else answer
    fetch.hub.faults.append(rest)

    with pytest.raises(UnreachableError, match=r"status 503 \(gave up after 6 tries"):
        fetch()
    fetch.assert_nothing_looks_complete()
    fetch.hub.faults.clear()

    assert 0 < fetch() < fetch.lock.model.size - PART


def test_connection_that_is_always_cut_ends_when_nothing_is_gained(fetch: Fetch) -> None:
    """A byte at a time is no gain: patience ends."""
    fetch.hub.faults.append(Fault(cut(1), times=10_000))

    with pytest.raises(UnreachableError, match="gave up"):
        fetch()
    fetch.assert_nothing_looks_complete()


def test_ignored_range_is_served_by_reading_the_file_whole(fetch: Fetch) -> None:
    """A server without ranges sends the file once or so, not once for each part."""
    fetch.hub.faults.append(Fault(whole, times=10_000))

    fetch()

    assert Content(fetch.weights).sha256 == fetch.hub.repo.commits[COMMIT][WEIGHTS].sha256


def test_ignored_range_and_a_cut_are_borne_together(fetch: Fetch) -> None:
    """A whole body that breaks is read again from its start."""
    fetch.hub.faults += [
        Fault(lambda answer: cut(2_000_000)(whole(answer)), times=2),
        Fault(whole, times=10_000),
    ]

    fetch()

    assert Content(fetch.weights).sha256 == fetch.hub.repo.commits[COMMIT][WEIGHTS].sha256


def test_range_that_is_off_is_never_written(fetch: Fetch) -> None:
    """Bytes of another range are refused, and asked for again."""
    fetch.hub.faults.append(
        Fault(lambda answer: shifted(answer) if answer.start else answer, times=4)
    )

    fetch()

    assert Content(fetch.weights).sha256 == fetch.hub.repo.commits[COMMIT][WEIGHTS].sha256


@pytest.mark.parametrize("seed", range(4))
def test_any_mix_of_faults_ends_in_the_right_bytes_or_an_error(fetch: Fetch, seed: int) -> None:
    """Whatever happens, a folder with a configuration holds the right bytes."""
    dice = random.Random(seed)  # noqa: S311 (a dice, and the same one each time)
    changes = [*BORNE.values(), whole, cut(300_000), content_range("bytes 0-1/*")]
    changes.remove(hung)
    fetch.hub.faults += [
        Fault(change, times=dice.randint(1, 3)) for change in dice.sample(changes, 5)
    ]

    try:
        fetch()
    except StagesError:
        assert not fetch.out.exists()
        fetch.hub.faults.clear()
        fetch()

    assert Content(fetch.weights).sha256 == fetch.hub.repo.commits[COMMIT][WEIGHTS].sha256
