"""Trying again: which failures, how often, how long."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from stages.errors import TransientError, UnreachableError

T = TypeVar("T")
KEPT = "What has been fetched is kept: run the same command again to go on"


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long failures are borne.

    Attributes:
        attempts: Failures in a row, with nothing gained between them, that end the work.
        total_s: Seconds from the first such failure after which no further try begins.
        first_s: The longest pause after the first failure, in seconds; it doubles each time.
        longest_s: No pause is longer, in seconds, unless the server asks for it.
    """

    attempts: int = 6
    total_s: float = 600.0
    first_s: float = 0.5
    longest_s: float = 30.0


@dataclass(kw_only=True)
class Attempts:
    """Counts the failures of one piece of work, and paces its tries.

    Attributes:
        kept: What is not lost when patience runs out, and how to go on.
    """

    patience: Patience
    kept: str = KEPT
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _failures: int = field(default=0, init=False)
    _since: float = field(default=0.0, init=False)

    def gained(self) -> None:
        """Forget earlier failures: the work has moved on."""
        self._failures = 0

    def failed(self, failure: TransientError) -> None:
        """Wait before the next try.

        Raises:
            UnreachableError: No try is left, or the server asks for a longer pause than is
                left; says what failed last.
        """
        now = self.clock()
        if self._failures == 0:
            self._since = now
        self._failures += 1
        pause = self._pause(failure)
        spent = now - self._since
        if self._failures >= self.patience.attempts or spent + pause > self.patience.total_s:
            tries = f"{self._failures} tries" if self._failures > 1 else "one try"
            asked = f"; it asks for {failure.wait_s:.0f} s" if failure.wait_s else ""
            raise UnreachableError(
                f"{failure} (gave up after {tries} in {spent:.0f} s{asked}). {self.kept}"
            ) from failure
        self.sleep(pause)

    def _pause(self, failure: TransientError) -> float:
        """Choose the pause in seconds: never less than asked for, and never the same for all."""
        longest = min(self.patience.longest_s, self.patience.first_s * 2.0 ** (self._failures - 1))
        return (failure.wait_s or 0.0) + longest * random.uniform(0.5, 1.0)  # noqa: S311 (jitter is no secret)


def persist(work: Callable[[], T], attempts: Attempts) -> T:
    """Do `work` until it does not fail in passing.

    Raises:
        UnreachableError: Patience ran out.
    """
    while True:
        try:
            return work()
        except TransientError as failure:
            attempts.failed(failure)
