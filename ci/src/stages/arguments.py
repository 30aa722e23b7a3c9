"""The command line of `python -m stages`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from stages import reference
from stages.errors import UsageError
from stages.lock import DEFAULT_BASE
from stages.names import model_problem, revision_problem
from stages.progress import Mode

LOCK = Path("model.lock.json")


@dataclass(frozen=True, kw_only=True)
class LockArguments:
    """What `lock` was asked: `weights` is None unless layer digests are wanted."""

    model: str
    revision: str
    base: reference.Reference
    weights: Path | None
    out: Path
    token_file: Path | None


@dataclass(frozen=True, kw_only=True)
class DownloadArguments:
    """What `download` was asked."""

    lock: Path
    cache: Path
    out: Path
    progress: Mode
    token_file: Path | None


class _Parser(argparse.ArgumentParser):
    """A parser that leaves the message and the exit to the caller."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError; names the help."""
        raise UsageError(f"{message}. `{self.prog} --help` shows what it takes")


def parse(argv: Sequence[str]) -> LockArguments | DownloadArguments:
    """Read the command line.

    Raises:
        UsageError: It lacks something, or holds what no verb takes; lists every problem.
    """
    found = _parser().parse_args(argv)
    if found.verb == "download":
        return DownloadArguments(
            lock=found.lock,
            cache=found.cache,
            out=found.out,
            progress=Mode(found.progress),
            token_file=found.token_file,
        )
    problems = [model_problem(found.model), revision_problem(found.revision)]
    try:
        base = reference.parse(found.base)
    except ValueError as error:
        problems.append(f"--base: {error}")
    if wrong := [problem for problem in problems if problem]:
        raise UsageError("; ".join(wrong))
    return LockArguments(
        model=found.model,
        revision=found.revision,
        base=base,
        weights=found.weights,
        out=found.out,
        token_file=found.token_file,
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m stages", description=__doc__, allow_abbrev=False)
    parser.description = "Turn a Hugging Face model into a vLLM image, stage by stage."
    parser.epilog = (
        "environment: HF_ENDPOINT (the Hub's address), HF_TOKEN or HF_TOKEN_PATH (the token), "
        "NO_COLOR"
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    _add_lock(verbs)
    _add_download(verbs)
    return parser


def _add_lock(verbs: "argparse._SubParsersAction[_Parser]") -> None:
    what = "Write down a model and a base image to the byte: commit, files, digests."
    lock = verbs.add_parser("lock", help=what, description=what, allow_abbrev=False)
    lock.add_argument("model", metavar="MODEL", help="OWNER/NAME on the Hub")
    lock.add_argument(
        "--revision", default="main", metavar="REF", help="branch, tag or commit [main]"
    )
    lock.add_argument(
        "--base",
        default=DEFAULT_BASE,
        metavar="REF",
        help="image to stand on, resolved to a digest unless it has one [vLLM v0.9.0]",
    )
    lock.add_argument(
        "--weights",
        type=Path,
        metavar="DIR",
        help="the folder that `download` filled: checks it, and adds each layer's digest",
    )
    lock.add_argument("--out", type=Path, default=LOCK, metavar="FILE", help=f"[{LOCK}]")
    _add_token(lock)


def _add_download(verbs: "argparse._SubParsersAction[_Parser]") -> None:
    what = "Fetch exactly the lock's files, verified; a broken run goes on where it ended."
    download = verbs.add_parser("download", help=what, description=what, allow_abbrev=False)
    download.add_argument("--lock", type=Path, default=LOCK, metavar="FILE", help=f"[{LOCK}]")
    download.add_argument(
        "--cache", type=Path, required=True, metavar="DIR", help="keeps bytes between runs"
    )
    download.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="receives the model's files alone"
    )
    download.add_argument(
        "--progress", choices=[mode.value for mode in Mode], default="auto", help="[auto]"
    )
    _add_token(download)


def _add_token(verb: _Parser) -> None:
    verb.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="holds the Hub's token; goes before HF_TOKEN. A token is never an argument",
    )
