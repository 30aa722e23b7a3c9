"""`verify`: weights or a compile cache from elsewhere -> whether they are what they should be."""

import argparse
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anyio.to_thread import run_sync

from stages import compile_cache, lockfile, progress, verify
from stages.command import options
from stages.command.options import Verb
from stages.errors import IntegrityError, UsageError
from stages.lockfile import Model
from stages.stop import Stop

_ADVICE = "`download` writes such a folder"


@dataclass(frozen=True, kw_only=True)
class VerifyArguments:
    """What `verify` was asked: None for what there is not."""

    lock: Path
    weights: Path | None
    compile_cache: Path | None


def describe(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    options.lock(parser)
    parser.add_argument("--weights", type=Path, metavar="DIR", help="must be the lock's files")
    parser.add_argument(
        "--compile-cache", type=Path, metavar="DIR", help="must be as `bake` wrote it"
    )


def read(found: argparse.Namespace) -> VerifyArguments:
    """Read the verb's arguments."""
    if not found.weights and not found.compile_cache:
        raise UsageError("give --weights, --compile-cache, or both")
    return VerifyArguments(
        lock=found.lock, weights=found.weights, compile_cache=found.compile_cache
    )


def prepare(arguments: VerifyArguments, _environ: Mapping[str, str], stop: Stop) -> Verb:
    """Read nothing: the answer follows from the arguments alone."""
    return partial(run_sync, _run, arguments, stop)


def _run(arguments: VerifyArguments, stop: Stop) -> None:
    if arguments.weights:
        model = lockfile.read(arguments.lock).model
        _check_weights(model, arguments.weights, stop)
        size = progress.size(model.size)
        sys.stdout.write(f"{arguments.weights} is {model.name} at {model.commit}: {size}\n")
    if arguments.compile_cache:
        files = compile_cache.read(arguments.compile_cache, stop)
        sys.stdout.write(f"{arguments.compile_cache} is a compile cache of {len(files)} files\n")


def _check_weights(model: Model, folder: Path, stop: Stop) -> None:
    """Hold a folder against the lock: every file, no other, and each readable in the image."""
    other = sorted({*verify.files_below(folder)} - {file.path for file in model.files})
    if other:
        raise IntegrityError(f"{folder} holds {other[0]}, which the lock does not name. {_ADVICE}")
    for file in model.files:
        path = folder / file.path
        verify.check(file, path, stop=stop, advice=_ADVICE)
        if not path.stat().st_mode & stat.S_IROTH:
            raise IntegrityError(
                f"{path} cannot be read by everybody, as the server's user must: chmod 644 it"
            )
