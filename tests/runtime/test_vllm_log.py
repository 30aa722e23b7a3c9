"""Lines of the engine's log become moments of its start."""

import logging
import os
import time
from collections.abc import Iterator

import pytest

from runtime import engine_log, vllm_log
from runtime.engine_log import EngineLog


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "Initializing a V1 LLM engine (v0.25.1) with config: model='/m'",
            ("engine process", None),
        ),
        ("Starting to load model /m...", ("device", None)),
        ("Loading weights took 0.31 seconds", ("weights", 0.31)),
        ("Model loading took 1.8632 GiB memory and 0.512000 seconds", ("model", 0.512)),
        ("Dynamo bytecode transform time: 6.10 s", ("Dynamo", 6.1)),
        ("[vision] Dynamo bytecode transform time: 6.10 s", ("Dynamo", 6.1)),
        (
            "Compiling a graph for compile range (1, 2048) takes 19.60 s",
            ("graph compiled", 19.6),
        ),
        (
            "Directly load the compiled graph(s) for compile range x from the cache, took 2.123 s",
            ("graph loaded", 2.123),
        ),
        ("Directly load AOT compilation from path /c/model", ("graph loaded", None)),
        (
            "Compiling model again due to a load failure from /c, reason: x",
            ("graph not loaded", None),
        ),
        ("torch.compile takes 25.73 s in total", ("torch.compile", 25.73)),
        ("torch.compile took 3.50 s in total", ("torch.compile", 3.5)),
        ("Initial profiling/warmup run took 0.40 s", ("first run", 0.4)),
        ("Available KV cache memory: 36.1 GiB", ("memory profile", None)),
        ("GPU KV cache size: 1,455,120 tokens", ("KV cache", None)),
        ("CPU KV cache size: 79,137 tokens, Maximum concurrency", ("KV cache", None)),
        ("Graph capturing finished in 4 secs, took 0.31 GiB", ("graph capture", 4.0)),
        (
            "init engine (profile, create kv cache, warmup model) took 9.80 s (compile: 3.50 s)",
            ("engine", 9.8),
        ),
        ("Using FLASH_ATTN attention backend", None),
        ("Compiling", None),
    ],
)
def test_lines_are_read(line: str, expected: tuple[str, float | None] | None) -> None:
    """What has ended, and the seconds that the line says it took."""
    assert vllm_log.moment(line) == expected


@pytest.fixture
def environ() -> Iterator[dict[str, str]]:
    """Run with a factory of log records that the test may replace."""
    before = logging.getLogRecordFactory()
    kept = os.environ.pop(engine_log.VARIABLE, None)
    yield {}
    logging.setLogRecordFactory(before)
    os.environ.pop(engine_log.VARIABLE, None)
    if kept is not None:
        os.environ[engine_log.VARIABLE] = kept


def test_moments_are_kept_with_their_time(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines of the release's loggers only, in the order of their time."""
    begun = time.monotonic() - 10
    monkeypatch.setattr("__main__.__spec__", None)
    log = EngineLog(environ)
    monkeypatch.setenv(engine_log.VARIABLE, environ[engine_log.VARIABLE])
    engine_log.listen()

    logging.getLogger("vllm.v1.engine").info("quiet")
    logging.getLogger("vllm.v1.engine").warning("Loading weights took %.2f seconds", 0.3)
    logging.getLogger("other").warning("Loading weights took 0.2 seconds")

    (moment,) = log.moments(begun)
    assert (moment["ended"], moment["took_s"]) == ("weights", 0.3)
    assert 10 <= moment["at_s"] < 11


@pytest.mark.parametrize("place", ["", "/nowhere/at/all"])
def test_without_a_listener_nothing_is_written(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A process that nobody asked, or that may not write, logs as before."""
    before = logging.getLogRecordFactory()
    monkeypatch.setenv(engine_log.VARIABLE, place)

    engine_log.listen()

    assert logging.getLogRecordFactory() is before
    assert environ == {}
