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
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import load, rig, table  # noqa: E402 - found by the line above
from bench.rig import Rig  # noqa: E402
from bench.started import StartError  # noqa: E402
from bench.variant import Variant  # noqa: E402

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
        self._rig = rig.make(options, DEFAULT)

    def run(self) -> None:
        """Start each variant in turn, as long as there is time for one more start."""
        for number in range(self._options.starts):
            for variant in self._rig.variants:
                if time.monotonic() + self._options.budget > self._until:
                    print(f"no time is left for {variant.name}", file=sys.stderr)
                    continue
                if self._rig.prepare(variant):
                    self._start(variant, -1, counted=False)
                self._start(variant, number, counted=True)

    def _start(self, variant: Variant, number: int, *, counted: bool) -> None:
        number += self._options.first_round
        found = {"counted": counted, **one_start(variant, self._rig, self._options, number)}
        self._rig.write(self._options.out, variant, number, found)
        shown = found.get("failed") or f"{found['open']:.1f} s"
        print(f"{number} {variant.name}: {shown}", file=sys.stderr, flush=True)


def one_start(
    variant: Variant, shared: Rig, options: argparse.Namespace, seed: int
) -> dict[str, Any]:
    """Start once and ask everything; every duration in seconds.

    Returns what `rig.told` does, `asked` as `load.measure` returns it, `exit_code`, `stop_s`, and
    ours' own report as `prewarm`; `failed` where the port never opened.
    """
    server = shared.start(variant)
    try:
        opened, report = rig.opened(variant, server, options.budget)
        asked = _asked(server.seconds, shared, options, seed) if options.next else {}
        code, stop = server.stop()
    except (StartError, OSError, subprocess.TimeoutExpired) as error:
        return {"failed": str(error), "log": [text for _, text in server.lines[-60:]]}
    finally:
        server.kill()
        rig.keep_log(server.lines, options.logs, f"{variant.name}-{seed}")
    told = rig.told(server, opened)
    return {**told, "asked": asked, "exit_code": code, "stop_s": stop, "prewarm": report}


def _asked(ask: load.Ask, shared: Rig, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    most = shared.served.max_model_len
    return load.measure(ask, seed=seed, max_model_len=most, following=options.next)


def _options() -> argparse.Namespace:
    parser = rig.parser(__doc__)
    add = parser.add_argument
    add("--starts", type=int, default=3, help="of each variant")
    add("--until", type=float, default=86400, help="seconds for all; no start begins too late")
    add("--next", type=int, default=load.NEXT, help="requests of a kind after the first; 0: none")
    return rig.read(parser)


if __name__ == "__main__":
    main()
