"""The stand-in engine and application behind a release's launcher.

Variables: STANDIN_START (seconds that the engine takes to start), STANDIN_TOKEN (seconds a token),
STANDIN_FAIL: "status" (warm-up chat answers 500), "hang" (never answers), "stubborn" (never answers
and will not be cancelled), "block" (blocks the event loop), "die" (the engine's process is killed by
the first chat, which then hangs), "start" (the engine does not start).
"""

import argparse
import asyncio
import contextlib
import importlib
import json
import multiprocessing
import os
import signal
import time
import types

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

__all__ = [
    "build_app",
    "build_async_engine_client",
    "get_uvicorn_log_config",
    "init_app_state",
    "load_log_config",
    "maybe_register_tokenizer_info_endpoint",
    "validate_api_server_args",
]

FLAGS = (
    "--model --served-model-name --port --host --dtype --max-model-len --max-num-seqs"
    " --gpu-memory-utilization --compilation-config"
).split()


class _Arguments(argparse.Namespace):
    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        if name == "structured_outputs_config":
            return types.SimpleNamespace(reasoning_parser=None)
        return None


class Parser(argparse.ArgumentParser):
    def parse_args(self, args=None, namespace=None):
        return super().parse_args(args, _Arguments())


def make_arg_parser(parser):
    for flag in FLAGS:
        parser.add_argument(flag, type=int if flag == "--port" else str)
    parser.add_argument("--middleware", action="append", default=[])
    parser.add_argument("--enforce-eager", action="store_true")
    parser.add_argument("--disable-log-requests", action="store_true")
    parser.add_argument("--uvicorn-log-level", default="info")
    return parser


def _engine_process():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    time.sleep(3600)


class Engine:
    def __init__(self):
        if os.environ.get("STANDIN_FAIL") == "start":
            raise RuntimeError("Engine core initialization failed")
        context = multiprocessing.get_context(os.environ["VLLM_WORKER_MULTIPROC_METHOD"])
        self.process = context.Process(target=_engine_process, name="EngineCore", daemon=True)
        self.process.start()
        time.sleep(float(os.environ.get("STANDIN_START", "0")))
        self.vllm_config = types.SimpleNamespace(
            shutdown_timeout=0, parallel_config=types.SimpleNamespace(_api_process_rank=0)
        )
        self.model_config = None
        self.should_keep_api_server_alive = False

    @property
    def errored(self):
        return not self.process.is_alive()

    @property
    def is_running(self):
        return self.process.is_alive()

    async def get_supported_tasks(self):
        return ("generate",)

    async def get_vllm_config(self):
        return self.vllm_config

    def shutdown(self, timeout=None):
        self.process.terminate()
        self.process.join(5)


@contextlib.asynccontextmanager
async def build_async_engine_client(args, **_):
    engine = Engine()
    try:
        yield engine
    finally:
        engine.shutdown()


@contextlib.asynccontextmanager
async def _lifespan(app):
    try:
        yield
    finally:
        del app.state  # as vLLM's own lifespan does


async def init_app_state(engine, *arguments):
    state = next(a for a in arguments if type(a).__name__ == "State")
    state.engine_client = engine


def get_uvicorn_log_config(_args):
    return None


def load_log_config(_file):
    return None


def maybe_register_tokenizer_info_endpoint(_args):
    return None


def validate_api_server_args(_args):
    return None


async def _answer(request: Request):
    body = await request.json()
    chat = request.url.path.endswith("chat/completions")
    fail = os.environ.get("STANDIN_FAIL") if chat else None
    engine = request.app.state.engine_client
    if fail == "status":
        return JSONResponse({"error": "boom"}, 500)
    if fail == "hang":
        await asyncio.sleep(3600)
    if fail == "die":
        engine.process.kill()
        await asyncio.sleep(3600)
    if fail == "block":
        time.sleep(3600)
    while fail == "stubborn":
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
    if body.get("prompt") == "block":
        time.sleep(30)
    tokens = int(body.get("max_tokens", body.get("max_output_tokens", 1)))
    token = float(os.environ.get("STANDIN_TOKEN", "0.001"))

    async def events():
        for number in range(tokens):
            await asyncio.sleep(token)
            yield f"data: {json.dumps({'n': number})}\n\n"
        yield "data: [DONE]\n\n"

    if body.get("stream"):
        return StreamingResponse(events(), media_type="text/event-stream")
    await asyncio.sleep(tokens * token)
    if engine.errored:
        return JSONResponse({"error": "EngineDeadError"}, 500)
    return JSONResponse({"choices": [{"text": "x" * tokens}]})


def build_app(args, *_):
    app = FastAPI(lifespan=_lifespan)
    for path in ("/v1/completions", "/v1/chat/completions", "/v1/responses", "/v1/unlisted"):
        app.post(path)(_answer)

    @app.get("/v1/models")
    async def models():
        return {"data": [{"id": args.served_model_name, "max_model_len": 4096}]}

    @app.get("/health")
    async def health():
        return JSONResponse(None)

    for middleware in args.middleware:
        module, name = middleware.rsplit(".", 1)
        app.add_middleware(getattr(importlib.import_module(module), name))
    from vllm import __version__

    if not __version__.startswith(("0.9.", "0.10.", "0.11.0")):
        app.middleware_stack = app.build_middleware_stack()  # as the SageMaker bootstrap does
    return app
