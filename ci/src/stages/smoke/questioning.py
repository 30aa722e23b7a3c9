"""Asking a running server everything, in order, with a clock."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from stages.smoke import answers, facts, refusals
from stages.smoke.answers import Question
from stages.smoke.asking import Server, UnansweredError
from stages.smoke.facts import Model
from stages.smoke.report import Check, WrongError, looked_at, median
from stages.stop import Stop

TYPICAL = 3  # requests whose median is typical
# A first answer is cold when it takes both so many times and so many seconds more than a typical
# one. Warm ones measured 0.97 to 1.57 times on two busy cores; a cold JSON schema 38.9 times on an
# H200, and 0.93 s more on an H100.
COLD_TIMES, COLD_S = 4.0, 0.25


@dataclass
class Questioning:
    """One server's questioning.

    Attributes:
        model: The name that must be served; None takes what is.
        allowed: Routes that the image opens beside its own.
        start: What the server said of its start, once it was asked.
        chat: Whether the model answers chats.
    """

    server: Server
    model: str | None
    allowed: frozenset[str]
    stop: Stop
    start: Mapping[str, Any] | None = None
    chat: bool = True
    _served: Model | None = field(default=None, init=False)

    def run(self) -> list[Check]:
        """Ask, and give what was found; stops asking where nothing answers."""
        found: list[Check] = []
        for check in self._all():
            self.stop.check()
            found.append(check)
        return [self._hidden(check) for check in found]

    def _all(self) -> Iterator[Check]:
        try:
            yield Check(name="health", passed=True, detail=facts.health(self.server))
        except WrongError as error:
            yield Check(name="health", passed=False, detail=str(error))
            if isinstance(error, UnansweredError):
                return
        yield looked_at("models", self._read_model)
        yield looked_at("warm-up", self._read_start)
        if self._served is None:
            return
        asked = answers.questions(self.server, self._served, chat=self.chat)
        timed = []
        for question in asked:
            timed.append(self._measured(question))
            yield timed[-1]
        yield looked_at("first and typical", partial(_warm, timed))
        yield from refusals.checks(self.server, self._served, allowed=self.allowed)

    def _read_model(self) -> str:
        self._served = facts.model(self.server, wanted=self.model)
        return f"{self._served.name}, {self._served.max_model_len} tokens"

    def _read_start(self) -> str:
        self.start = facts.start(self.server)
        self.chat = facts.has_chat(self.start)
        return facts.warmth(self.start)

    def _measured(self, question: Question) -> Check:
        """Ask once, then for the typical answer; every answer must be right."""
        seconds, told = [], ""
        try:
            question.before()
            for number in range(1 + TYPICAL):
                self.stop.check()
                begun = time.monotonic()
                said = question.ask(number)
                seconds.append(time.monotonic() - begun)
                told = told or said
        except WrongError as error:
            return Check(name=question.name, passed=False, detail=str(error))
        return Check(
            name=question.name,
            passed=True,
            detail=told,
            first_s=round(seconds[0], 4),
            typical_s=median(seconds[1:]),
        )

    def _hidden(self, check: Check) -> Check:
        return Check(**(vars(check) | {"detail": self.server.hide(check.detail)}))


def _warm(timed: list[Check]) -> str:
    """Hold every first answer against typical ones."""
    worst, ratio = "", 0.0
    for check in timed:
        if check.first_s is None or check.typical_s is None:
            continue
        times = check.first_s / max(check.typical_s, 1e-4)
        if times > COLD_TIMES and check.first_s - check.typical_s > COLD_S:
            raise WrongError(
                f"the first {check.name} took {check.first_s:.2f} s, typical are "
                f"{check.typical_s:.2f} s: the server was not warm"
            )
        if times > ratio:
            worst, ratio = check.name, times
    return f"at most {ratio:.2f} times, {worst}"
