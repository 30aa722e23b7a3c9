"""The compile cache with real vLLM 0.32.0 on the CPU and a tiny Gemma 3: two bakes, four starts.

The CPU build compiles by inductor alone: its graphs are kept by what is in them, so what is in
vLLM's own key and changes no graph (a length, a path, a variable) is told, and is no miss.
"""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import ROOT, Server, children, free_port, running

pytestmark = [pytest.mark.server, pytest.mark.timeout(400)]

Begin = Callable[..., contextlib.AbstractContextManager[Server]]
CANARY = "canary-51c0de77aa"


@pytest.fixture(scope="module")
def home(vllm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An HF_HOME with a tiny Gemma 3, under two names."""
    folder = tmp_path_factory.mktemp("home")
    program = str(ROOT / "scripts" / "tiny_model.py")
    models = folder / "models"
    subprocess.run(
        [str(vllm_python), program, str(models / "tiny")], check=True, capture_output=True
    )
    shutil.copytree(models / "tiny", models / "other")
    return folder


def settings(home: Path) -> dict[str, str]:
    """Return what the bake and every start have in common."""
    return {
        "HF_HOME": str(home),
        "MODEL_NAME": "tiny",
        "HOST": "127.0.0.1",
        "PREWARM_LENGTHS": "128",
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }


@pytest.fixture(scope="module")
def bake(
    vllm_python: Path, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Path]:
    """Give a function that bakes, each time from nothing, with all that users may set."""
    work = tmp_path_factory.mktemp("bake")

    def run() -> Path:
        out = work / f"out-{len(list(work.iterdir()))}"
        done = subprocess.run(
            words(vllm_python, out),
            env=bake_settings(home, work / "root"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert "compile cache: HIT" in done.stderr
        return out

    return run


def words(python: Path, out: Path) -> list[str]:
    """Return the command that bakes into `out`."""
    return [str(python), "-P", "-m", "runtime", "bake", "--out", str(out)]


def bake_settings(home: Path, root: Path) -> dict[str, str]:
    """Return the whole environment of a bake."""
    return settings(home) | {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "PORT": str(free_port()),
        "PREWARM_CACHE_ROOT": str(root),
        "MAX_MODEL_LEN": "1024",
        "DTYPE": "float32",
    }


@pytest.fixture(scope="module")
def cache(bake: Callable[[], Path]) -> Path:
    """The cache that the starts of this file use."""
    return bake()


@pytest.fixture(scope="module")
def begin(vllm_python: Path, home: Path, cache: Path) -> Begin:
    """Give a function that starts the server in a folder with the baked cache, or another."""

    @contextlib.contextmanager
    def started(folder: Path, baked: Path = cache, **environ: str) -> Iterator[Server]:
        own = {
            "HOME": str(home),
            "PREWARM_COMPILE_CACHE": str(baked),
            "PREWARM_CACHE_ROOT": str(folder / "root"),
        }
        variables = settings(home) | own | environ
        with running(vllm_python, variables, log=folder / "log") as server:
            server.wait_open(200)
            yield server

    return started


@pytest.fixture(scope="module")
def hit(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Keep a server with a key that was not there at the bake."""
    with begin(tmp_path_factory.mktemp("hit"), VLLM_API_KEY=CANARY) as server:
        yield server


def facts(cache: Path) -> dict[str, Any]:
    """Return what cache.json says."""
    told: dict[str, Any] = json.loads((cache / "cache.json").read_text())
    return told


def test_the_bake_says_what_the_cache_was_made_under(cache: Path) -> None:
    """Every fact that a start is compared by, the size of the KV cache, and no time of a file."""
    told = facts(cache)

    key = told["key"]
    assert (key["vllm"], key["dtype"], key["max_model_len"]) == ("0.32.0+cpu", "float32", 1024)
    assert key["device"].startswith("cpu ")
    assert {"VLLM_MAX_N_SEQUENCES", "VLLM_USE_AOT_COMPILE"} <= key["variables"].keys()
    assert {"VLLM_API_KEY", "VLLM_CACHE_ROOT"}.isdisjoint(key["variables"])
    assert told["settings"] == {"DTYPE": "float32", "MAX_MODEL_LEN": "1024"}
    assert told["recorded"]["kv_cache"]["num_gpu_blocks"] > 0
    assert told["times"] == {}
    assert {path.partition("/")[0] for path in paths(told)} == {"inductor", "vllm"}


def paths(told: dict[str, Any]) -> list[str]:
    """Name the listed files."""
    return [file["path"] for file in told["files"]]


def test_a_key_at_run_time_is_still_a_hit(hit: Server) -> None:
    """What was baked is the default, nothing is compiled, and the key is in no cache file."""
    report = hit.report()

    assert "compile cache: HIT expected\n" in hit.log
    assert "compile cache: HIT\n" in hit.log
    assert report["compile_cache"]["verdict"] == "HIT"
    assert report["compile_cache"]["reasons"] == []
    assert report["compile_cache"]["judged_s"] < 0.05
    assert report["dtype"] == "float32"
    line = report["arguments"]
    assert line[line.index("--max-model-len") + 1] == "1024"
    root = hit.log_file.parent / "root"
    files = [file for file in root.rglob("*") if file.is_file()]
    assert len(files) > 20
    assert [file for file in files if CANARY.encode() in file.read_bytes()] == []
    assert CANARY not in hit.log


def test_the_engines_moments_are_in_the_report(hit: Server) -> None:
    """Where the seconds go inside the engine's process, which is spawned here."""
    report = hit.report()

    ended = [moment["ended"] for moment in report["engine"]]
    assert ended == ["engine process", "device", "weights", "KV cache", "engine"]
    assert 0 < report["engine"][0]["at_s"] < report["engine"][-1]["at_s"]
    assert report["engine"][-1]["took_s"] > 0


def test_what_is_in_no_key_here_is_told_and_is_a_hit(begin: Begin, tmp_path: Path) -> None:
    """Another length, path and variable: each is named, and nothing is compiled again."""
    other = {"MODEL_NAME": "other", "MAX_MODEL_LEN": "512", "VLLM_MAX_N_SEQUENCES": "77"}
    with begin(tmp_path, SKIP_PREWARM="1", **other) as server:
        found, log = server.report()["compile_cache"], server.log

    assert found["verdict"] == "HIT"
    assert [reason.split()[0] for reason in found["harmless"]] == [
        "max_model_len",
        "model_path",
        "VLLM_MAX_N_SEQUENCES",
    ]
    assert "HIT expected, although max_model_len 512 != 1024, model_path " in log


def test_another_dtype_is_a_miss_and_the_start_succeeds(begin: Begin, tmp_path: Path) -> None:
    """The reason is told before the engine starts, and the verdict follows from what it wrote."""
    with begin(tmp_path, DTYPE="bfloat16", SKIP_PREWARM="1") as server:
        found, log = server.report()["compile_cache"], server.log

    told = "compile cache: MISS expected because dtype bfloat16 != float32\n"
    assert log.index(told) < log.index("EngineCore")
    assert found["verdict"] == "MISS"
    assert found["reasons"][0] == "dtype bfloat16 != float32"
    assert found["written"]["graph files"] > 0


def test_a_deleted_artefact_is_a_miss_and_the_start_succeeds(
    begin: Begin, cache: Path, tmp_path: Path
) -> None:
    """It is named, and only what is missing is compiled again."""
    broken = tmp_path / "cache"
    shutil.copytree(cache, broken)
    gone = next(path for path in paths(facts(cache)) if path.endswith(".main.so"))
    (broken / gone).unlink()

    with begin(tmp_path, broken, SKIP_PREWARM="1") as server:
        found = server.report()["compile_cache"]

    assert found["verdict"] == "MISS"
    assert found["reasons"][0] == f"{gone} is missing"
    assert 0 < found["written"]["graph files"] < len(paths(facts(cache))) / 2


def test_a_second_bake_differs_only_where_the_note_says_why(
    bake: Callable[[], Path], cache: Path
) -> None:
    """torch pickles how long a graph took, and names that file by its content; nothing else."""
    first, second = facts(cache), facts(bake())

    assert {name: told for name, told in first.items() if name != "files"} == {
        name: told for name, told in second.items() if name != "files"
    }
    assert list(map(named, first["files"])) == list(map(named, second["files"]))


def named(file: dict[str, Any]) -> tuple[str, str]:
    """Return what two bakes have in common of a file: its path and sha256, or its folder."""
    path: str = file["path"]
    if path.startswith(("inductor/aotautograd/", "inductor/fxgraph/")):
        return path.rpartition("/")[0], ""
    return path, file["sha256"]


def test_a_stopped_bake_leaves_nothing_behind(
    vllm_python: Path, home: Path, tmp_path: Path
) -> None:
    """SIGTERM ends the server that it started, and the next bake finds its folders empty."""
    out, root = tmp_path / "out", tmp_path / "root"
    environ = bake_settings(home, root) | {"TMPDIR": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(words(vllm_python, out), env=environ, stderr=log, stdout=log)
    deadline = time.monotonic() + 60
    while "EngineCore" not in (tmp_path / "log").read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    started = children(process.pid)

    process.terminate()
    code = process.wait(20)

    assert code == 143
    assert len(started) > 1
    deadline = time.monotonic() + 20  # a worker sees within seconds that its engine has gone
    while any(map(running_still, started)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(running_still, started))
    assert not out.exists()
    assert list(tmp_path.glob("prewarm-*")) == []
    assert list(root.rglob("*")) == []


def running_still(pid: int) -> bool:
    """Whether a process lives: one that nobody has collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
