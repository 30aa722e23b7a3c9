"""`image`: a tree and the lock's base -> an OCI image layout."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anyio.to_thread import run_sync

from stages import base, credentials, lockfile, output, reference, settings, thin
from stages.base import BaseImage
from stages.command import options
from stages.command.options import Verb
from stages.credentials import Whose
from stages.errors import UsageError
from stages.hub import open_client
from stages.image import Provenance
from stages.lockfile import Lock
from stages.reference import Reference
from stages.registry import Registry
from stages.stop import Stop

LONGEST_SAID = 1024  # characters of a label


@dataclass(frozen=True, kw_only=True)
class ImageArguments:
    """What `image` was asked.

    Attributes:
        base: Where the lock's base is read: a repository or an OCI image layout; None where the
            lock says.
        compile_cache: Goes into the image beside the tree; None where it lies in it, or is none.
        known: Weight layers that the lock knows are referred to, and not written.
    """

    lock: Path
    rootfs: Path
    compile_cache: Path | None
    base: Reference | Path | None
    created: str | None
    revision: str | None
    source: str | None
    version: str | None
    ref_name: str | None
    known: bool
    out: Path


def describe(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    options.lock(parser)
    parser.add_argument(
        "--rootfs", type=Path, required=True, metavar="DIR", help="the tree that `rootfs` wrote"
    )
    parser.add_argument(
        "--compile-cache",
        type=Path,
        metavar="DIR",
        help="the folder that `bake` wrote, where the tree holds none [none]",
    )
    options.base(parser)
    parser.add_argument(
        "--known",
        action="store_true",
        help="refer to the weight layers that the lock knows, without writing them",
    )
    making(parser)
    parser.add_argument("--ref-name", metavar="NAME", help="name of the image in the layout")
    options.out(parser)


def making(parser: argparse.ArgumentParser) -> None:
    """Add what the image shall say of its making."""
    parser.add_argument(
        "--created",
        metavar="TIME",
        help="seconds since 1970, or like 2026-01-31T12:00:00Z [SOURCE_DATE_EPOCH, else 0]",
    )
    parser.add_argument("--revision", metavar="COMMIT", help="commit of the sources, for a label")
    parser.add_argument("--source", metavar="URL", help="address of the sources, for a label")
    parser.add_argument("--version", metavar="TEXT", help="version of the image, for a label")


def read(found: argparse.Namespace) -> ImageArguments:
    """Read the verb's arguments, naming every problem."""
    said = {name: getattr(found, name) for name in ("revision", "source", "version", "ref_name")}
    problems = [
        f"--{name.replace('_', '-')} is {text[:100]!a}, expected one line of text"
        for name, text in said.items()
        if text is not None and not (0 < len(text) <= LONGEST_SAID and text.isprintable())
    ]
    place = options.place(found.base, problems)
    if problems:
        raise UsageError("; ".join(problems))
    return ImageArguments(
        lock=found.lock,
        rootfs=found.rootfs,
        compile_cache=found.compile_cache,
        base=place,
        created=found.created,
        known=found.known,
        out=found.out,
        **said,
    )


def prepare(arguments: ImageArguments, environ: Mapping[str, str], stop: Stop) -> Verb:
    """Read when the image was made; for whom the login is, the lock says."""
    created = settings.created(environ, arguments.created)
    return partial(_run, arguments, environ, created, stop)


def read_base(place: Reference | Path, lock: Lock, environ: Mapping[str, str]) -> BaseImage:
    """Read the lock's base, as who we are to its registry.

    Raises:
        StagesError: It is not there, or cannot be stood on; see `base.read`.
    """
    login = None
    if isinstance(place, Reference):
        login = credentials.find(environ, place.host, whose=Whose.BASE)
    with open_client() as client:
        source = base.find(place, locked=lock.base, registry=Registry(client, login=login))
        return base.read(source, lock.base.digest)


async def _run(
    arguments: ImageArguments, environ: Mapping[str, str], created: int, stop: Stop
) -> None:
    lock = lockfile.read(arguments.lock)
    place = arguments.base or reference.parse(lock.base.image)
    if text := thin.warning(lock):
        sys.stderr.write(f"stages: warning: {text}\n")
    output.check(arguments.out)
    under = await run_sync(read_base, place, lock, environ, abandon_on_cancel=True)
    provenance = Provenance(
        created=created,
        revision=arguments.revision,
        source=arguments.source,
        version=arguments.version,
    )
    image = thin.Thin(
        lock=lock,
        under=under,
        provenance=provenance,
        ref_name=arguments.ref_name,
        stop=stop,
        known=arguments.known,
        cache=arguments.compile_cache,
    )
    digest = await run_sync(image.make, arguments.rootfs, arguments.out)
    sys.stdout.write(f"{digest}\n")
