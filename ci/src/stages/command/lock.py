"""`lock`: a model's name -> model.lock.json."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anyio.to_thread import run_sync

from stages import credentials, lockfile, progress, reference, settings
from stages.command import options
from stages.command.options import Verb
from stages.credentials import Login, Whose
from stages.errors import LockError, UsageError
from stages.hub import Hub, open_client
from stages.lock import DEFAULT_BASE, Locked, Locker, with_digests, with_known_digests, write
from stages.names import model_problem, revision_problem
from stages.registry import Registry
from stages.settings import Settings
from stages.stop import Stop


@dataclass(frozen=True, kw_only=True)
class LockArguments:
    """What `lock` was asked: `weights` is None unless layer digests are wanted."""

    model: str
    revision: str
    base: reference.Reference
    weights: Path | None
    out: Path
    token_file: Path | None


def describe(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    parser.add_argument("model", metavar="MODEL", help="OWNER/NAME on the Hub")
    parser.add_argument(
        "--revision", default="main", metavar="REF", help="branch, tag or commit [main]"
    )
    parser.add_argument(
        "--base",
        default=DEFAULT_BASE,
        metavar="REF",
        help="image to stand on, resolved to a digest unless it has one [vLLM v0.9.0]",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="DIR",
        help="the folder that `download` filled: checks it, and adds each layer's digest",
    )
    parser.add_argument(
        "--out", type=Path, default=options.LOCK, metavar="FILE", help=f"[{options.LOCK}]"
    )
    options.token(parser)


def read(found: argparse.Namespace) -> LockArguments:
    """Read the verb's arguments, naming every problem."""
    problems = [model_problem(found.model), revision_problem(found.revision)]
    base = None
    try:
        base = reference.parse(found.base)
    except ValueError as error:
        problems.append(f"--base: {error}")
    if (wrong := [problem for problem in problems if problem]) or base is None:
        raise UsageError("; ".join(wrong))
    return LockArguments(
        model=found.model,
        revision=found.revision,
        base=base,
        weights=found.weights,
        out=found.out,
        token_file=found.token_file,
    )


def prepare(arguments: LockArguments, environ: Mapping[str, str], _stop: Stop) -> Verb:
    """Read the environment."""
    found = settings.parse(environ, token_file=arguments.token_file)
    login = credentials.find(environ, arguments.base.host, whose=Whose.BASE)
    return partial(run_sync, _run, arguments, found, login, abandon_on_cancel=True)


def _run(arguments: LockArguments, found: Settings, login: Login | None) -> None:
    with open_client() as client:
        locker = Locker(
            hub=Hub(client, found.endpoint, found.token), registry=Registry(client, login=login)
        )
        made = locker.lock(arguments.model, revision=arguments.revision, base=arguments.base)
    lock = made.lock
    if arguments.weights:
        lock = with_digests(lock, arguments.weights)
    elif arguments.out.exists():
        try:
            lock = with_known_digests(lock, earlier=lockfile.read(arguments.out))
        except LockError as error:
            sys.stderr.write(f"stages: replacing what was no lock: {error}\n")
    write(lock, arguments.out)
    sys.stdout.write(_told(made, str(arguments.out)))


def _told(made: Locked, path: str) -> str:
    """Say what was locked and what was left out."""
    model = made.lock.model
    lines = [f"{model.name} {model.revision} is commit {model.commit}"]
    lines += [f"  {file.path}  {progress.size(file.size)}" for file in model.files]
    lines += [f"  left out: {left.path} ({left.reason})" for left in made.selection.left_out]
    lines += [f"{made.lock.base.image} is {made.lock.base.digest}"]
    lines += [f"wrote {path}: {len(model.files)} files, {progress.size(model.size)}"]
    return "\n".join(lines) + "\n"
