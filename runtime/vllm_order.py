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
from pathlib import Path
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

_LARGE = 10_000
"""Entries from which on a part of a tokenizer is worth sharing."""


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
    """Read the tokenizer, and keep vLLM from what it would do with it in vain."""
    with contextlib.suppress(Exception):  # vLLM will say what is wrong with it
        _share(_tokenizer(config.model_config))
    renderer = renderer_from_config(config)
    with contextlib.suppress(Exception):
        _look_for_template(renderer.tokenizer, trusted=config.model_config.trust_remote_code)
    return renderer


def _tokenizer(model_config: Any) -> Any:
    """Return the tokenizer from vLLM's own cache, which reads it the first time."""
    return importlib.import_module("vllm.tokenizers").cached_tokenizer_from_config(model_config)


def read_ahead(folder: str) -> None:
    """Read the tokenizer of a model's folder into this process, as the engine will ask for it."""
    asked = {"hf_config": None, "runner_type": "generate", "skip_tokenizer_init": False}
    asked |= {"tokenizer": folder, "tokenizer_mode": "auto", "tokenizer_revision": None}
    with contextlib.suppress(Exception):
        _tokenizer(SimpleNamespace(**asked, trust_remote_code=False))


class _SharedDict(dict[Any, Any]):
    def __deepcopy__(self, _memo: object) -> "_SharedDict":
        return self


class _SharedList(list[Any]):
    def __deepcopy__(self, _memo: object) -> "_SharedList":
        return self


_SHARED: dict[type, type] = {dict: _SharedDict, list: _SharedList}


def _share(tokenizer: Any) -> None:
    """Let vLLM's copies of a tokenizer, one a thread, share its vocabulary and its merges.

    It was made of them, and only reads them again to be trained anew. Copying takes a third of the
    time that a copy takes.
    """
    held = tokenizer.__reduce__()  # vLLM's wrapper is made again around the one that it names
    for one in (tokenizer, *(held[1] if isinstance(held, tuple) else ())):
        for name, value in list(getattr(one, "__dict__", {}).items()):
            if type(value) in _SHARED and len(value) > _LARGE:
                setattr(one, name, _SHARED[type(value)](value))


def _look_for_template(tokenizer: Any, *, trusted: bool) -> None:
    """Look for a chat template where vLLM looks first; it keeps what was found.

    That is a processor's. A folder without one gives its tokenizer, read all over again, which has
    none that counts: so say so at once.
    """
    templates: Any = importlib.import_module("vllm.renderers.hf")
    folder = Path(tokenizer.name_or_path)
    if folder.is_dir() and not _has_processor(folder):
        known = templates._PROCESSOR_CHAT_TEMPLATES  # noqa: SLF001
        known.setdefault((tokenizer.name_or_path, trusted), None)
    else:
        templates._try_get_processor_chat_template(  # noqa: SLF001
            tokenizer, trust_remote_code=trusted
        )


def _has_processor(folder: Path) -> bool:
    """Whether any file of a model names a processor beside its tokenizer."""
    if any(folder.glob("*processor_config.json")):
        return True
    named = (folder / name for name in ("config.json", "tokenizer_config.json"))
    return any("processor" in file.read_text() for file in named if file.is_file())


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
