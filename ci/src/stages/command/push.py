"""`push`: an image layout and its reports -> a registry's reference to it."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from stages import credentials, lockfile, reference, release
from stages.command import options
from stages.command.options import Verb
from stages.credentials import Whose
from stages.errors import IntegrityError, UsageError
from stages.hub import open_client
from stages.image import OCI
from stages.lockfile import Lock
from stages.push import From, Push
from stages.reference import Reference
from stages.registry import Registry
from stages.registry.target import Target
from stages.scan import layout
from stages.scan.layout import Layout
from stages.stop import Stop

BASE_NAME = f"{OCI}.base.name"  # the annotation that says where the base lies
SINGLE, CHUNKED = "single", "chunked"
ENVIRONMENT = (
    "environment: REGISTRY_USERNAME with REGISTRY_PASSWORD or REGISTRY_PASSWORD_FILE, the same "
    "with BASE_ before it for the base's registry, else DOCKER_CONFIG"
)


@dataclass(frozen=True, kw_only=True)
class PushArguments:
    """What `push` was asked.

    Attributes:
        targets: Names of one repository, each with another tag.
        lock: Holds the image to a lock; None holds it to none.
        base: Where the base's blobs are; None where the lock, or else the image, says.
        mounts: More repositories of the target's registry to mount blobs from.
    """

    layout: Path
    targets: tuple[Reference, ...]
    report: Path
    scan: Path
    lock: Path | None
    base: Reference | Path | None
    mounts: tuple[Reference, ...]
    in_chunks: bool


def describe(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes. A password is never an argument."""
    parser.add_argument("layout", type=Path, metavar="LAYOUT", help="folder that `image` wrote")
    where(parser)
    parser.add_argument(
        "--report", type=Path, required=True, metavar="FILE", help="what `smoke` wrote of it"
    )
    parser.add_argument(
        "--scan", type=Path, required=True, metavar="FILE", help="what `scan` wrote of it"
    )
    parser.add_argument(
        "--lock", type=Path, metavar="FILE", help="lock that the image must be of [not looked at]"
    )
    options.base(parser)
    parser.epilog = ENVIRONMENT


def where(parser: argparse.ArgumentParser) -> None:
    """Add where the image goes, and how."""
    parser.add_argument(
        "targets",
        nargs="+",
        metavar="TARGET",
        help="HOST/REPOSITORY:TAG; more tags of one repository can follow",
    )
    parser.add_argument(
        "--mount-from",
        action="append",
        default=[],
        metavar="REPO",
        help="HOST/REPOSITORY of the same registry that may hold blobs; can be repeated",
    )
    parser.add_argument(
        "--uploads",
        choices=[SINGLE, CHUNKED],
        default=SINGLE,
        help="a request a blob, or chunks that go on after a failure [single]",
    )


def read(found: argparse.Namespace) -> PushArguments:
    """Read the verb's arguments, naming every problem."""
    problems: list[str] = []
    targets = _targets(found.targets, problems)
    place = options.place(found.base, problems)
    mounts = _mounts(found.mount_from, targets, problems)
    if problems:
        raise UsageError("; ".join(problems))
    return PushArguments(
        layout=found.layout,
        targets=targets,
        report=found.report,
        scan=found.scan,
        lock=found.lock,
        base=place,
        mounts=mounts,
        in_chunks=found.uploads == CHUNKED,
    )


def prepare(arguments: PushArguments, environ: Mapping[str, str], stop: Stop) -> Verb:
    """Keep the environment, which may hold logins; whose, the image says."""
    return partial(_run, arguments, environ, stop)


async def _run(arguments: PushArguments, environ: Mapping[str, str], stop: Stop) -> None:
    image = layout.read(arguments.layout)
    proof = release.check(
        image,
        smoke=release.read(arguments.report, "--report", verb="smoke"),
        scan=release.read(arguments.scan, "--scan", verb="scan"),
    )
    lock = lockfile.read(arguments.lock) if arguments.lock else None
    if lock:
        _hold(image, lock)
    base = arguments.base or _base(image, lock)
    _tell(f"the smoke test passed at level {proof.level}")
    for one in proof.not_shown:
        _tell(f"not shown at this level: {one}")
    first = replace(arguments.targets[0], tag=None)
    login = credentials.find(environ, first.host, whose=Whose.TARGET)
    base_login = None
    if isinstance(base, Reference):
        base_login = credentials.find(environ, base.host, whose=Whose.BASE)
        if base_login is None and login and login.host == base.host:
            base_login = login
    with open_client() as client:
        push = Push(
            image=image,
            target=Target(Registry(client, login=login), first),
            tags=tuple(one.tag or "" for one in arguments.targets),
            sources=From(
                base=base,
                registry=Registry(client, login=base_login),
                mounts=arguments.mounts,
            ),
            stop=stop,
            tell=_tell,
            in_chunks=arguments.in_chunks,
        )
        await push.run()
    for target in arguments.targets:
        sys.stdout.write(f"{replace(target, digest=image.manifest)}\n")


def _hold(image: Layout, lock: Lock) -> None:
    """Refuse an image that lacks a layer which the lock knows."""
    known = {one.digest for one in lock.model.layers if one.digest}
    if other := known - {one.digest for one in image.layers}:
        raise IntegrityError(
            f"the image does not hold layer {min(other)}, which the lock names: make the image of "
            "this lock"
        )


def _base(image: Layout, lock: Lock | None) -> Reference | None:
    """Say where the base lies, as the lock or else the image has it; None if neither does."""
    said = image.texts[image.manifest].get("annotations") or {}
    name: Any = said.get(BASE_NAME) if isinstance(said, dict) else None
    try:
        return reference.parse(lock.base.image if lock else name)
    except (TypeError, ValueError):
        return None


def _targets(texts: Sequence[str], problems: list[str]) -> tuple[Reference, ...]:
    """Read the targets: one repository, and a tag for each."""
    found = []
    for text in texts:
        try:
            found.append(reference.parse(text))
        except ValueError as error:
            problems.append(f"TARGET: {error}")
            continue
        if not found[-1].tag or found[-1].digest:
            problems.append(f"TARGET: {text!a} needs a tag, and no digest: HOST/REPOSITORY:TAG")
    if len({(one.host, one.repository) for one in found}) > 1:
        problems.append("TARGET: all must be tags of one repository; push to each on its own")
    return tuple(found)


def _mounts(
    texts: Sequence[str], targets: Sequence[Reference], problems: list[str]
) -> tuple[Reference, ...]:
    """Read where else blobs may lie: in the target's registry, or they could not be mounted."""
    found = []
    for text in texts:
        try:
            one = reference.parse(text)
        except ValueError as error:
            problems.append(f"--mount-from: {error}")
            continue
        if targets and one.host != targets[0].host:
            problems.append(
                f"--mount-from: {one.host}/{one.repository} is not in the target's registry; "
                f"expected {targets[0].host}/REPOSITORY"
            )
        found.append(replace(one, tag=None, digest=None))
    return tuple(found)


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
