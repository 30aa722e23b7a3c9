"""The warm-up sends its plan through the application."""

import asyncio
import json

import pytest

from runtime import warmup
from runtime.errors import WarmupError
from runtime.inprocess import Receive, Scope, Send
from runtime.plan import Plan, Request, Step


def step(kind: str, *, beside: bool = False) -> Step:
    """Return a step of one request a round, which names its kind."""
    request = (Request(path="/v1/completions", body={"kind": kind}),)
    return Step(kind=kind, first=request, repeat=request, beside=beside)


class Application:
    """Answers; the plain request only after the slow one has come, which waits for the former."""

    def __init__(self, *, fails: str = "") -> None:
        """Let requests of one kind fail."""
        self.served: list[str] = []
        self._slow_came = asyncio.Event()
        self._plain_served = asyncio.Event()
        self._fails = fails

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        kind = json.loads((await receive())["body"])["kind"]
        if kind == "slow":
            self._slow_came.set()
            await self._plain_served.wait()
        else:
            await self._slow_came.wait()
            self._plain_served.set()
        self.served.append(kind)
        status = 500 if kind == self._fails else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


PLAN = Plan(steps=(step("slow", beside=True), step("plain")), left_out={})


@pytest.mark.timeout(10)
def test_a_step_beside_the_others_holds_none_of_them_up() -> None:
    """Its first round goes on while they are sent; its second comes last, alone."""

    async def run() -> tuple[list[str], list[str]]:
        application = Application()
        timings = await warmup.run(application, PLAN, key=None, progress=lambda _: None)
        return application.served, [timing.kind for timing in timings]

    served, timed = asyncio.run(run())

    assert sorted(served) == ["plain", "plain", "slow", "slow"]
    assert served[0] == "plain"
    assert served[-1] == "slow"
    assert timed == ["slow", "plain"], "the plan's order"


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["slow", "plain"])
def test_a_failed_request_fails_the_warm_up(kind: str) -> None:
    """Beside the others or in turn: the error names the kind."""

    async def run() -> None:
        application = Application(fails=kind)
        await warmup.run(application, PLAN, key=None, progress=lambda _: None)

    with pytest.raises(WarmupError, match=f"warm-up request '{kind}'"):
        asyncio.run(run())
