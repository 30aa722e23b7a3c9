"""Let the engine start before the server reads its tokenizer, which takes as long.

vLLM reads the tokenizer, copies it for its threads, and only then starts the engine and waits for
it. Both need nothing of each other. So the server's own constructor finds both made: the engine by
the very call that it makes itself, and the tokenizer by a thread meanwhile.
"""

import contextlib
import functools
import importlib
import inspect
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

_CALL = (
    "vllm_config",
    "executor_class",
    "log_stats",
    "client_addresses",
    "client_count",
    "client_index",
)
"""What the engine is started with. A release whose call takes more (0.32.0 hands it the tokenizer)
keeps its own order."""


def engine_first() -> bool:
    """Change the order of the server's start; return whether this release's can be."""
    try:
        module: Any = importlib.import_module("vllm.v1.engine.async_llm")
        make = module.EngineCoreClient.make_async_mp_client
        original = module.AsyncLLM.__init__
        possible = tuple(inspect.signature(make).parameters) == _CALL
        possible &= set(_CALL) <= inspect.signature(original).parameters.keys()
        possible &= callable(module.renderer_from_config)
    except (ImportError, AttributeError):
        return False
    if not possible:
        return False

    @functools.wraps(original)
    def construct(self: Any, *arguments: Any, **named: Any) -> None:
        bound = inspect.signature(original).bind(self, *arguments, **named)
        bound.apply_defaults()
        call = {name: bound.arguments[name] for name in _CALL}
        with (
            _both(module, make, call) as (engine, renderer),
            _found(module, call, engine, renderer),
        ):
            original(self, *arguments, **named)

    module.AsyncLLM.__init__ = construct
    return True


@contextlib.contextmanager
def _both(module: Any, make: Any, call: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Start the engine here while a thread reads the tokenizer; end the engine on a failure."""
    prepare = getattr(module, "maybe_register_config_serialize_by_value", None)
    if prepare is not None:
        prepare()
    pool = ThreadPoolExecutor(1)
    reading = pool.submit(_read, module.renderer_from_config, call["vllm_config"])
    try:
        engine = make(**call)
    finally:
        pool.shutdown(wait=False)
    try:
        yield engine, reading.result()
    except BaseException:
        engine.shutdown()
        raise


def _read(renderer_from_config: Any, config: Any) -> Any:
    """Read the tokenizer, and look for a template in the place where vLLM will look first."""
    renderer = renderer_from_config(config)
    with contextlib.suppress(Exception):  # vLLM will say what is wrong with it
        templates: Any = importlib.import_module("vllm.renderers.hf")
        trusted = config.model_config.trust_remote_code
        templates._try_get_processor_chat_template(  # noqa: SLF001 - it keeps what it found
            renderer.tokenizer, trust_remote_code=trusted
        )
    return renderer


@contextlib.contextmanager
def _found(module: Any, call: Mapping[str, Any], engine: Any, renderer: Any) -> Iterator[None]:
    """Let the constructor find what was made, as long as it asks for just that."""
    client, render = module.EngineCoreClient, module.renderer_from_config

    def make(**asked: Any) -> Any:
        if asked == call:
            return engine
        engine.shutdown()
        return client.make_async_mp_client(**asked)

    def renderer_from_config(config: Any, **more: Any) -> Any:
        same = config is call["vllm_config"] and not more
        return renderer if same else render(config, **more)

    module.EngineCoreClient = SimpleNamespace(make_async_mp_client=make)
    module.renderer_from_config = renderer_from_config
    try:
        yield
    finally:
        module.EngineCoreClient, module.renderer_from_config = client, render
