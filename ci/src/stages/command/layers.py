"""`layers`: weights, runtime, compile cache -> one folder for each kind of layer."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anyio.to_thread import run_sync

from stages import folders, lockfile
from stages.command import options
from stages.command.options import Verb
from stages.errors import UsageError
from stages.folders import Sources
from stages.stop import Stop


@dataclass(frozen=True, kw_only=True)
class LayersArguments:
    """What `layers` was asked."""

    lock: Path
    sources: Sources
    out: Path


def describe(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    options.lock(parser)
    for name, told in (
        ("--weights", "the folder that `download` filled"),
        ("--runtime", "the runtime package"),
        ("--compile-cache", "the folder that `bake` wrote"),
    ):
        parser.add_argument(name, type=Path, metavar="DIR", help=f"{told} [left out]")
    options.out(parser)


def read(found: argparse.Namespace) -> LayersArguments:
    """Read the verb's arguments."""
    sources = Sources(weights=found.weights, runtime=found.runtime, cache=found.compile_cache)
    if sources == Sources():
        raise UsageError("name at least one of --weights, --runtime and --compile-cache")
    return LayersArguments(lock=found.lock, sources=sources, out=found.out)


def prepare(arguments: LayersArguments, _environ: Mapping[str, str], stop: Stop) -> Verb:
    """Read nothing: the folders follow from the arguments alone."""
    return partial(run_sync, _run, arguments, stop)


def _run(arguments: LayersArguments, stop: Stop) -> None:
    lock = lockfile.read(arguments.lock)
    folders.make(lock, arguments.sources, out=arguments.out, stop=stop)
    kinds = ", ".join(sorted(found.name for found in arguments.out.iterdir()))
    sys.stdout.write(f"wrote {arguments.out}: {kinds}\n")
