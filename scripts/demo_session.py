"""The demo itself, run inside the environment that holds vLLM: see scripts/demo."""

import argparse
import dataclasses
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
from demo_checks import CHECKS, NEEDS_TEMPLATE, SENTENCE, Check, DemoError, Model
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "demo"
START_TIMEOUT_SECONDS = 300
LOG_TAIL_LINES = 100
TYPICAL_REQUESTS = 3
SHOWN = "prewarm:"


@dataclasses.dataclass(frozen=True)
class Row:
    """A check's latencies in seconds, and what was answered."""

    kind: str
    first: float
    typical: float
    answer: str


def main() -> int:
    """Run the demo and return its exit code."""
    options = _options()
    model = options.model.resolve() if options.model else _tiny_model()
    log = CACHE / "server.log"
    served = Model(name=model.name, sentence=_begin(model) + SENTENCE)
    with _home(model) as home, _server(home, options.port, log) as (process, port):
        try:
            report = _follow(process, port, log)
            client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none")
            without = NEEDS_TEMPLATE if "chat" in report["warmup"]["left_out"] else set()
            rows = [
                _measure(client, served, check) for check in CHECKS if check.kind not in without
            ]
        except (DemoError, openai.OpenAIError) as error:
            print(f"demo: {error}\nThe last {LOG_TAIL_LINES} lines of {log}:", file=sys.stderr)
            print("\n".join(_lines(log)[-LOG_TAIL_LINES:]), file=sys.stderr)
            return 1
        _print_tables(report, rows)
        if options.keep:
            _wait(process, port)
        code = _stop(process)
    print(f"\nSIGTERM ended the server with exit code {code}. Its log is {_shown(log)}.")
    return code


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Start a real vLLM on the CPU and watch it become warm before its port opens.",
    )
    parser.add_argument("--model", type=Path, metavar="DIR", help="serve the model in this folder")
    parser.add_argument("--keep", action="store_true", help="leave the server running")
    parser.add_argument("--port", type=int, default=0, help="default: one that is free")
    return parser.parse_args()


def _tiny_model() -> Path:
    """Make a tiny Gemma 3 once, with random weights."""
    folder = CACHE / "tiny-gemma3"
    if not (folder / "model.safetensors").is_file():
        print("making a tiny Gemma 3 with random weights: its text will mean nothing")
        program = Path(__file__).with_name("tiny_model.py")
        done = subprocess.run([sys.executable, program, folder], capture_output=True, check=False)
        if done.returncode:
            sys.exit(done.stderr.decode(errors="replace"))
    return folder


@contextmanager
def _home(model: Path) -> Iterator[Path]:
    """Lay out HF_HOME around a model folder, wherever that lies."""
    with tempfile.TemporaryDirectory(prefix="prewarm-") as folder:
        link = Path(folder) / "models" / model.name
        link.parent.mkdir()
        link.symlink_to(model)
        yield Path(folder)


@contextmanager
def _server(home: Path, port: int, log: Path) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Start the image's entrypoint on this machine, its output into `log`."""
    port = port or _free_port()
    (model,) = (home / "models").iterdir()
    CACHE.mkdir(parents=True, exist_ok=True)
    settings = {
        "HF_HOME": str(home),
        "MODEL_NAME": model.name,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "MAX_MODEL_LEN": "4096",
        "VLLM_TORCH_COMPILE_LEVEL": "0",  # compiling takes a C++ compiler and a minute here
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "START_TIMEOUT": str(START_TIMEOUT_SECONDS),
        "PYTHONPATH": str(ROOT),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "runtime"],
            env={**_outside(), **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process, port
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _outside() -> dict[str, str]:
    """Return the caller's environment without settings that are meant for another server."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("VLLM_", "HF_", "PREWARM_", "MAX_"))
        and name not in {"DTYPE", "ALLOW_ROUTES", "SKIP_PREWARM"}
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _follow(process: "subprocess.Popen[bytes]", port: int, log: Path) -> dict[str, Any]:
    """Show the start's own lines as they come, until the port opens; return its report."""
    shown = 0
    begun = time.monotonic()
    while True:
        lines = [line for line in _lines(log) if line.startswith(SHOWN)]
        for line in lines[shown:]:
            print(line, flush=True)
        shown = len(lines)
        if process.poll() is not None:
            raise DemoError(f"the server ended with code {process.returncode} before it was warm")
        if _accepts(port):
            break
        time.sleep(0.1)
    print(f"port {port} opened {time.monotonic() - begun:.1f} s after the start", flush=True)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/prewarm", timeout=10) as answer:
        report: dict[str, Any] = json.load(answer)
    return report


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()


def _begin(model: Path) -> str:
    """Return the token that begins a text, where the model's tokenizer does not add it itself."""
    configuration = json.loads((model / "tokenizer_config.json").read_text())
    begin = configuration.get("bos_token") or ""
    begin = begin["content"] if isinstance(begin, dict) else begin
    tokens = Tokenizer.from_file(str(model / "tokenizer.json")).encode(SENTENCE).tokens
    return "" if tokens[0] == begin else str(begin)


def _measure(client: openai.OpenAI, model: Model, check: Check) -> Row:
    """Time the first request of a kind and the median of the next ones."""
    seconds = []
    for _ in range(1 + TYPICAL_REQUESTS):
        begun = time.perf_counter()
        answer = check.send(client, model)
        seconds.append(time.perf_counter() - begun)
    if not answer:
        raise DemoError(f"{check.kind}: the answer is empty")
    typical = statistics.median(seconds[1:])
    return Row(kind=check.kind, first=seconds[0], typical=typical, answer=answer)


def _print_tables(report: dict[str, Any], rows: list[Row]) -> None:
    print("\nphase                       seconds")
    for phase, seconds in report["phases"].items():
        print(f"{phase:<24} {seconds:>10.2f}")
    print(f"{'warm after':<24} {report['seconds_to_warm']:>10.2f}")
    print("\nrequest                   first ms  typical ms  answer")
    for row in rows:
        answer = row.answer.strip().replace("\n", " ")[:48]
        print(f"{row.kind:<24} {row.first * 1e3:>9.0f} {row.typical * 1e3:>11.0f}  {answer!r}")
    for kind, why in report["warmup"]["left_out"].items():
        print(f"{kind:<24} left out: {why}")


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Leave the server running until Ctrl-C."""
    print(
        f"\nThe server stays. Ctrl-C ends it. Try:\n  curl http://127.0.0.1:{port}/v1/completions"
        " -H 'content-type: application/json'"
        f""" -d '{{"prompt": "{SENTENCE}", "max_tokens": 16}}'""",
        flush=True,
    )
    try:
        process.wait()
    except KeyboardInterrupt:
        print()


def _stop(process: "subprocess.Popen[bytes]") -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    return process.wait()


def _shown(path: Path) -> Path:
    return path.relative_to(ROOT)


if __name__ == "__main__":
    sys.exit(main())
