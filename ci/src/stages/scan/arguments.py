"""What `scan` takes on the command line."""

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ScanArguments:
    """What `scan` was asked: `lock` and `out` are None when there is none."""

    layout: Path
    lock: Path | None
    secret_files: tuple[Path, ...]
    secret_names: tuple[str, ...]
    logs: tuple[Path, ...]
    out: Path | None


def describe(scan: argparse.ArgumentParser) -> None:
    """Add what the verb takes to its parser. A secret itself is never an argument."""
    scan.set_defaults(read=read)
    scan.add_argument("layout", type=Path, metavar="LAYOUT", help="folder that `image` wrote")
    scan.add_argument(
        "--lock", type=Path, metavar="FILE", help="weights that it names are matched, not searched"
    )
    for name, kind, metavar, told in (
        ("--secret-file", Path, "FILE", "holds an exact secret to look for; can be repeated"),
        ("--secret-env", str, "NAME", "variable that holds one; can be repeated"),
        ("--log", Path, "FILE", "searched as well; can be repeated"),
    ):
        scan.add_argument(name, type=kind, metavar=metavar, help=told, action="append", default=[])
    scan.add_argument("--out", type=Path, metavar="FILE", help="receives the report as JSON")


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
