"""The compile cache around the released launchers: whatever is wrong, the start succeeds."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runtime import kept as caches
from tests.support.server import Server

Start = Callable[..., Server]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep a small cache; its copies go below the test's own folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    key = {"dtype": "float32", "vllm": "0.0.1"}
    settings = {"MAX_MODEL_LEN": "777", "DTYPE": "float32"}
    caches.make(
        tmp_path / "cache", key=key, settings=settings, arguments=("--uvicorn-log-level=error",)
    )
    return tmp_path / "cache"


def warm(start: Start, folder: Path, *arguments: str, **environ: str) -> Server:
    """Start with the cache, and wait until the port opens."""
    root = str(folder.parent / "root")
    variables = {"PREWARM_COMPILE_CACHE": str(folder), "PREWARM_CACHE_ROOT": root, **environ}
    server = start(arguments=arguments, **variables)
    server.wait_open()
    return server


def test_what_was_baked_is_the_default(start: Start, folder: Path) -> None:
    """Length and arguments of the bake, as long as the start says nothing of its own."""
    given = " ".join(warm(start, folder).report()["arguments"])

    assert "--dtype float32" in given
    assert "--max-model-len 777" in given
    assert "--uvicorn-log-level=error" in given


def test_what_a_start_says_goes_before_what_was_baked(start: Start, folder: Path) -> None:
    """And the difference is told before the engine starts."""
    server = warm(
        start, folder, "--uvicorn-log-level=critical", MAX_MODEL_LEN="778", DTYPE="bfloat16"
    )
    given = " ".join(server.report()["arguments"])

    assert "--max-model-len 778" in given
    assert "--uvicorn-log-level=critical" in given
    assert "--uvicorn-log-level=error" not in given
    assert "compile cache: MISS expected because dtype bfloat16 != float32" in server.log


def test_nothing_written_is_a_hit_whatever_was_expected(start: Start, folder: Path) -> None:
    """The release differs, as the log says; the verdict looks at what was compiled."""
    server = warm(start, folder)
    found = server.report()["compile_cache"]

    assert "vllm 0.32.0 != 0.0.1" in server.log or " != 0.0.1" in server.log
    assert (found["verdict"], found["reasons"]) == ("HIT", [])
    copied = {file.name for file in (folder.parent / "root").rglob("*") if file.is_file()}
    assert {Path(caches.GRAPH).name, Path(caches.KERNEL).name} <= copied


@pytest.mark.parametrize("text", ["", "[]", '{"version": 9}'])
def test_a_spoilt_cache_json_is_told(start: Start, folder: Path, text: str) -> None:
    """The image starts as one without a cache, and says why."""
    (folder / "cache.json").write_text(text)

    server = warm(start, folder)

    assert f"MISS expected because {folder}/cache.json is not what `bake` writes" in server.log


def test_a_spoilt_file_is_told(start: Start, folder: Path) -> None:
    """It is not copied; what else there is, is."""
    (folder / caches.KERNEL).write_bytes(b"spoilt")

    server = warm(start, folder)

    assert f"{caches.KERNEL} is not the file that was baked" in server.log
    assert not list((folder.parent / "root" / "triton").rglob("*.cubin"))


def test_level_0_uses_no_cache(start: Start, folder: Path) -> None:
    """There is no verdict on what is not used."""
    server = warm(start, folder, VLLM_TORCH_COMPILE_LEVEL="0")

    assert "compile cache: not used: without compilation there are no graphs" in server.log
    assert server.report()["compile_cache"]["verdict"] is None


def test_without_a_cache_nothing_is_said(start: Start, tmp_path: Path) -> None:
    """The report has no verdict, and vLLM's caches stay where it keeps them."""
    server = start(PREWARM_COMPILE_CACHE=str(tmp_path / "none"))
    server.wait_open()

    assert "compile cache" not in server.log
    assert server.report()["compile_cache"] is None
    assert json.dumps(server.report()["engine"]) == "[]"
