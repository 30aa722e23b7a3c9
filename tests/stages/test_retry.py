"""Failures are borne for a while, at a growing distance."""

from dataclasses import dataclass, field

import pytest

from stages.errors import TransientError, UnreachableError
from stages.retry import Attempts, Patience, persist


@dataclass
class Clock:
    """A clock that only sleeping moves."""

    now: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.pauses.append(seconds)
        self.now += seconds

    def attempts(self, **options: float) -> Attempts:
        """Count failures by this clock."""
        patience = Patience(**options)  # type: ignore[arg-type]
        return Attempts(patience=patience, sleep=self.sleep, clock=lambda: self.now)


def failing(times: int, wait_s: float | None = None) -> object:
    """Give work that fails so often before it is done."""
    failures = iter([TransientError("status 503", wait_s=wait_s)] * times)

    def work() -> str:
        for failure in failures:
            raise failure
        return "done"

    return work


def test_work_that_fails_in_passing_is_done_in_the_end() -> None:
    """Five failures are borne, and the pauses grow, each with jitter."""
    clock = Clock()

    assert persist(failing(5), clock.attempts()) == "done"  # type: ignore[arg-type]
    for number, pause in enumerate(clock.pauses):
        assert 0.25 * 2**number <= pause <= 0.5 * 2**number


def test_attempts_are_bounded() -> None:
    """The sixth failure ends the work, with what failed last and what to do."""
    clock = Clock()

    with pytest.raises(UnreachableError, match=r"status 503 \(gave up after 6 tries.*run the same"):
        persist(failing(6), clock.attempts())  # type: ignore[arg-type]


def test_total_time_is_bounded() -> None:
    """No pause begins that would end past the limit."""
    clock = Clock()

    with pytest.raises(UnreachableError, match="after 3 tries"):
        persist(failing(9, wait_s=40), clock.attempts(total_s=100))  # type: ignore[arg-type]
    assert clock.now <= 100


def test_pause_that_the_server_asks_for_is_kept() -> None:
    """Retry-After is a lower bound."""
    clock = Clock()

    persist(failing(1, wait_s=7), clock.attempts())  # type: ignore[arg-type]

    assert clock.pauses[0] >= 7


def test_pause_past_patience_is_told_at_once() -> None:
    """A server that asks for an hour gets no second request."""
    clock = Clock()

    with pytest.raises(UnreachableError, match="one try in 0 s; it asks for 3600 s"):
        persist(failing(1, wait_s=3600), clock.attempts())  # type: ignore[arg-type]
    assert clock.pauses == []


def test_gain_renews_patience() -> None:
    """Failures count only while nothing is gained between them."""
    attempts = Clock().attempts(attempts=2)

    for _ in range(5):
        attempts.failed(TransientError("cut"))
        attempts.gained()
