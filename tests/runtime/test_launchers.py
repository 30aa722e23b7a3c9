"""A release's own launcher around a stand-in engine: port, failures, signals, guard at the wire.

The default run uses the installed release's launcher; those of 0.9.0, 0.11.2 and 0.33.0 are
marked `releases`, since their wheels must be fetched.
"""

import concurrent.futures
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.support.server import ROOT, Server, children, free_port

Start = Callable[..., Server]
COMPLETIONS = "/v1/completions"


def status(server: Server, path: str, body: object = None, **headers: str) -> int:
    """Return the status of one request."""
    try:
        return server.open(path, body, 60, **headers).status
    except urllib.error.HTTPError as error:
        return error.code


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
        ({"STANDIN_FAIL": "die"}, "prewarm: "),
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


@pytest.mark.parametrize(
    ("environ", "phase"),
    [
        ({"STANDIN_START": "30"}, "compile level"),
        ({"STANDIN_FAIL": "hang"}, "Waiting for application startup"),
    ],
    ids=["engine start", "warm-up"],
)
def test_sigterm_before_the_port_opens_exits_143(
    start: Start, environ: dict[str, str], phase: str
) -> None:
    """Nothing is worth saving yet: the engine is ended and the process is gone at once."""
    server = start(**environ)
    server.wait_for(phase)
    time.sleep(0.5)  # well into the phase that follows the line
    below = children(server.process.pid)

    code, seconds = server.stop()

    assert code == 143
    assert seconds < 2
    assert server.watch.opened_at is None
    deadline = time.monotonic() + 2
    while (left := [pid for pid in below if _lives(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def _lives(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_sigterm_while_idle_exits_0(start: Start) -> None:
    """A server that was told to stop has not failed."""
    server = start()
    server.wait_open()

    code, seconds = server.stop()

    assert code == 0
    assert seconds < 2


def test_streams_finish_within_the_limit_and_longer_ones_are_told(start: Start) -> None:
    """8 streams in flight at SIGTERM: the short ones end whole, the long ones with an error."""
    server = start(SKIP_PREWARM="1", STANDIN_TOKEN="0.05", SHUTDOWN_TIMEOUT="2")
    server.wait_open()
    tokens = [10, 20, 30, 30, 600, 600, 600, 600]
    with concurrent.futures.ThreadPoolExecutor(len(tokens)) as pool:
        streams = [
            server.open(COMPLETIONS, {"prompt": "a", "max_tokens": n, "stream": True})
            for n in tokens
        ]
        texts = pool.map(lambda stream: stream.read().decode(), streams)
        code, seconds = server.stop()
        ended = list(texts)

    assert code == 0
    assert 1.9 < seconds < 3
    for count, text in zip(tokens, ended, strict=True):
        assert text.endswith("data: [DONE]\n\n")
        assert ("error" in text) == (count == 600)
        assert count == 600 or f'"n": {count - 1}' in text


def test_no_connection_is_taken_while_draining(start: Start) -> None:
    """The port closes at the signal, so that a balancer sends clients elsewhere."""
    server = start(SKIP_PREWARM="1", STANDIN_TOKEN="0.05", SHUTDOWN_TIMEOUT="2")
    server.wait_open()
    stream = server.open(COMPLETIONS, {"prompt": "a", "max_tokens": 30, "stream": True})
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)  # uvicorn looks every 0.1 s whether it shall stop

    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0
    assert b'"n": 29' in stream.read()
    assert server.wait(5) == 0


def test_a_second_sigterm_cuts_at_once(start: Start) -> None:
    """Who asks twice does not want to wait."""
    server = start(SKIP_PREWARM="1", STANDIN_TOKEN="0.05", SHUTDOWN_TIMEOUT="20")
    server.wait_open()
    stream = server.open(COMPLETIONS, {"prompt": "a", "max_tokens": 600, "stream": True})
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)  # the first signal must have been seen

    code, seconds = server.stop()

    assert (code, seconds < 2) == (0, True)
    assert b"told so twice" in stream.read()


def test_the_guard_holds_at_the_wire(start: Start) -> None:
    """Key, routes, bounds and websockets, over a real connection."""
    server = start(VLLM_API_KEY="canary")
    server.wait_open()
    key = "Bearer canary"

    assert status(server, "/v1/models", host="example.com/foo?") == 401
    assert status(server, "/v1/models", host="example.com/foo?", authorization=key) == 200
    assert status(server, "/health") == 200
    assert status(server, "/v1/unlisted", {}, authorization=key) == 404
    for n in (10000, "10000", 1e4, 10000.0):
        body = {"prompt": "a", "n": n}
        assert status(server, COMPLETIONS, body, authorization=key) == 400
    many = {"prompt": ["a"] * 10_000}
    assert status(server, COMPLETIONS, many, authorization=key) == 400
    upgrade = {"connection": "Upgrade", "upgrade": "websocket"}
    handshake = {"sec-websocket-key": "eA==", "sec-websocket-version": "13"}
    assert _raw_status(server, {**upgrade, **handshake}) != HTTPStatus.SWITCHING_PROTOCOLS


def _raw_status(server: Server, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/v1/realtime", headers=headers)
        return connection.getresponse().status


def test_a_40_mb_body_is_refused(start: Start) -> None:
    """413 comes from the announced length, before the body is read."""
    server = start()
    server.wait_open()

    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(
            b"POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            b"content-length: 40000000\r\n\r\n"
        )
        assert client.recv(4096).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_a_huge_header_is_refused(start: Start, size: int) -> None:
    """uvicorn over httptools has no bound of its own (CVE-2025-48956)."""
    server = start()
    server.wait_open()

    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        try:
            client.sendall(
                b"GET /health HTTP/1.1\r\nhost: a\r\nx-huge: " + b"a" * size + b"\r\n\r\n"
            )
            answer = client.recv(4096)
        except ConnectionError:
            answer = b""

    assert not answer or answer.split()[1] in {b"431", b"400"}
    assert status(server, "/health") == 200


def test_a_normal_header_passes(start: Start) -> None:
    """30 kB of cookies are rude but not an attack."""
    server = start()
    server.wait_open()

    assert status(server, "/health", cookie="c" * 10_000) == 200


def test_past_the_queue_bound_503_says_when_to_come_back(start: Start) -> None:
    """MAX_QUEUE=3: the fourth request in flight is turned away."""
    server = start(SKIP_PREWARM="1", STANDIN_TOKEN="0.05", MAX_QUEUE="3")
    server.wait_open()
    endless = {"prompt": "a", "max_tokens": 600, "stream": True}
    streams = [server.open(COMPLETIONS, endless) for _ in range(3)]

    with pytest.raises(urllib.error.HTTPError) as full:
        server.open(COMPLETIONS, {"prompt": "a"})

    assert [stream.status for stream in streams] == [200] * 3
    assert full.value.code == 503
    assert full.value.headers["retry-after"] == "1"


def test_the_key_is_in_no_environment_and_no_log(start: Start) -> None:
    """/proc shows a process's first environment for ever, so the process starts over without."""
    server = start(VLLM_API_KEY="canary", HF_TOKEN="canary-hub")
    server.wait_open()

    for pid in (server.process.pid, *children(server.process.pid)):
        assert b"canary" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert b"canary" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert "canary" not in server.log
    assert status(server, "/v1/models", authorization="Bearer canary") == 200


def test_progress_is_told_while_the_engine_starts(start: Start) -> None:
    """A line every 10 s says how long it has been and what is going on."""
    server = start(STANDIN_START="11")
    server.wait_open(30)

    assert "prewarm: 10 s: starting the engine" in server.log
