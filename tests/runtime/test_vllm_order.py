"""The engine starts before the tokenizer is read: held against stand-ins shaped as 0.25.1's."""

import copy
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from runtime import vllm_order


class Engine:
    """Counts its ends."""

    ended = 0

    def shutdown(self) -> None:
        """End it."""
        self.ended += 1


class Client:
    """Makes engines, and tells what was asked."""

    asked: list[dict[str, Any]]
    started: threading.Event
    fails = False

    @staticmethod
    def make_async_mp_client(
        vllm_config: object,
        executor_class: object,
        log_stats: object,
        client_addresses: object = None,
        client_count: int = 1,
        client_index: int = 0,
    ) -> Engine:
        """Start an engine."""
        named = dict(locals())
        Client.asked.append(named)
        if Client.fails:
            raise RuntimeError("no engine")
        Client.started.set()
        return Engine()


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module with the names of the release's, whose server reads first and starts then."""
    module: Any = ModuleType("vllm.v1.engine.async_llm")
    Client.asked, Client.started, Client.fails = [], threading.Event(), False
    module.EngineCoreClient = Client
    module.read_beside_engine = None

    def renderer_from_config(config: Any) -> Any:
        module.read_beside_engine = Client.started.wait(5)
        if config.broken:
            raise ValueError("no tokenizer")
        return SimpleNamespace(tokenizer=None, config=config)

    module.renderer_from_config = renderer_from_config

    class AsyncLLM:
        def __init__(
            self,
            vllm_config: Any,
            executor_class: Any,
            log_stats: bool,  # noqa: FBT001 - as the release has it
            client_addresses: Any = None,
            client_count: int = 1,
            client_index: int = 0,
        ) -> None:
            self.renderer = module.renderer_from_config(vllm_config)
            self.engine_core = module.EngineCoreClient.make_async_mp_client(
                vllm_config=vllm_config,
                executor_class=executor_class,
                log_stats=log_stats or vllm_config.more_stats,
                client_addresses=client_addresses,
                client_count=client_count,
                client_index=client_index,
            )

    module.AsyncLLM = AsyncLLM
    monkeypatch.setitem(sys.modules, "vllm", ModuleType("vllm"))
    monkeypatch.setitem(sys.modules, "vllm.v1", ModuleType("vllm.v1"))
    monkeypatch.setitem(sys.modules, "vllm.v1.engine", ModuleType("vllm.v1.engine"))
    monkeypatch.setitem(sys.modules, "vllm.v1.engine.async_llm", module)
    return module


def config(*, broken: bool = False, more_stats: bool = False) -> Any:
    """Return what the stand-ins ask of a configuration."""
    return SimpleNamespace(broken=broken, more_stats=more_stats)


def test_the_engine_starts_while_the_tokenizer_is_read(release: Any) -> None:
    """Both are made once, at the same time, and the constructor finds just those."""
    assert vllm_order.engine_first()

    server = release.AsyncLLM(config(), executor_class=Engine, log_stats=True)

    assert release.read_beside_engine, "the tokenizer was read after the engine's start"
    assert len(Client.asked) == 1
    assert isinstance(server.engine_core, Engine)
    assert server.renderer.config is Client.asked[0]["vllm_config"]
    assert release.EngineCoreClient is Client, "nothing stays changed but the constructor"


def test_an_engine_that_was_not_asked_for_is_ended(release: Any) -> None:
    """Should the release ask for another engine than was started, it gets that one."""
    vllm_order.engine_first()

    release.AsyncLLM(config(more_stats=True), executor_class=Engine, log_stats=False)

    assert [asked["log_stats"] for asked in Client.asked] == [False, True]


def test_a_tokenizer_that_cannot_be_read_ends_the_engine(
    release: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release's own error comes through, and no engine stays behind."""
    ended: list[str] = []
    monkeypatch.setattr(Engine, "shutdown", lambda _self: ended.append("ended"))
    vllm_order.engine_first()

    with pytest.raises(ValueError, match="no tokenizer"):
        release.AsyncLLM(config(broken=True), executor_class=Engine, log_stats=True)

    assert len(ended) == 1


def test_an_engine_that_cannot_start_raises_its_own_error(release: Any) -> None:
    """Whatever the tokenizer does meanwhile."""
    Client.fails = True
    Client.started.set()
    vllm_order.engine_first()

    with pytest.raises(RuntimeError, match="no engine"):
        release.AsyncLLM(config(), executor_class=Engine, log_stats=True)


def test_a_release_that_asks_for_more_keeps_its_order(release: Any) -> None:
    """0.32.0 hands the tokenizer to the engine's client."""
    release.EngineCoreClient = SimpleNamespace(make_async_mp_client=lambda **_: None)

    assert not vllm_order.engine_first()


def test_copies_of_a_tokenizer_share_what_it_was_made_of() -> None:
    """The vocabulary and the merges are not copied; small parts and their changes are."""
    inner = SimpleNamespace(words={str(n): n for n in range(20_000)}, pairs=list(range(20_000)))
    inner.small = [1]
    wrapper = type("Wrapper", (), {"__reduce__": lambda _self: (object, (inner,))})()

    vllm_order._share(wrapper)  # noqa: SLF001 - no public way leads here without vLLM
    twin = copy.deepcopy(inner)

    assert twin.words is inner.words
    assert twin.pairs is inner.pairs
    assert twin.small is not inner.small
    assert len(inner.words) == len(inner.pairs) == 20_000


@pytest.mark.parametrize(
    ("name", "text", "processor"),
    [
        ("preprocessor_config.json", "{}", True),
        ("tokenizer_config.json", '{"processor_class": "Gemma3Processor"}', True),
        ("config.json", '{"architectures": ["Gemma3ForCausalLM"]}', False),
    ],
)
def test_a_processor_is_looked_for_where_a_model_names_one(
    tmp_path: Path,
    name: str,
    text: str,
    processor: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Only a model without one is spared the second reading of its tokenizer."""
    (tmp_path / name).write_text(text)

    assert vllm_order._has_processor(tmp_path) is processor  # noqa: SLF001


@pytest.fixture
def templates(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The release's module that keeps what it found, and counts how often it looks."""
    module: Any = ModuleType("vllm.renderers.hf")
    module._PROCESSOR_CHAT_TEMPLATES = {}  # noqa: SLF001
    module.looked = []

    def look(_tokenizer: Any, **more: Any) -> None:
        module.looked.append(more)

    module._try_get_processor_chat_template = look  # noqa: SLF001
    for name in ("vllm", "vllm.renderers"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "vllm.renderers.hf", module)
    return module


def test_a_model_without_processor_is_not_read_once_more(templates: Any, tmp_path: Path) -> None:
    """The release is told at once what it would have found."""
    tokenizer = SimpleNamespace(name_or_path=str(tmp_path))

    vllm_order._look_for_template(tokenizer, trusted=False)  # noqa: SLF001

    told = templates._PROCESSOR_CHAT_TEMPLATES  # noqa: SLF001
    assert told == {(str(tmp_path), False): None}
    assert not templates.looked


def test_a_processor_is_looked_for_ahead(templates: Any, tmp_path: Path) -> None:
    """By the release itself, which keeps it."""
    (tmp_path / "processor_config.json").write_text("{}")

    vllm_order._look_for_template(  # noqa: SLF001
        SimpleNamespace(name_or_path=str(tmp_path)), trusted=True
    )

    assert templates.looked == [{"trust_remote_code": True}]


def test_the_engines_tokenizer_is_read_as_the_engine_will_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The release keeps it under what it was asked with; a failure is the release's to tell."""
    module: Any = ModuleType("vllm.tokenizers")
    asked: list[Any] = []
    module.cached_tokenizer_from_config = asked.append
    monkeypatch.setitem(sys.modules, "vllm", ModuleType("vllm"))
    monkeypatch.setitem(sys.modules, "vllm.tokenizers", module)

    vllm_order.read_ahead("/models/m")
    monkeypatch.setattr(module, "cached_tokenizer_from_config", None)
    vllm_order.read_ahead("/models/m")

    assert [(one.tokenizer, one.tokenizer_mode, one.runner_type) for one in asked] == [
        ("/models/m", "auto", "generate")
    ]
