"""`python -m stages VERB`: every stage as a program of its own.

Exit codes: 0 done; 2 an expected failure, with a message only; 1 a bug, with a traceback. A stop by
signal ends the process by that signal.
"""

import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial

import anyio
from anyio.to_thread import run_sync

from stages import base, lockfile, output, progress, reference, rootfs, settings, thin
from stages.arguments import (
    Arguments,
    DownloadArguments,
    ImageArguments,
    LockArguments,
    RootfsArguments,
    parse,
)
from stages.cache import Cache
from stages.companion import accompanied
from stages.download import Download
from stages.errors import LeakError, LockError, StagesError
from stages.hub import Hub, open_client
from stages.image import Provenance
from stages.lock import Locked, Locker, with_digests, with_known_digests, write
from stages.registry import Registry
from stages.scan import given, report
from stages.scan import image as scanned
from stages.scan.arguments import ScanArguments
from stages.settings import Settings
from stages.stop import Stop

Verb = Callable[[], Coroutine[object, object, None]]
EXPECTED = 2  # exit code of a failure that its message explains


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one verb and give the exit code."""
    stop = Stop()
    try:
        verb = _verb(parse(argv), environ, stop)
        received = anyio.run(_until_signalled, verb, stop)
    except StagesError as error:
        sys.stderr.write(f"stages: {error}\n")
        return EXPECTED
    if received is not None:
        sys.stderr.write("stages: stopped\n")
        signal.signal(received, signal.SIG_DFL)
        os.kill(os.getpid(), received)
    return 0


def _verb(arguments: Arguments, environ: Mapping[str, str], stop: Stop) -> Verb:
    """Choose what to run, once all of the environment that it needs has been read."""
    if isinstance(arguments, ScanArguments):
        return partial(run_sync, _scan, arguments, environ, abandon_on_cancel=True)
    if isinstance(arguments, RootfsArguments):
        return partial(_rootfs, arguments, stop)
    if isinstance(arguments, ImageArguments):
        return partial(_image, arguments, settings.created(environ, arguments.created), stop)
    found = settings.parse(environ, token_file=arguments.token_file)
    if isinstance(arguments, LockArguments):
        return partial(_lock, arguments, found)
    return partial(_download, arguments, found, stop)


async def _until_signalled(verb: Verb, stop: Stop) -> signal.Signals | None:
    """Run a verb; on SIGINT or SIGTERM stop it, and give the signal."""
    received: list[signal.Signals] = []

    async def watch() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                received.append(number)
                stop.set()
                return

    try:
        await accompanied(verb, by=watch)
    except StagesError:
        if not received:
            raise
    return received[0] if received else None


async def _lock(arguments: LockArguments, found: Settings) -> None:
    await run_sync(_lock_blocking, arguments, found, abandon_on_cancel=True)


def _lock_blocking(arguments: LockArguments, found: Settings) -> None:
    with open_client() as client:
        locker = Locker(hub=Hub(client, found.endpoint, found.token), registry=Registry(client))
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


async def _download(arguments: DownloadArguments, found: Settings, stop: Stop) -> None:
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


async def _rootfs(arguments: RootfsArguments, stop: Stop) -> None:
    lock = lockfile.read(arguments.lock)
    make = partial(
        rootfs.make,
        lock,
        weights=arguments.weights,
        runtime=arguments.runtime,
        cache=arguments.compile_cache,
        out=arguments.out,
        stop=stop,
    )
    tree = await run_sync(make)
    cache = f", {len(tree.cache)} of compile cache" if tree.cache else ""
    sys.stdout.write(
        f"wrote {arguments.out}: {len(lock.model.files)} files of {lock.model.name}, "
        f"{len(tree.runtime)} of the runtime{cache}\n"
    )


async def _image(arguments: ImageArguments, created: int, stop: Stop) -> None:
    lock = lockfile.read(arguments.lock)
    place = arguments.base or reference.parse(lock.base.image)
    if text := thin.warning(lock):
        sys.stderr.write(f"stages: warning: {text}\n")
    output.check(arguments.out)
    with open_client() as client:
        source = base.find(place, locked=lock.base, registry=Registry(client))
        under = await run_sync(base.read, source, lock.base.digest, abandon_on_cancel=True)
    provenance = Provenance(
        created=created,
        revision=arguments.revision,
        source=arguments.source,
        version=arguments.version,
    )
    image = thin.Thin(
        lock=lock, under=under, provenance=provenance, ref_name=arguments.ref_name, stop=stop
    )
    digest = await run_sync(image.make, arguments.rootfs, arguments.out)
    sys.stdout.write(f"{digest}\n")


def _scan(arguments: ScanArguments, environ: Mapping[str, str]) -> None:
    secrets = given.read(environ, files=arguments.secret_files, names=arguments.secret_names)
    lock = lockfile.read(arguments.lock) if arguments.lock else None
    found = scanned.scan(arguments.layout, lock=lock, secrets=secrets, logs=arguments.logs)
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
