"""Real vLLM 0.32.0 on the CPU with a tiny Gemma 3: three starts for the whole file."""

import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import ROOT, Server, children, running

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]

CANARY = "canary-8d1f6c2ab4"
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


@pytest.fixture(scope="module")
def home(vllm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An HF_HOME with a tiny Gemma 3 that vLLM can load."""
    folder = tmp_path_factory.mktemp("home")
    program = str(ROOT / "scripts" / "tiny_model.py")
    model = str(folder / "models" / "tiny")
    subprocess.run([str(vllm_python), program, model], check=True, capture_output=True)
    return folder


def settings(home: Path, **more: str) -> dict[str, str]:
    """Return what every start here has in common."""
    return {
        "HF_HOME": str(home),
        "MODEL_NAME": "tiny",
        "MAX_MODEL_LEN": "4096",
        "VLLM_TORCH_COMPILE_LEVEL": "0",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        **more,
    }


@pytest.fixture(scope="module")
def server(
    vllm_python: Path, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Keep one server with a key; the last test of those that use it ends it by SIGTERM."""
    folder = tmp_path_factory.mktemp("server")
    environ = settings(
        home, VLLM_API_KEY=CANARY, VLLM_CACHE_ROOT=str(folder / "cache"), SHUTDOWN_TIMEOUT="4"
    )
    with running(vllm_python, environ, log=folder / "log") as started:
        started.wait_open()
        yield started


def ask(server: Server, path: str, body: object = None) -> bytes:
    """Return the body of an answer to a request with the key."""
    with server.open(path, body, authorization=f"Bearer {CANARY}") as answer:
        return answer.read()


def test_the_port_opens_when_the_warmup_is_over(server: Server) -> None:
    """Polled every 20 ms from the start: refused until the last warm-up answer, then open."""
    report = server.report()
    warm = server.started_at + report["seconds_to_warm"]

    assert server.watch.attempts > 200
    assert server.watch.opened_at is not None
    assert -0.02 < server.watch.opened_at - warm < 0.2
    assert report["vllm"] == "0.32.0+cpu"
    assert report["warmup"]["left_out"] == {}
    assert [entry["kind"] for entry in report["warmup"]["requests"]][-2:] == [
        "JSON schema",
        "responses",
    ]


def test_the_report_is_served(server: Server) -> None:
    """GET /prewarm answers what the log said."""
    assert json.loads(ask(server, "/prewarm")) == server.report()


def test_it_answers_what_users_ask(server: Server) -> None:
    """Chat, streamed chat, completion with logprobs, JSON that fits a schema."""
    messages = [{"role": "user", "content": "hello"}]
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
    schema["additionalProperties"] = False  # type: ignore[assignment]
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}

    chat = json.loads(ask(server, CHAT, {"messages": messages, "max_tokens": 5}))
    streamed = ask(server, CHAT, {"messages": messages, "max_tokens": 5, "stream": True})
    plain = json.loads(ask(server, COMPLETIONS, {"prompt": "a", "max_tokens": 5, "logprobs": 2}))
    fits = json.loads(
        ask(server, CHAT, {"messages": messages, "max_tokens": 99, "response_format": wanted})
    )

    assert chat["usage"]["completion_tokens"] <= 5
    assert streamed.endswith(b"data: [DONE]\n\n")
    assert len(plain["choices"][0]["logprobs"]["tokens"]) == 5
    text = fits["choices"][0]["message"]["content"]
    assert fits["choices"][0]["finish_reason"] == "length" or set(json.loads(text)) == {"a"}


@pytest.mark.parametrize(
    ("path", "body", "headers", "expected"),
    [
        ("/v1/models", None, {"host": "example.com/foo?"}, 401),
        ("/metrics", None, {}, 401),
        ("/health", None, {}, 200),
        ("/invocations", {}, {"authorization": f"Bearer {CANARY}"}, 404),
        (COMPLETIONS, {"prompt": "a", "n": 1e4}, {"authorization": f"Bearer {CANARY}"}, 400),
    ],
)
def test_the_guard_holds(
    server: Server, path: str, body: object, headers: dict[str, str], expected: int
) -> None:
    """Key, routes and bounds hold in front of the real application."""
    assert server.status(path, body, **headers) == expected


def test_the_key_is_in_no_process_log_or_cache_file(server: Server) -> None:
    """Neither the environments of all processes, nor the log, nor what vLLM cached holds it."""
    below = children(server.process.pid)
    cache = server.log_file.parent / "cache"

    assert len(below) >= 2
    for pid in (server.process.pid, *below):
        assert CANARY.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    assert CANARY not in server.log
    assert [f for f in cache.rglob("*") if f.is_file() and CANARY.encode() in f.read_bytes()] == []


def test_8_streams_at_sigterm_finish_or_are_told(server: Server) -> None:
    """Short streams end whole, endless ones with an error event, the process with 0."""
    key = f"Bearer {CANARY}"
    tokens = [20, 20, 20, 20, 4000, 4000, 4000, 4000]
    bodies = [{"prompt": "a", "max_tokens": n, "ignore_eos": True, "stream": True} for n in tokens]
    streams = [server.open(COMPLETIONS, body, authorization=key) for body in bodies]
    with concurrent.futures.ThreadPoolExecutor(len(streams)) as pool:
        texts = pool.map(lambda stream: stream.read().decode(), streams)
        code, seconds = server.stop()
        ended = list(texts)

    assert code == 0
    assert seconds < 4 + 1
    for count, text in zip(tokens, ended, strict=True):
        assert text.endswith("data: [DONE]\n\n")
        assert ('"error"' in text) == (count == 4000)


def test_offline_as_pid_1_it_serves_and_ends(vllm_python: Path, home: Path, tmp_path: Path) -> None:
    """In a network namespace with loopback only, as PID 1: warm, serving, exit 0 on SIGTERM.

    Nothing is looked up anywhere: no other interface exists.
    """
    namespace = ["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--mount-proc"]
    shell = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    environ = settings(home, PATH=os.environ["PATH"])
    with running(
        vllm_python, environ, log=tmp_path / "log", wrapper=[*namespace, *shell]
    ) as server:
        server.wait_for('"seconds_to_warm"', 150)
        (init,) = [pid for pid in children(server.process.pid) if _is_init(pid)]
        inside = ["nsenter", "--target", str(init), "--user", "--preserve-credentials", "--net"]
        address = f"http://127.0.0.1:{server.port}/v1/models"
        code = f"import urllib.request as u; print(u.urlopen({address!r}).status)"
        asked = subprocess.run(
            [*inside, str(vllm_python), "-c", code], capture_output=True, text=True, check=True
        )
        os.kill(init, signal.SIGTERM)
        ended = server.wait(15)

    assert asked.stdout == "200\n"
    assert ended == 0


def _is_init(pid: int) -> bool:
    """Whether a process is PID 1 of its namespace."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return line.split()[-1] == "1"
    return False


def test_sigterm_during_imports_ends_pid_1(vllm_python: Path, home: Path, tmp_path: Path) -> None:
    """The kernel hides signals from a PID 1 without handler; ours is there from the first line."""
    namespace = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    with running(vllm_python, settings(home), log=tmp_path / "log", wrapper=namespace) as server:
        server.wait_for("compile level", 20)
        time.sleep(2)  # vLLM's imports take 8 s and more
        (init,) = [pid for pid in children(server.process.pid) if _is_init(pid)]
        begun = time.monotonic()
        os.kill(init, signal.SIGTERM)
        code = server.wait(15)

    assert (code, time.monotonic() - begun < 2) == (143, True)


def test_sigterm_while_the_engine_starts_ends_it(
    vllm_python: Path, home: Path, tmp_path: Path
) -> None:
    """The engine's processes go too."""
    with running(vllm_python, settings(home), log=tmp_path / "log") as server:
        server.wait_for("EngineCore", 60)
        code, seconds = server.stop()

    assert (code, seconds < 3) == (143, True)
    assert server.watch.opened_at is None


def test_the_engine_killed_while_serving_exits_70(
    vllm_python: Path, home: Path, tmp_path: Path
) -> None:
    """A request in flight is told, and the platform sees a failure."""
    with running(vllm_python, settings(home), log=tmp_path / "log") as server:
        server.wait_open()
        body = {"prompt": "a", "max_tokens": 4000, "ignore_eos": True, "stream": True}
        stream = server.open(COMPLETIONS, body)
        stream.readline()
        engine = next(pid for pid in children(server.process.pid) if _is_engine(pid))
        os.kill(engine, signal.SIGKILL)
        rest = stream.read()
        code = server.wait(15)

    assert code == 70
    assert b'"error"' in rest


def _is_engine(pid: int) -> bool:
    return b"EngineCore" in Path(f"/proc/{pid}/cmdline").read_bytes()
