"""`scan`: an image layout -> whether it holds a credential."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anyio.to_thread import run_sync

from stages import lockfile, progress
from stages.command.options import Verb
from stages.errors import LeakError
from stages.scan import given, image, report
from stages.stop import Stop


@dataclass(frozen=True, kw_only=True)
class ScanArguments:
    """What `scan` was asked: `lock` and `out` are None when there is none."""

    layout: Path
    lock: Path | None
    secret_files: tuple[Path, ...]
    secret_names: tuple[str, ...]
    logs: tuple[Path, ...]
    out: Path | None


def describe(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes. A secret itself is never an argument."""
    parser.add_argument("layout", type=Path, metavar="LAYOUT", help="folder that `image` wrote")
    parser.add_argument(
        "--lock", type=Path, metavar="FILE", help="weights that it names are matched, not searched"
    )
    for name, kind, metavar, told in (
        ("--secret-file", Path, "FILE", "holds an exact secret to look for; can be repeated"),
        ("--secret-env", str, "NAME", "variable that holds one; can be repeated"),
        ("--log", Path, "FILE", "searched as well; can be repeated"),
    ):
        parser.add_argument(
            name, type=kind, metavar=metavar, help=told, action="append", default=[]
        )
    parser.add_argument("--out", type=Path, metavar="FILE", help="receives the report as JSON")


def read(found: argparse.Namespace) -> ScanArguments:
    """Read the verb's arguments."""
    return ScanArguments(
        layout=found.layout,
        lock=found.lock,
        secret_files=tuple(found.secret_file),
        secret_names=tuple(found.secret_env),
        logs=tuple(found.log),
        out=found.out,
    )


def prepare(arguments: ScanArguments, environ: Mapping[str, str], _stop: Stop) -> Verb:
    """Keep the environment, which may hold secrets to look for."""
    return partial(run_sync, _run, arguments, environ, abandon_on_cancel=True)


def _run(arguments: ScanArguments, environ: Mapping[str, str]) -> None:
    secrets = given.read(environ, files=arguments.secret_files, names=arguments.secret_names)
    lock = lockfile.read(arguments.lock) if arguments.lock else None
    found = image.scan(arguments.layout, lock=lock, secrets=secrets, logs=arguments.logs)
    if arguments.out:
        report.write(found, arguments.out)
    if not found.clean:
        sys.stdout.write("".join(f"{one}\n" for one in found.findings))
        raise LeakError(
            f"{len(found.findings)} findings in {found.manifest}: it must not be pushed. Keep "
            "them out of what is packaged, and revoke every credential among them"
        )
    sys.stdout.write(
        f"{found.manifest} is clean: {progress.size(found.searched)} searched in "
        f"{len(found.layers)} layers and {len(found.logs)} logs\n"
    )
