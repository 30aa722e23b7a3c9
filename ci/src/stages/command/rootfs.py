"""`rootfs`: weights, runtime and compile cache -> one tree."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anyio.to_thread import run_sync

from stages import lockfile, rootfs
from stages.command import options
from stages.command.options import RUNTIME, Verb
from stages.stop import Stop


@dataclass(frozen=True, kw_only=True)
class RootfsArguments:
    """What `rootfs` was asked.

    Attributes:
        weights: None leaves them out: the lock knows their layers.
        compile_cache: None without one.
    """

    lock: Path
    weights: Path | None
    runtime: Path
    compile_cache: Path | None
    out: Path


def describe(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    options.lock(parser)
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument(
        "--weights", type=Path, metavar="DIR", help="the folder that `download` filled"
    )
    weights.add_argument(
        "--known",
        action="store_true",
        help="leave the weights out: the lock knows their layers, and a registry holds them",
    )
    parser.add_argument(
        "--runtime",
        type=Path,
        default=RUNTIME,
        metavar="DIR",
        help=f"the runtime package [{RUNTIME}]",
    )
    parser.add_argument(
        "--compile-cache", type=Path, metavar="DIR", help="the folder that `bake` wrote [none]"
    )
    options.out(parser)


def read(found: argparse.Namespace) -> RootfsArguments:
    """Read the verb's arguments."""
    return RootfsArguments(
        lock=found.lock,
        weights=found.weights,
        runtime=found.runtime,
        compile_cache=found.compile_cache,
        out=found.out,
    )


def prepare(arguments: RootfsArguments, _environ: Mapping[str, str], stop: Stop) -> Verb:
    """Read nothing: a tree follows from its arguments alone."""
    return partial(run_sync, _run, arguments, stop)


def _run(arguments: RootfsArguments, stop: Stop) -> None:
    lock = lockfile.read(arguments.lock)
    tree = rootfs.make(
        lock,
        weights=arguments.weights,
        runtime=arguments.runtime,
        cache=arguments.compile_cache,
        out=arguments.out,
        stop=stop,
    )
    cache = f", {len(tree.cache)} of compile cache" if tree.cache else ""
    count = len(lock.model.files) if arguments.weights else "no"
    sys.stdout.write(
        f"wrote {arguments.out}: {count} files of {lock.model.name}, "
        f"{len(tree.runtime)} of the runtime{cache}\n"
    )
