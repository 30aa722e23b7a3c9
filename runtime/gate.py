"""The gate: holds the port shut until the warm-up is over.

vLLM binds its socket first, then builds engine and application, then runs the ASGI lifespan, and
only when that is complete does uvicorn listen. So a middleware that keeps `startup.complete` back
keeps every connection refused, in each release from 0.9.0 on.
See https://asgi.readthedocs.io/en/latest/specs/lifespan.html
"""

import asyncio
import gc
import json
from typing import Any

from runtime import (
    compile_cache,
    engine_watch,
    head_limit,
    helper,
    inprocess,
    launch,
    signals,
    vllm,
    warmup,
)
from runtime.drain import UNWIND_SECONDS, end_after
from runtime.errors import EXIT_FAILED, EngineError, PrewarmError, WarmupError
from runtime.inprocess import Application, Message, Receive, Scope, Send
from runtime.launch import Launch
from runtime.plan import Served, plan

REPORT_PATH = "/prewarm"


class WarmupGate:
    """ASGI middleware: sends the warm-up plan through the application, then lets the port open."""

    def __init__(self, app: Application) -> None:
        """Wrap `app`; some releases build the stack long before they run it."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Warm up at startup; afterwards answer GET /prewarm and pass on all else."""
        if scope["type"] == "lifespan":
            startup = _Startup(scope["app"], send)
            try:
                await self._app(scope, receive, startup)
            finally:
                await startup.refuse_if_unanswered()
        elif scope["type"] == "http" and inprocess.route(scope) == REPORT_PATH:
            await _answer_report(send)
        else:
            await self._app(scope, receive, send)


class _Startup:
    """The lifespan's way back to uvicorn, with the warm-up before `startup.complete`.

    A failure is raised here, inside the application's own lifespan, so that it is undone in order
    and answers `startup.failed`; outside of it uvicorn would take the lifespan for unsupported and
    open the port cold.
    """

    def __init__(self, application: Any, send: Send) -> None:
        self._application = application
        self._send = send
        self._answered = False

    async def refuse_if_unanswered(self) -> None:
        """Fail the start where a middleware between us and the application ate the lifespan."""
        if not self._answered:
            launch.current().failure = "a middleware does not pass the ASGI lifespan on"
            await self({"type": "lifespan.startup.failed"})

    async def __call__(self, message: Message) -> None:
        started = launch.current()
        self._answered = True
        if message["type"] == "lifespan.startup.complete":
            await _open(self._application, started)
        elif message["type"] == "lifespan.startup.failed" and started.failure:
            message = {**message, "message": f"prewarm: {started.failure}"}
        await self._send(message)


async def _open(application: Any, started: Launch) -> None:
    started.report.end_phase("engine")
    started.engine_ready = True
    engine = engine_watch.processes()
    try:
        server = vllm.uvicorn_server(application.state, signals.held_off)
        if server is None:
            raise EngineError("this release's uvicorn server was not found: cannot drain it")
        await _warm(application, started, engine)
    except PrewarmError as error:
        started.failure = str(error)
        signals.say(f"prewarm: {error}")
        raise
    gc.freeze()  # what lives now lives on: keep it out of every later collection
    gc.enable()
    server.config.http_protocol_class = head_limit.bound(server.config.http_protocol_class)
    started.drain.watch_over(server)
    started.serving = True
    started.watch = asyncio.create_task(_end_with(engine, started))
    started.progress.stop()
    helper.collect()
    started.report.engine = started.engine_log.moments(started.report.begun)
    modules = started.spare.settle() if started.spare else []
    if started.cache:
        started.cache.modules = modules
        compile_cache.conclude(started.cache, application.state, started.report)
    signals.say(started.report.log_line())


async def _warm(application: Any, started: Launch, engine: list[Any]) -> None:
    """Run the plan within its limit, unless the engine dies first."""
    if started.settings.skip_prewarm:
        started.report.skipped = True
        signals.say("prewarm: SKIP_PREWARM=1: the port opens without a warm-up")
        return
    limit = started.settings.prewarm_timeout
    # Even a request that blocks the event loop, or will not be cancelled, ends the start.
    last_resort = end_after(limit + UNWIND_SECONDS, exit_code=EXIT_FAILED)
    running = asyncio.create_task(_send_plan(application, started))
    death = asyncio.create_task(engine_watch.death(engine))
    await asyncio.wait({running, death}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
    if running.done() and running.exception():
        # A failed request is often how the engine's death shows first.
        await asyncio.wait({death}, timeout=2 * engine_watch.INTERVAL_SECONDS)
    died, done = death.done(), running.done()
    death.cancel()
    running.cancel()
    if died:
        raise EngineError(f"{death.result()} during the warm-up")
    if not done:
        raise WarmupError(f"the warm-up outlasted PREWARM_TIMEOUT={limit:g} s")
    running.result()
    last_resort.cancel()
    started.report.end_phase("warmup")


async def _send_plan(application: Any, started: Launch) -> None:
    key = started.settings.api_key.reveal() if started.settings.api_key else None
    card = await warmup.models(application, key=key)
    served = Served(
        model=card["id"],
        max_model_len=card["max_model_len"],
        vocabulary=started.model.vocabulary,
        routes={getattr(route, "path", "") for route in application.routes},
        has_chat_template=started.chat_template,
        max_queue=started.settings.max_queue,
        max_logprobs=started.max_logprobs,
    )
    wanted = plan(served, started.settings.prewarm_lengths)
    if not wanted.steps:
        raise WarmupError("no kind of warm-up request fits this model: see SKIP_PREWARM")
    started.report.left_out = wanted.left_out
    for kind, why in wanted.left_out.items():
        signals.say(f"prewarm: warm-up leaves out {kind}: {why}")
    started.report.timings = await warmup.run(
        application, wanted, key=key, progress=started.progress.phase
    )


async def _end_with(engine: list[Any], started: Launch) -> None:
    """End the service when the engine has died under it."""
    reason = await engine_watch.death(engine)
    if started.drain.begun:
        started.drain.cut(reason)
    else:
        started.failure = reason
        signals.say(f"prewarm: {reason}: closing the port")
        started.drain.engine_died(reason, EXIT_FAILED)


async def _answer_report(send: Send) -> None:
    body = json.dumps(launch.current().report.as_dict()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
