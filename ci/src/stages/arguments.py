"""The command line of `python -m stages`."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from stages import reference
from stages.errors import UsageError
from stages.lock import DEFAULT_BASE
from stages.names import model_problem, revision_problem
from stages.progress import Mode
from stages.scan import arguments as scan_arguments
from stages.scan.arguments import ScanArguments

LOCK = Path("model.lock.json")
RUNTIME = Path("runtime")
LAYOUT = "oci:"  # before the folder of an OCI image layout
LONGEST_SAID = 1024  # characters of a label


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


@dataclass(frozen=True, kw_only=True)
class RootfsArguments:
    """What `rootfs` was asked: `compile_cache` is None without one."""

    lock: Path
    weights: Path
    runtime: Path
    compile_cache: Path | None
    out: Path


@dataclass(frozen=True, kw_only=True)
class ImageArguments:
    """What `image` was asked.

    Attributes:
        base: Where the lock's base is read: a repository or an OCI image layout; None where the
            lock says.
    """

    lock: Path
    rootfs: Path
    base: reference.Reference | Path | None
    created: str | None
    revision: str | None
    source: str | None
    version: str | None
    ref_name: str | None
    out: Path


Arguments = LockArguments | DownloadArguments | RootfsArguments | ImageArguments | ScanArguments


class _Parser(argparse.ArgumentParser):
    """A parser that leaves the message and the exit to the caller."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError; names the help."""
        raise UsageError(f"{message}. `{self.prog} --help` shows what it takes")


def parse(argv: Sequence[str]) -> Arguments:
    """Read the command line.

    Raises:
        UsageError: It lacks something, or holds what no verb takes; lists every problem.
    """
    found = _parser().parse_args(argv)
    read: Callable[[argparse.Namespace], Arguments] = found.read
    return read(found)


def _read_lock(found: argparse.Namespace) -> LockArguments:
    problems = [model_problem(found.model), revision_problem(found.revision)]
    base = _base(found.base, problems)
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


def _read_download(found: argparse.Namespace) -> DownloadArguments:
    return DownloadArguments(
        lock=found.lock,
        cache=found.cache,
        out=found.out,
        progress=Mode(found.progress),
        token_file=found.token_file,
    )


def _read_rootfs(found: argparse.Namespace) -> RootfsArguments:
    return RootfsArguments(
        lock=found.lock,
        weights=found.weights,
        runtime=found.runtime,
        compile_cache=found.compile_cache,
        out=found.out,
    )


def _read_image(found: argparse.Namespace) -> ImageArguments:
    said = {name: getattr(found, name) for name in ("revision", "source", "version", "ref_name")}
    problems: list[str | None] = [
        f"--{name.replace('_', '-')} is {text[:100]!a}, expected one line of text"
        for name, text in said.items()
        if text is not None and not (0 < len(text) <= LONGEST_SAID and text.isprintable())
    ]
    base: reference.Reference | Path | None = None
    if found.base is not None and found.base.startswith(LAYOUT):
        base = Path(found.base.removeprefix(LAYOUT))
    elif found.base is not None:
        base = _base(found.base, problems)
    if wrong := [problem for problem in problems if problem]:
        raise UsageError("; ".join(wrong))
    return ImageArguments(
        lock=found.lock,
        rootfs=found.rootfs,
        base=base,
        created=found.created,
        out=found.out,
        **said,
    )


def _base(text: str, problems: list[str | None]) -> reference.Reference:
    """Read a base's name; one with a problem gives the default, which nobody will use."""
    try:
        return reference.parse(text)
    except ValueError as error:
        problems.append(f"--base: {error}")
        return reference.parse(DEFAULT_BASE)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m stages", description=__doc__, allow_abbrev=False)
    parser.description = "Turn a Hugging Face model into a vLLM image, stage by stage."
    parser.epilog = (
        "environment: HF_ENDPOINT (the Hub's address), HF_TOKEN or HF_TOKEN_PATH (the token), "
        "NO_COLOR, SOURCE_DATE_EPOCH"
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    _add_lock(verbs)
    _add_download(verbs)
    _add_rootfs(verbs)
    _add_image(verbs)
    what = "Look for credentials in everything of ours that an image holds, and in logs."
    scan_arguments.describe(
        verbs.add_parser("scan", help=what, description=what, allow_abbrev=False)
    )
    return parser


def _add_lock(verbs: "argparse._SubParsersAction[_Parser]") -> None:
    what = "Write down a model and a base image to the byte: commit, files, digests."
    lock = verbs.add_parser("lock", help=what, description=what, allow_abbrev=False)
    lock.set_defaults(read=_read_lock)
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
    download.set_defaults(read=_read_download)
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


def _add_rootfs(verbs: "argparse._SubParsersAction[_Parser]") -> None:
    what = "Write one tree with all that the image adds to its base, verified."
    rootfs = verbs.add_parser("rootfs", help=what, description=what, allow_abbrev=False)
    rootfs.set_defaults(read=_read_rootfs)
    rootfs.add_argument("--lock", type=Path, default=LOCK, metavar="FILE", help=f"[{LOCK}]")
    rootfs.add_argument(
        "--weights",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder that `download` filled",
    )
    rootfs.add_argument(
        "--runtime",
        type=Path,
        default=RUNTIME,
        metavar="DIR",
        help=f"the runtime package [{RUNTIME}]",
    )
    rootfs.add_argument(
        "--compile-cache", type=Path, metavar="DIR", help="the folder that `bake` wrote [none]"
    )
    rootfs.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="an empty folder, or none yet"
    )


def _add_image(verbs: "argparse._SubParsersAction[_Parser]") -> None:
    what = "Make an OCI image layout of our layers over the lock's base, which is not fetched."
    image = verbs.add_parser("image", help=what, description=what, allow_abbrev=False)
    image.set_defaults(read=_read_image)
    image.add_argument("--lock", type=Path, default=LOCK, metavar="FILE", help=f"[{LOCK}]")
    image.add_argument(
        "--rootfs", type=Path, required=True, metavar="DIR", help="the tree that `rootfs` wrote"
    )
    image.add_argument(
        "--base",
        metavar="PLACE",
        help="where to read the lock's base: HOST/REPOSITORY, or oci:DIR [where the lock says]",
    )
    image.add_argument(
        "--created",
        metavar="TIME",
        help="seconds since 1970, or like 2026-01-31T12:00:00Z [SOURCE_DATE_EPOCH, else 0]",
    )
    image.add_argument("--revision", metavar="COMMIT", help="commit of the sources, for a label")
    image.add_argument("--source", metavar="URL", help="address of the sources, for a label")
    image.add_argument("--version", metavar="TEXT", help="version of the image, for a label")
    image.add_argument("--ref-name", metavar="NAME", help="name of the image in the layout")
    image.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="an empty folder, or none yet"
    )


def _add_token(verb: _Parser) -> None:
    verb.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="holds the Hub's token; goes before HF_TOKEN. A token is never an argument",
    )
