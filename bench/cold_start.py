"""How long until a server is warm, and what its users then see: stock vLLM beside ours.

usage: bench/cold_start.py --model DIR --out FILE [options]     starts, measures, prints the table
       bench/cold_start.py --report FILE...                      prints the table of earlier runs

Starts each variant in turn (ABCABC), N times. Variants are stock-empty (vLLM's own server, empty
compile cache), stock-kept (the same with the cache that its last start left), ours (with a baked
cache), ours-kept, ours-empty, and any that --variant spells: 'level2=ours
VLLM_TORCH_COMPILE_LEVEL=2' or 'flags=stock-kept -- --max-num-seqs 16'.
Each start is one line of JSON, appended to FILE, so several runs on one machine make one table.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import load, table, timeline  # noqa: E402 - found by the line above
from bench.started import StartError, free_port, running  # noqa: E402
from bench.variant import BUILT_IN, SERVED, Served, Variant, command, environ, parse  # noqa: E402

DEFAULT = ("stock-empty", "stock-kept", "ours")


def main() -> None:
    """Run the starts in turn, or report on earlier ones."""
    options = _options()
    if options.report:
        lines = [line for file in options.report for line in file.read_text().splitlines()]
        print(table.tables([json.loads(line) for line in lines]))
        return
    bench = Bench(options)
    bench.run()
    print(table.tables([json.loads(line) for line in options.out.read_text().splitlines()]))


class Bench:
    """One run's starts."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Prepare the model's folder and read the variants."""
        self._options = options
        self._until = time.monotonic() + options.until
        self._facts = {"machine": machine(), **installed(options.python, options.path)}
        known: dict[str, Variant] = dict(BUILT_IN)
        self._variants = []
        for text in options.variant or DEFAULT:
            variant = parse(text, known)
            known[variant.name] = variant
            self._variants.append(variant)
        home = options.work / "home"
        (home / "models").mkdir(parents=True, exist_ok=True)
        (home / "models" / SERVED).unlink(missing_ok=True)
        (home / "models" / SERVED).symlink_to(options.model.resolve())
        self._served = Served(
            python=options.python,
            home=home,
            code=ROOT,
            path=tuple(options.path),
            baked=options.baked,
            max_model_len=options.max_model_len,
            dtype=options.dtype,
            gpu_memory_utilization=options.gpu_memory_utilization,
        )

    def run(self) -> None:
        """Start each variant in turn, as long as there is time for one more start."""
        for number in range(self._options.starts):
            for variant in self._variants:
                if time.monotonic() + self._options.budget > self._until:
                    print(f"no time is left for {variant.name}", file=sys.stderr)
                    continue
                self._filled(variant)
                self._start(variant, number, counted=True)

    def _filled(self, variant: Variant) -> None:
        """Fill a kept cache: with the one its seed left, else by an uncounted start."""
        kept = self._cache(variant)
        if variant.cache != "kept" or kept.exists():
            return
        seed = self._options.work / "caches" / variant.seed
        if variant.seed and seed.exists():
            shutil.copytree(seed, kept)
        else:
            self._start(variant, -1, counted=False)

    def _cache(self, variant: Variant) -> Path:
        folder: Path = self._options.work / "caches" / variant.name
        return folder

    def _start(self, variant: Variant, number: int, *, counted: bool) -> None:
        if variant.cache != "kept":
            shutil.rmtree(self._cache(variant), ignore_errors=True)
        self._cache(variant).mkdir(parents=True, exist_ok=True)
        number += self._options.first_round
        facts = {"variant": variant.name, "round": number, "counted": counted, **self._facts}
        cache = self._cache(variant)
        found = {**facts, **one_start(variant, self._served, cache, self._options, number)}
        with self._options.out.open("a") as out:
            out.write(json.dumps(found) + "\n")
        shown = found.get("failed") or f"{found['open']:.1f} s"
        print(f"{number} {variant.name}: {shown}", file=sys.stderr, flush=True)


def one_start(
    variant: Variant, served: Served, cache: Path, options: argparse.Namespace, seed: int
) -> dict[str, Any]:
    """Start once and ask everything; every duration in seconds.

    Returns `open`, `phases` (name -> seconds), `asked` as `load.measure` returns it, `exit_code`,
    `stop_s`, `notes`, and ours' own report as `prewarm`; `failed` where the port never opened.
    """
    port = free_port()
    line = command(variant, served, port)
    with running(line, environ(variant, served, port, cache), port) as server:
        try:
            opened = server.wait_open(options.budget)
            report = None if variant.stock else json.loads(server.get("/prewarm"))
            asked = (
                load.measure(
                    server.seconds,
                    seed=seed,
                    max_model_len=served.max_model_len,
                    following=options.next,
                )
                if options.next
                else {}
            )
            code, stop = server.stop()
        except (StartError, OSError, subprocess.TimeoutExpired) as error:
            return {"failed": str(error), "log": [text for _, text in server.lines[-60:]]}
        finally:
            _keep_log(server.lines, options, f"{variant.name}-{seed}")
    found = timeline.phases(server.lines, opened)
    return {
        "open": opened,
        "phases": {phase.name: phase.end - phase.begin for phase in found},
        "asked": asked,
        "exit_code": code,
        "stop_s": stop,
        "notes": timeline.notes(server.lines),
        "prewarm": report,
        "arguments": line[1:],
    }


def _keep_log(lines: list[timeline.Line], options: argparse.Namespace, name: str) -> None:
    if options.logs:
        options.logs.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{at:8.2f} {line}\n" for at, line in lines)
        (options.logs / f"{name}.log").write_text(text)


def machine() -> str:
    """Name this boot of this machine, which nothing else shares."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def installed(python: str, path: list[Path]) -> dict[str, str]:
    """Ask for the release of vLLM and the name of what it computes on."""
    asking = "import importlib.metadata as m; print(m.version('vllm'))"
    folders = {"PYTHONPATH": ":".join(map(str, path))}
    version = subprocess.run(
        [python, "-c", asking], env=folders, capture_output=True, text=True, check=True
    )
    return {"vllm": version.stdout.strip(), "device": device()}


def device() -> str:
    """Name the GPU, or the number of CPU cores."""
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        cores = len([line for line in _cpuinfo() if line.startswith("processor")])
        return f"{cores} CPU cores"


def _cpuinfo() -> list[str]:
    return Path("/proc/cpuinfo").read_text().splitlines()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--report", type=Path, nargs="+", metavar="FILE", help="only print the table of these")
    add("--model", type=Path, metavar="DIR", help="a model folder")
    add("--out", type=Path, metavar="FILE", help="JSON lines are appended here")
    add("--starts", type=int, default=3, help="of each variant")
    add("--first-round", type=int, default=0, help="number of the first, where runs are merged")
    add("--variant", action="append", metavar="SPEC", help="in the order of the table")
    add("--python", default=sys.executable, help="of the environment that holds vLLM")
    add("--path", type=Path, action="append", default=[], help="a folder for PYTHONPATH")
    add("--baked", type=Path, metavar="DIR", help="what `runtime bake` made")
    add("--work", type=Path, default=Path("/tmp/cold-start"), help="caches lie here")  # noqa: S108
    add("--logs", type=Path, metavar="DIR", help="keep each start's log, with times")
    add("--budget", type=float, default=400, help="seconds that one start may take")
    add("--until", type=float, default=86400, help="seconds for all; no start begins too late")
    add("--next", type=int, default=load.NEXT, help="requests of a kind after the first; 0: none")
    add("--max-model-len", type=int, default=4096)
    add("--dtype", default="bfloat16")
    add("--gpu-memory-utilization", default="", help="a share; default: vLLM's")
    options = parser.parse_args()
    if not options.report and not (options.model and options.out):
        parser.error("--model and --out, or --report")
    return options


if __name__ == "__main__":
    main()
