"""What the programs that start servers share: their options, the model's folder and the caches."""

import argparse
import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import timeline
from bench.started import Started, free_port
from bench.variant import BUILT_IN, SERVED, Served, Variant, command, environ, parse

BAKED = "baked"
"""The seed that is no variant: what `runtime bake` made."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that say what is started, and with what."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = made.add_argument
    add("--report", type=Path, nargs="+", metavar="FILE", help="only print the table of these")
    add("--model", type=Path, metavar="DIR", help="a model folder")
    add("--out", type=Path, metavar="FILE", help="JSON lines are appended here")
    add("--variant", action="append", metavar="SPEC", help="in the order of the table")
    add("--python", default=sys.executable, help="of the environment that holds vLLM")
    add("--path", type=Path, action="append", default=[], help="a folder for PYTHONPATH")
    add("--baked", type=Path, metavar="DIR", help="what `runtime bake` made")
    add("--work", type=Path, default=Path("/tmp/cold-start"), help="caches lie here")  # noqa: S108
    add("--logs", type=Path, metavar="DIR", help="keep each start's log, with times")
    add("--budget", type=float, default=400, help="seconds that one start may take")
    add("--first-round", type=int, default=0, help="number of the first, where runs are merged")
    add("--max-model-len", type=int, default=4096)
    add("--dtype", default="bfloat16")
    add("--gpu-memory-utilization", default="", help="a share; default: vLLM's")
    return made


def read(options: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line, which names a model and a file, or reports to print."""
    found = options.parse_args()
    if not found.report and not (found.model and found.out):
        options.error("--model and --out, or --report")
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rig:
    """The variants of a run, and all that their starts have in common."""

    variants: tuple[Variant, ...]
    served: Served
    work: Path
    facts: dict[str, str]
    """machine, vllm and device: what makes two runs comparable."""

    def cache(self, variant: Variant) -> Path:
        """Return the folder of a variant's compile cache."""
        return self.work / "caches" / variant.name

    def prepare(self, variant: Variant) -> bool:
        """Make the cache as the variant wants it; return whether a start must still fill it."""
        cache = self.cache(variant)
        if variant.cache == "kept" and cache.exists():
            return False
        shutil.rmtree(cache, ignore_errors=True)
        seeded = variant.cache == "kept" and self._seed(variant.seed, cache)
        cache.mkdir(parents=True, exist_ok=True)
        return variant.cache == "kept" and not seeded

    def _seed(self, seed: str, cache: Path) -> bool:
        """Fill a kept cache with what its seed left; return whether there was any."""
        if seed == BAKED and self.served.baked:
            # The environment of a kept start leads vLLM to the folder itself: see `environ`.
            shutil.copytree(self.served.baked / "vllm", cache)
            for part in ("inductor", "triton"):
                if (self.served.baked / part).exists():  # some releases write nothing there
                    shutil.copytree(self.served.baked / part, cache / part)
            return True
        left = self.work / "caches" / seed
        if not seed or not left.exists():
            return False
        shutil.copytree(left, cache)
        return True

    def start(self, variant: Variant) -> Started:
        """Start a server; whoever asks for it ends it."""
        port = free_port()
        line = command(variant, self.served, port)
        return Started(line, environ(variant, self.served, port, self.cache(variant)), port)

    def write(self, out: Path, variant: Variant, number: int, found: Mapping[str, Any]) -> None:
        """Append a line to a file: what was found, beside the variant's name and the facts."""
        line = {"variant": variant.name, "stock": variant.stock, "round": number}
        with out.open("a") as file:
            file.write(json.dumps({**line, **self.facts, **found}) + "\n")


def make(options: argparse.Namespace, default: tuple[str, ...]) -> Rig:
    """Prepare the model's folder and read the variants."""
    known: dict[str, Variant] = dict(BUILT_IN)
    variants = []
    for text in options.variant or default:
        variant = parse(text, known)
        known[variant.name] = variant
        variants.append(variant)
    home = options.work / "home"
    (home / "models").mkdir(parents=True, exist_ok=True)
    (home / "models" / SERVED).unlink(missing_ok=True)
    (home / "models" / SERVED).symlink_to(options.model.resolve())
    served = Served(
        python=options.python,
        home=home,
        code=Path(__file__).resolve().parents[1],
        path=tuple(options.path),
        baked=options.baked,
        max_model_len=options.max_model_len,
        dtype=options.dtype,
        gpu_memory_utilization=options.gpu_memory_utilization,
    )
    facts = {"machine": machine(), **installed(options.python, options.path)}
    return Rig(variants=tuple(variants), served=served, work=options.work, facts=facts)


def opened(variant: Variant, server: Started, limit: float) -> tuple[float, dict[str, Any] | None]:
    """Wait for the port; return the seconds until then, and ours' own report.

    Raises:
        StartError: the process ended, or `limit` seconds passed.
        OSError: the report was not given.
    """
    seconds = server.wait_open(limit)
    return seconds, None if variant.stock else json.loads(server.get("/prewarm"))


def told(server: Started, seconds: float) -> dict[str, Any]:
    """Return what a start's log tells: `open` and `phases` in seconds, `notes`, `arguments`."""
    found = timeline.phases(server.lines, seconds)
    return {
        "open": seconds,
        "phases": {phase.name: phase.end - phase.begin for phase in found},
        "notes": timeline.notes(server.lines),
        "arguments": server.command[1:],
    }


def keep_log(lines: list[timeline.Line], folder: Path | None, name: str) -> None:
    """Write a start's log with the seconds of each line, where a folder was asked for."""
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{at:8.2f} {line}\n" for at, line in lines)
        (folder / f"{name}.log").write_text(text)


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
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return f"{len([line for line in lines if line.startswith('processor')])} CPU cores"
