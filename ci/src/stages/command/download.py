"""`download`: a lock -> the model's files."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stages import lockfile, progress, settings
from stages.cache import Cache
from stages.command import options
from stages.command.options import Verb
from stages.download import Download
from stages.hub import Hub, open_client
from stages.progress import Mode
from stages.settings import Settings
from stages.stop import Stop


@dataclass(frozen=True, kw_only=True)
class DownloadArguments:
    """What `download` was asked."""

    lock: Path
    cache: Path
    out: Path
    progress: Mode
    token_file: Path | None


def describe(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    options.lock(parser)
    parser.add_argument(
        "--cache", type=Path, required=True, metavar="DIR", help="keeps bytes between runs"
    )
    options.out(parser, "receives the model's files alone")
    parser.add_argument(
        "--progress", choices=[mode.value for mode in Mode], default="auto", help="[auto]"
    )
    options.token(parser)


def read(found: argparse.Namespace) -> DownloadArguments:
    """Read the verb's arguments."""
    return DownloadArguments(
        lock=found.lock,
        cache=found.cache,
        out=found.out,
        progress=Mode(found.progress),
        token_file=found.token_file,
    )


def prepare(arguments: DownloadArguments, environ: Mapping[str, str], stop: Stop) -> Verb:
    """Read the environment."""
    found = settings.parse(environ, token_file=arguments.token_file)
    return partial(_run, arguments, found, stop)


async def _run(arguments: DownloadArguments, found: Settings, stop: Stop) -> None:
    lock = lockfile.read(arguments.lock)
    look = progress.look(
        arguments.progress, sys.stderr, terminal=found.terminal, colour=found.colour
    )
    with open_client() as client:
        download = Download(
            hub=Hub(client, found.endpoint, found.token),
            cache=Cache(arguments.cache),
            look=look,
            stop=stop,
        )
        fetched = await download.run(lock, arguments.out)
    model = lock.model
    sys.stdout.write(
        f"wrote {arguments.out}: {len(model.files)} files, {progress.size(model.size)} of "
        f"{model.name} at {model.commit}; {progress.size(fetched)} had to be fetched\n"
    )
