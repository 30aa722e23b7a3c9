"""A release's own launcher around a stand-in engine: when the port opens, and when it never does.

The default run uses the installed release's launcher; those of 0.9.0, 0.11.2 and 0.33.0 are
marked `releases`, since their wheels must be fetched.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.server import ROOT, Server, children, free_port

Start = Callable[..., Server]
COMPLETIONS = "/v1/completions"


def test_the_port_opens_when_the_warmup_is_over(start: Start) -> None:
    """No connect succeeds before the last warm-up answer; within 0.2 s of it one does."""
    server = start(STANDIN_START="1", STANDIN_TOKEN="0.01")
    opened = server.wait_open()

    report = server.report()
    warm = server.started_at + report["seconds_to_warm"]
    assert server.watch.attempts > 50
    assert -0.02 < opened - warm < 0.2
    assert report["phases"]["warmup"] > 1
    assert len(report["warmup"]["requests"]) == 22


def test_a_skipped_warmup_opens_the_port_and_says_so(start: Start) -> None:
    """SKIP_PREWARM=1 is a choice that the log and the report show."""
    server = start(SKIP_PREWARM="1")
    server.wait_open()

    assert "without a warm-up" in server.log
    answer = json.load(server.open("/prewarm"))
    assert answer["warmup"]["skipped"]
    assert answer["warmup"]["requests"] == []


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"STANDIN_FAIL": "status"}, "'chat' to /v1/chat/completions: expected 200"),
        ({"STANDIN_FAIL": "hang", "PREWARM_TIMEOUT": "1"}, "outlasted PREWARM_TIMEOUT=1 s"),
        ({"STANDIN_FAIL": "die"}, "EngineCore ended with code -9 during the warm-up"),
        ({"STANDIN_FAIL": "start"}, "Engine core initialization failed"),
        ({"STANDIN_START": "30", "START_TIMEOUT": "1"}, "within START_TIMEOUT=1 s"),
    ],
    ids=["answer not 200", "answer never comes", "engine dies", "engine fails", "engine too slow"],
)
def test_a_failed_start_exits_70_and_never_opens(
    start: Start, environ: dict[str, str], told: str
) -> None:
    """The platform sees a failed container, not a port that answers cold."""
    server = start(**environ)

    assert server.wait(20) == 70
    assert told in server.log
    assert server.watch.opened_at is None


@pytest.mark.parametrize("fail", ["block", "stubborn"])
def test_a_warmup_that_resists_its_limit_is_ended_all_the_same(start: Start, fail: str) -> None:
    """A request that blocks the event loop or ignores cancellation cannot hold the start."""
    server = start(STANDIN_FAIL=fail, PREWARM_TIMEOUT="0.5")

    assert server.wait(20) == 70
    assert server.watch.opened_at is None


SWALLOWS = """
class Swallows:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            await self.app(scope, receive, send)
"""


def test_a_middleware_that_eats_the_lifespan_does_not_open_the_port_cold(
    start: Start, launcher: tuple[Path, Path]
) -> None:
    """Uvicorn takes a lifespan that nobody answers for unsupported, and would open."""
    (launcher[1] / "swallows.py").write_text(SWALLOWS)
    server = start(arguments=("--middleware", "swallows.Swallows"))

    assert server.wait(20) == 70
    assert server.watch.opened_at is None
    assert "a middleware does not pass the ASGI lifespan on" in server.log


# Stands in for NVML and for NVIDIA's libraries: the driver is old until the compat path is set.
OLD_DRIVER = """
import os
from runtime import device, vllm
helped = "compat" in os.environ.get("LD_LIBRARY_PATH", "")
cuda = (13, 0) if helped else (12, 2)
gpu = device.Gpu(name="NVIDIA L4", capability=(8, 9), driver="535", cuda=cuda)
device.gpu = lambda environ: gpu
device.torch_cuda = lambda: "13.0"
vllm.is_cpu_build = lambda release: False
"""


def test_an_old_driver_gets_the_compat_libraries_and_the_key_stays(
    start: Start, launcher: tuple[Path, Path], tmp_path: Path
) -> None:
    """The process starts over with LD_LIBRARY_PATH; the withdrawn key goes along."""
    hook = launcher[1] / "sitecustomize.py"
    hook.write_text(OLD_DRIVER)
    try:
        (tmp_path / "compat").mkdir()
        compat = str(tmp_path / "compat")
        server = start(VLLM_CUDA_COMPATIBILITY_PATH=compat, VLLM_API_KEY="canary")
        server.wait_open()
    finally:
        hook.unlink()

    assert "starting over with" in server.log
    assert server.status("/v1/models") == 401
    assert server.status("/v1/models", authorization="Bearer canary") == 200
    assert b"canary" not in Path(f"/proc/{server.process.pid}/environ").read_bytes()


def test_an_old_driver_without_the_libraries_is_refused(
    start: Start, launcher: tuple[Path, Path], tmp_path: Path
) -> None:
    """The message names the driver, the CUDA versions and the way out."""
    hook = launcher[1] / "sitecustomize.py"
    hook.write_text(OLD_DRIVER)
    try:
        server = start(VLLM_CUDA_COMPATIBILITY_PATH=str(tmp_path / "none"))
        code = server.wait(10)
    finally:
        hook.unlink()

    assert code == 2
    assert "the driver 535 runs CUDA 12.2, the image needs 13.0" in server.log


def test_the_engine_dying_while_serving_exits_70(start: Start) -> None:
    """Every request in flight is told, the port closes, the platform restarts the container."""
    server = start(SKIP_PREWARM="1", STANDIN_TOKEN="0.1")
    server.wait_open()
    stream = server.open(COMPLETIONS, {"prompt": "a", "max_tokens": 600, "stream": True})
    (engine,) = [pid for pid in children(server.process.pid) if _runs_engine(pid)]

    os.kill(engine, signal.SIGKILL)

    assert server.wait(10) == 70
    assert b"EngineCore ended with code -9" in stream.read()
    assert "closing the port" in server.log


def _runs_engine(pid: int) -> bool:
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_taken_port_is_refused_at_once(start: Start) -> None:
    """The message comes before vLLM's imports, not a minute later."""
    port = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        server = start(PORT=str(port))
        code = server.wait(10)

    assert code == 2
    assert f"PORT={port} cannot be bound: Address already in use" in server.log


def refused(home: Path, *arguments: str, **environ: str) -> tuple[int, str, float]:
    """Run the runtime where it must refuse; return exit code, message and seconds."""
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HF_HOME": str(home)}
    begun = time.monotonic()
    done = subprocess.run(
        ["python3", "-P", "-X", "importtime", "-m", "runtime", *arguments],
        env={**variables, "MODEL_NAME": "tiny", **environ},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    seconds = time.monotonic() - begun
    imported = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    message = "\n".join(x for x in done.stderr.splitlines() if not x.startswith("import time:"))
    heavy = [x for x in imported if x.split("|")[-1].strip() in {"vllm", "torch", "uvloop"}]
    assert heavy == []
    return done.returncode, message, seconds


def test_all_wrong_settings_come_in_one_message_within_a_second(home: Path) -> None:
    """Three problems, one message, exit code 2, nothing heavy imported."""
    code, message, seconds = refused(home, PORT="abc", MAX_MODEL_LEN="-1", PREWARM_LENGTHS="1,x")

    assert code == 2
    assert seconds < 1
    assert message.splitlines() == [
        "prewarm: the start is refused:",
        "  - PORT='abc': expected a port number from 1 to 65535",
        "  - MAX_MODEL_LEN='-1': expected a whole number of tokens, at least 1",
        "  - PREWARM_LENGTHS='1,x': expected numbers of tokens, such as 128,256",
    ]


def test_a_missing_model_is_refused_by_its_path(tmp_path: Path) -> None:
    """The message names the folder and the settings that lead there."""
    code, message, _ = refused(tmp_path)

    assert code == 2
    assert f"no model folder at {tmp_path}/models/tiny ($HF_HOME/models/$MODEL_NAME)" in message


def test_truncated_weights_are_refused(home: Path) -> None:
    """A file shorter than its header promises is a download that broke."""
    weights = home / "models" / "tiny" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    code, message, _ = refused(home)

    assert code == 2
    assert "model.safetensors holds" in message


def test_a_forbidden_argument_is_refused(home: Path) -> None:
    """The message names the setting to use."""
    code, message, _ = refused(home, "--enforce-eager", "--port=9000", "--headless")

    assert code == 2
    assert "argument --port: set PORT" in message
    assert "argument --headless: only the HTTP server can be gated" in message


def test_progress_is_told_while_the_engine_starts(start: Start) -> None:
    """A line every 10 s says how long it has been and what is going on."""
    server = start(STANDIN_START="11")
    server.wait_open(30)

    assert "prewarm: 10 s: starting the engine" in server.log
