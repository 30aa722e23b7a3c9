"""What several verbs take, and what a verb is once it has been read."""

import argparse
from collections.abc import Callable, Coroutine
from pathlib import Path

from stages import reference

Verb = Callable[[], Coroutine[object, object, None]]
LOCK = Path("model.lock.json")
RUNTIME = Path("runtime")
LAYOUT = "oci:"  # before the folder of an OCI image layout


def lock(parser: argparse.ArgumentParser) -> None:
    """Add the lock that is read."""
    parser.add_argument("--lock", type=Path, default=LOCK, metavar="FILE", help=f"[{LOCK}]")


def token(parser: argparse.ArgumentParser) -> None:
    """Add where the Hub's token lies."""
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="holds the Hub's token; goes before HF_TOKEN. A token is never an argument",
    )


def out(parser: argparse.ArgumentParser, told: str = "an empty folder, or none yet") -> None:
    """Add the folder that is filled."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=told)


def base(parser: argparse.ArgumentParser) -> None:
    """Add where the lock's base is read; see `place`."""
    parser.add_argument(
        "--base",
        metavar="PLACE",
        help="where to read the lock's base: HOST/REPOSITORY, or oci:DIR [where the lock says]",
    )


def place(text: str | None, problems: list[str]) -> reference.Reference | Path | None:
    """Read where a base lies: a repository, or the folder of an OCI image layout.

    Args:
        text: What `--base` was given; None where the lock says.
        problems: Receives why the text cannot be read.
    """
    if text is None:
        return None
    if text.startswith(LAYOUT):
        return Path(text.removeprefix(LAYOUT))
    try:
        return reference.parse(text)
    except ValueError as error:
        problems.append(f"--base: {error}")
        return None
