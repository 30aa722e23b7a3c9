"""`dockerfile`: a lock -> the arguments of `docker build`, or whether a build was given them."""

import argparse
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anyio.to_thread import run_sync

from stages import compile_cache, dockerfile, lockfile
from stages.command import options
from stages.command.options import Verb
from stages.lockfile import File
from stages.stop import Stop


@dataclass(frozen=True, kw_only=True)
class DockerfileArguments:
    """What `dockerfile` was asked.

    Attributes:
        compile_cache: None without one.
        check: The base's file system, to check a build from inside; None prints arguments.
    """

    lock: Path
    compile_cache: Path | None
    check: Path | None


def describe(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    options.lock(parser)
    parser.add_argument(
        "--compile-cache",
        type=Path,
        metavar="DIR",
        help="the folder that `bake` wrote; empty is none [none]",
    )
    parser.add_argument(
        "--check",
        type=Path,
        metavar="DIR",
        help="inside a build: hold its arguments, which are environment variables, against the "
        "lock, and look for vLLM in DIR, the base's file system",
    )


def read(found: argparse.Namespace) -> DockerfileArguments:
    """Read the verb's arguments."""
    return DockerfileArguments(
        lock=found.lock, compile_cache=found.compile_cache, check=found.check
    )


def prepare(arguments: DockerfileArguments, environ: Mapping[str, str], stop: Stop) -> Verb:
    """Keep the environment, which holds a build's arguments."""
    return partial(run_sync, _run, arguments, environ, stop)


def _run(arguments: DockerfileArguments, environ: Mapping[str, str], stop: Stop) -> None:
    lock = lockfile.read(arguments.lock)
    cache = _cache(arguments.compile_cache, stop)
    if arguments.check is None:
        given = dockerfile.arguments(lock, cache).items()
        words = [f"--build-arg {shlex.quote(f'{name}={value}')}" for name, value in given]
        sys.stdout.write("\n".join(words) + "\n")
        return
    dockerfile.check(lock, cache, environ)
    dockerfile.check_machine(environ.get("SMOKE", ""), dockerfile.machine())
    release = dockerfile.vllm_version(arguments.check)
    sys.stdout.write(
        f"{lock.model.name} at {lock.model.commit} over {lock.base.image}, vLLM {release}\n"
        f"smoke test: {dockerfile.shown(environ.get('SMOKE', ''))}\n"
    )


def _cache(folder: Path | None, stop: Stop) -> tuple[File, ...]:
    """Read a compile cache; no folder and an empty one are no cache."""
    if folder is None or not any(folder.iterdir()):
        return ()
    return compile_cache.read(folder, stop)
