"""How fast servers are once they are warm: all of them up at once, asked in turns.

usage: bench/steady.py --model DIR --out FILE [options]     starts, asks, prints the table
       bench/steady.py --report FILE...                      prints the table of earlier runs

A host's processor can be a third slower for half a minute, which no median of starts that follow
each other can undo. So the variants serve side by side, and every question goes to each of them
before the next, in an order drawn by lot; a ratio compares answers that are a second apart.
Give each a share of the memory: --gpu-memory-utilization 0.2 for four of them.
For a GPU: threads of vLLM's CPU build spin on for a second, and slow the server that is next.
Each start and each round of a variant is one line of JSON, appended to FILE; cold_start.py reads
the starts, which have their seconds unless all began at once.
"""

import argparse
import contextlib
import dataclasses
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import load, rig  # noqa: E402 - found by the line above
from bench.kinds import COMPLETIONS, kinds, prompt  # noqa: E402
from bench.rig import Rig  # noqa: E402
from bench.started import Started, StartError  # noqa: E402
from bench.variant import Variant  # noqa: E402

DEFAULT = ("stock-kept", "ours-at-level-2", "stock-at-level-1", "ours")
UNCOUNTED = 2
"""Rounds before the first that counts: stock vLLM's first requests are slow."""

ALONE = "decoded tokens a second"
TOGETHER = f"the same, {load.CLIENTS} clients"
"""The questions whose answer is a speed; that of every other is a time."""

Round = Mapping[str, Any]
"""One line: `variant`, `stock`, `round`, and `steady`: what was asked -> value."""


def main() -> None:
    """Start every variant, ask them in turns, end them; or report on earlier runs."""
    options = _options()
    files = options.report or [options.out]
    if not options.report:
        shared = rig.make(options, DEFAULT)
        with contextlib.ExitStack() as stack:
            servers = _start_all(shared, options, stack)
            _ask_in_turns(servers, shared, options)
    lines = [line for file in files for line in file.read_text().splitlines()]
    print(table([found for found in map(json.loads, lines) if "steady" in found]))


def _start_all(
    shared: Rig, options: argparse.Namespace, stack: contextlib.ExitStack
) -> dict[Variant, Started]:
    """Start all and leave those up that open their port; `stack` ends them."""
    begun: dict[Variant, Started] = {}
    servers = {}

    def wait(variant: Variant) -> None:
        found, shown = _opened(variant, begun[variant], options.budget)
        found["counted"] = "open" in found and not options.at_once
        shared.write(options.out, variant, options.first_round, found)
        print(f"{variant.name}: {shown}", file=sys.stderr, flush=True)
        if "open" in found:
            servers[variant] = begun[variant]
        else:
            begun[variant].kill()

    for variant in shared.variants:
        shared.prepare(variant)
        begun[variant] = server = shared.start(variant)
        stack.callback(server.kill)
        stack.callback(rig.keep_log, server.lines, options.logs, f"steady-{variant.name}")
        if not options.at_once:
            wait(variant)
    for variant in shared.variants if options.at_once else ():
        wait(variant)
    return servers


def _opened(variant: Variant, server: Started, limit: float) -> tuple[dict[str, Any], str]:
    """Wait for the port; return the start's line, and what to show of it."""
    try:
        opened, report = rig.opened(variant, server, limit)
    except (StartError, OSError) as error:
        return {"failed": str(error)}, f"{error}"
    told = rig.told(server, opened)
    return {**told, "asked": {}, "prewarm": report}, f"{opened:.1f} s"


def _ask_in_turns(
    servers: dict[Variant, Started], shared: Rig, options: argparse.Namespace
) -> None:
    """Ask for `options.seconds`, each question in another order."""
    variants, number, lot = list(servers), 0, random.Random("order")
    until = time.monotonic() + options.seconds
    while time.monotonic() < until:
        found: dict[Variant, dict[str, float]] = {variant: {} for variant in variants}
        chance = random.Random(f"steady {number}")
        for question in questions(chance, shared.served.max_model_len):
            if options.question and question.what not in options.question:
                continue
            for variant in lot.sample(variants, len(variants)):
                found[variant][question.what] = question.value(servers[variant].seconds)
        for variant in variants if number >= UNCOUNTED else ():
            one = {"counted": False, "steady": found[variant]}
            shared.write(options.out, variant, number, one)
        number += 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """One thing that every server is asked, with the same text."""

    what: str
    value: Callable[[load.Ask], float]
    """Asks a server; returns milliseconds, or answer tokens a second where `what` says so."""


def questions(chance: random.Random, max_model_len: int) -> list[Question]:
    """Return one round's questions; lengths of `max_model_len` tokens and more are left out."""
    found = [_latency(kind, path, write()) for kind, (path, write) in kinds(chance).items()]
    found += [
        _latency(f"{length} tokens", COMPLETIONS, prompt(chance, length))
        for length in load.LENGTHS
        if length < max_model_len
    ]
    long, seed = prompt(chance, 16, load.DECODED), chance.random()
    alone = Question(what=ALONE, value=lambda ask: load.DECODED / ask(COMPLETIONS, long))
    crowd = Question(
        what=TOGETHER, value=lambda ask: load.together(ask, random.Random(seed), requests=1)
    )
    return [*found, alone, crowd]


def _latency(what: str, path: str, body: dict[str, Any]) -> Question:
    return Question(what=what, value=lambda ask: 1e3 * ask(path, body))


def table(rounds: Sequence[Round]) -> str:
    """Return one table a machine: medians, and ratios of ours to each of stock's.

    A ratio is the median over the rounds, with its 95 % interval in brackets.
    """
    machines = dict.fromkeys(one["machine"] for one in rounds)
    return "\n\n".join(_table([o for o in rounds if o["machine"] == here]) for here in machines)


def _table(rounds: Sequence[Round]) -> str:
    names = list(dict.fromkeys(one["variant"] for one in rounds))
    by_name = {n: {o["round"]: o["steady"] for o in rounds if o["variant"] == n} for n in names}
    asked = list(rounds[0]["steady"])
    width = max(map(len, asked)) + 2
    head = f"{rounds[0]['device']}, vLLM {rounds[0]['vllm']}, {len(by_name[names[0]])} rounds"
    lines = [f"{head}, ms unless tokens", f"{'':<{width}}" + "".join(f"{n:>24}" for n in names)]
    for what in asked:
        cells = [
            f"{statistics.median(one[what] for one in by_name[n].values()):.1f}" for n in names
        ]
        lines.append(f"{what:<{width}}" + "".join(f"{cell:>24}" for cell in cells))
    for base in (name for name in names if _is_stock(rounds, name)):
        compared = [name for name in names if not _is_stock(rounds, name)]
        lines.append(f"{f'ratio to {base}':<{width}}" + "".join(f"{n:>24}" for n in compared))
        for row, together in (*((what, [what]) for what in asked), ("all, as time", asked)):
            cells = [_ratio(by_name[name], by_name[base], together) for name in compared]
            lines.append(f"{row:<{width}}" + "".join(f"{cell:>24}" for cell in cells))
    return "\n".join(lines)


def _is_stock(rounds: Sequence[Round], name: str) -> bool:
    return any(one["stock"] for one in rounds if one["variant"] == name)


def _ratio(above: Mapping[int, Any], below: Mapping[int, Any], together: Sequence[str]) -> str:
    """Give the median ratio of the rounds: of one question's values, or of the time for several."""
    ratios = []
    for number in above.keys() & below.keys():
        each = [above[number][what] / below[number][what] for what in together]
        if len(together) > 1:
            pairs = zip(each, together, strict=True)
            each = [1 / one if _is_speed(what) else one for one, what in pairs]
        ratios.append(statistics.geometric_mean(each))
    if not ratios:
        return "-"
    low, high = interval(ratios)
    return f"{statistics.median(ratios):.3f} ({low:.3f} to {high:.3f})"


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the median, by the sign test; all of them where they are few."""
    ordered = sorted(values)
    rank = int(len(ordered) / 2 - 1.96 * math.sqrt(len(ordered)) / 2)
    left_out = max(rank - 1, 0)
    return ordered[left_out], ordered[-1 - left_out]


def _is_speed(what: str) -> bool:
    return what in {ALONE, TOGETHER}


def _options() -> argparse.Namespace:
    parser = rig.parser(__doc__)
    add = parser.add_argument
    add("--at-once", action="store_true", help="start all together, untimed")
    add("--question", action="append", metavar="WHAT", help="ask only this")
    add("--seconds", type=float, default=60, help="of asking, all together")
    return rig.read(parser)


if __name__ == "__main__":
    main()
