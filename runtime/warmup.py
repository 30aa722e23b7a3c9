"""Send the warm-up plan through the application and time it."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from runtime import inprocess
from runtime.errors import WarmupError
from runtime.inprocess import Answer, Application
from runtime.plan import Plan, Request, Step
from runtime.report import Timing

_OK = 200
_SHOWN_CHARACTERS = 300


async def run(
    application: Application,
    plan: Plan,
    *,
    key: str | None,
    progress: Callable[[str], None],
) -> list[Timing]:
    """Send every step twice and return the timings in the plan's order.

    Args:
        application: the served ASGI application.
        plan: what to send.
        key: the API key, where one is set.
        progress: told about each step before it is sent.

    Raises:
        WarmupError: an answer was not 200, or its stream held an error.
    """
    # Those that go on beside the others are waited for when nothing else is left to send.
    steps = sorted(plan.steps, key=lambda step: step.beside)
    begun = {
        step.kind: asyncio.create_task(_round(application, step, step.first, key))
        for step in steps
        if step.beside
    }
    timings = {}
    try:
        for number, step in enumerate(steps, start=1):
            progress(f"warming up, {number} of {len(steps)}: {step.kind}")
            first = await (begun.get(step.kind) or _round(application, step, step.first, key))
            repeat = await _round(application, step, step.repeat, key)
            timings[step.kind] = Timing(kind=step.kind, first_s=first, repeat_s=repeat)
    finally:
        for task in begun.values():
            task.cancel()
    return [timings[step.kind] for step in plan.steps]


async def _round(
    application: Application, step: Step, requests: tuple[Request, ...], key: str | None
) -> float:
    """Send the requests at once; return the slowest one's seconds."""
    calls = (inprocess.call(application, r.path, body=r.body, key=key) for r in requests)
    answers = await asyncio.gather(*calls)
    for request, answer in zip(requests, answers, strict=True):
        _check(step.kind, request, answer)
    return max(answer.total_s for answer in answers)


def _check(kind: str, request: Request, answer: Answer) -> None:
    failed = answer.status != _OK or b'data: {"error"' in answer.body.replace(b"{ ", b"{")
    if failed or not answer.body:
        shown = answer.body.decode(errors="replace")[:_SHOWN_CHARACTERS]
        raise WarmupError(
            f"warm-up request {kind!r} to {request.path}: expected 200 with an answer,"
            f" got {answer.status}: {shown}"
        )


async def models(application: Application, *, key: str | None) -> dict[str, Any]:
    """Return the first entry of the server's own list of models.

    Raises:
        WarmupError: the list could not be read.
    """
    answer = await inprocess.call(application, "/v1/models", key=key)
    try:
        found: dict[str, Any] = json.loads(answer.body)["data"][0]
    except (ValueError, LookupError) as error:
        raise WarmupError(f"GET /v1/models: expected a model, got {answer.status}") from error
    return found
