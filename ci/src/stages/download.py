"""The stage that turns a lock into weights: fetch, verify, and lay out as plain files."""

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from anyio.to_thread import run_sync

from stages import disk, progress, weights
from stages.cache import Cache
from stages.errors import IntegrityError
from stages.hub import Hub, Remote
from stages.lockfile import File, Lock
from stages.retry import Patience
from stages.stop import Stop
from stages.transfer import Incoming, Transfer

READ = 2**20  # bytes hashed at a time


@dataclass(kw_only=True)
class Download:
    """One run of the stage.

    Attributes:
        hub: Who is asked; not at all when the cache has everything.
        cache: What keeps the bytes between runs.
        look: Where progress is shown, and waiting explained.
        stop: Ends the run early when set.
    """

    hub: Hub
    cache: Cache
    look: progress.Look
    stop: Stop = field(default_factory=Stop)
    patience: Patience = field(default_factory=Patience)

    async def run(self, lock: Lock, out: Path) -> int:
        """Fill `out` with exactly the lock's files; returns the bytes that were missing.

        Raises:
            StagesError: See the class of each; `out` then looks complete only if it was.
        """
        weights.check_folder(lock.model, out)
        self.cache.prepare()
        with ExitStack() as held:
            await run_sync(
                held.enter_context, self.cache.held(waiting=self._waiting, stop=self.stop)
            )
            files = _distinct(lock.model.files)
            await run_sync(self._forget_broken, files)
            wanted = [file for file in files if not self.cache.path(file).exists()]
            missing = await run_sync(self._prepare, lock, wanted, out, abandon_on_cancel=True)
            suspect = await self._fetch(lock, wanted)
            if suspect:
                await self._fetch(lock, suspect)
            await run_sync(weights.assemble, lock.model, self.cache, out, abandon_on_cancel=True)
        return missing

    def _waiting(self) -> None:
        self._say(f"another download uses {self.cache.folder}: waiting until it ends")

    def _say(self, text: str) -> None:
        if self.look.mode is not progress.Mode.NONE:
            print(text, file=self.look.out, flush=True)

    def _forget_broken(self, files: list[File]) -> None:
        """Hash what the cache has whole, and drop what is no longer what it was."""
        for file in files:
            path = self.cache.path(file)
            if path.exists() and self._sha256(path) != file.sha256:
                self._say(f"{file.path} in the cache has changed: fetching it again")
                self.cache.forget(file)

    def _sha256(self, path: Path) -> str:
        hasher = hashlib.sha256()
        with path.open("rb", buffering=0) as opened:
            while piece := opened.read(READ):
                hasher.update(piece)
                self.stop.check()
        return hasher.hexdigest()

    def _prepare(self, lock: Lock, wanted: list[File], out: Path) -> int:
        """Fail before the first byte on all that can be known by then.

        Returns:
            How many bytes must be fetched.
        """
        missing = sum(self.cache.missing(file) for file in wanted)
        needs = [disk.Need(self.cache.folder, missing)]
        if not disk.same_device(self.cache.folder, out):
            needs.append(disk.Need(out, lock.model.size))
        if wanted:
            self._check_hub(lock)
        disk.check(needs)
        return missing

    def _check_hub(self, lock: Lock) -> None:
        """Ask the Hub for the lock's commit and files, and whether they may be fetched."""
        model = lock.model
        repository = self.hub.repository(model.name, model.commit)
        if repository.commit != model.commit:
            raise IntegrityError(
                f"{model.name}: asked for commit {model.commit}, the Hub answers with "
                f"{repository.commit}. Run `lock` again and review what changed"
            )
        entries = {entry.path: entry for entry in repository.entries}
        for file in model.files:
            entry = entries.get(file.path)
            seen = None if entry is None else (entry.size, entry.sha256 or file.sha256)
            if seen != (file.size, file.sha256):
                raise IntegrityError(
                    f"{model.name} at {model.commit}: {file.path} is not what the lock says "
                    f"({file.size} bytes, sha256 {file.sha256}); the Hub lists "
                    f"{'no such file' if seen is None else f'{seen[0]} bytes, sha256 {seen[1]}'}. "
                    "Run `lock` again and review what changed"
                )
        self.hub.check_access(model.name, model.commit, model.files[0].path)

    async def _fetch(self, lock: Lock, wanted: list[File]) -> list[File]:
        """Fetch files into the cache; returns those that must be fetched anew."""
        with ExitStack() as opened:
            incoming = [
                Incoming(
                    file=file,
                    remote=Remote(lock.model.name, lock.model.commit, file.path),
                    partial=opened.enter_context(self.cache.partial(file)),
                )
                for file in sorted(wanted, key=lambda file: -file.size)
            ]
            transfer = Transfer(
                hub=self.hub,
                cache=self.cache,
                incoming=incoming,
                stop=self.stop,
                patience=self.patience,
            )
            total = sum(file.size for file in wanted)
            await progress.shown(self.look, transfer.run, total=total, count=lambda: transfer.count)
        return transfer.suspect


def _distinct(files: tuple[File, ...]) -> list[File]:
    """List each content once: two files of a model may have the same bytes."""
    return list({file.sha256: file for file in files}.values())
