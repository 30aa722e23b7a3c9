"""The stage that pushes an image: every blob, then the manifest, all of it read back, then tags.

A blob that the registry has is not sent; one that lies elsewhere in the same registry is mounted;
a blob of a base elsewhere streams from there. A tag is written when all that it stands for is
known to be there, so a push that is broken off leaves no tag that names what is not.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from stages import cargo, progress
from stages.cargo import Item, Place
from stages.errors import IntegrityError, NotFoundError, UsageError
from stages.parallel import together
from stages.reference import Reference
from stages.registry import Registry
from stages.registry.blob import Blob, InFile, InRegistry
from stages.registry.target import Target
from stages.registry.upload import Uploads
from stages.retry import persist
from stages.scan import layout
from stages.scan.layout import LARGEST_TEXT, Layout
from stages.stop import Stop

STREAMS = 4  # blobs on their way at a time
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class From:
    """Where blobs come from that the layout does not hold.

    Attributes:
        base: A repository, or the folder of an OCI image layout; None where nobody has said.
        registry: Reads the base, with the base's own login.
        mounts: More repositories of the target's registry to mount from.
    """

    base: Reference | Path | None
    registry: Registry
    mounts: tuple[Reference, ...] = ()

    def mountable(self, item: Item, target: Reference) -> list[Reference]:
        """List where in the target's own registry a blob may lie."""
        places = list(self.mounts)
        if item.place is Place.BASE and isinstance(self.base, Reference):
            places.insert(0, self.base)
        wanted = [one for one in places if one.host == target.host]
        return [one for one in wanted if one.repository != target.repository]


@dataclass(frozen=True, kw_only=True)
class Push:
    """One run of the stage.

    Attributes:
        tell: Receives a line for each blob that has arrived.
    """

    image: Layout
    target: Target
    tags: tuple[str, ...]
    sources: From
    stop: Stop
    tell: Callable[[str], None]
    in_chunks: bool = False

    async def run(self) -> None:
        """Push the image, and have every tag name it.

        Raises:
            IntegrityError: The layout is not sound, or the registry gives back other bytes.
            NotFoundError: A blob is nowhere.
            AccessError, AnswerError, UnreachableError: The registry refuses, or does not answer.
        """
        items = cargo.items(self.image, there=lambda one: self.image.path(one).exists())
        uploads = Uploads(self.target, self.stop, self.in_chunks)
        await self._each(items, lambda item: self._deliver(item, uploads))
        await together([self._put_manifest], stop=self.stop)
        await self._each(items, self._check)
        await together([self._put_tags], stop=self.stop)

    async def _each(self, items: list[Item], work: Callable[[Item], None]) -> None:
        """Do the same for every blob, several at a time."""
        queue = deque(items)

        def worker() -> None:
            while True:
                self.stop.check()
                try:
                    item = queue.popleft()
                except IndexError:
                    return
                work(item)

        await together([worker] * min(STREAMS, len(items)), stop=self.stop)

    def _deliver(self, item: Item, uploads: Uploads) -> None:
        """Bring one blob to where it is not yet."""
        how, session = self._persist(lambda: self._found(item))
        if not how:
            uploads.send(self._blob(item), session)
            how = "streamed from the base" if item.place is Place.BASE else "uploaded"
        self.tell(f"{item.digest}  {progress.size(item.size)}  {how}")

    def _found(self, item: Item) -> tuple[str, str | None]:
        """Look for a blob in the registry, once; say how it is there, or where to send it."""
        if self.target.has(item.digest, size=item.size):
            return "is there", None
        session = None
        for place in self.sources.mountable(item, self.target.reference):
            mounted, session = self.target.mount(item.digest, source=place)
            if mounted and self.target.has(item.digest, size=item.size):
                return f"mounted from {place.repository}", None
        return "", session

    def _blob(self, item: Item) -> Blob:
        """Find a blob's bytes.

        Raises:
            NotFoundError, UsageError: Nobody has them.
        """
        digest, size, base = item.digest, item.size, self.sources.base
        if item.place is Place.LAYOUT:
            return InFile(digest=digest, size=size, path=self.image.path(digest))
        if item.place is Place.KNOWN:
            raise NotFoundError(
                f"{self.target} does not hold the weights' layer {digest} "
                f"({progress.size(size)}), and the layout only refers to it. Run `download`, and "
                "then `rootfs` and `image` without --known, or name a repository of the same "
                "registry that holds it with --mount-from"
            )
        if base is None:
            raise UsageError(
                f"the base's layer {digest} is not in {self.target}, and the image does not say "
                "where its base lies: name it with --base"
            )
        if isinstance(base, Path):
            return InFile(digest=digest, size=size, path=layout.blob_path(base, digest))
        registry = self.sources.registry
        return InRegistry(digest=digest, size=size, reference=base, registry=registry)

    def _put_manifest(self) -> None:
        """Push the manifest by its digest, and read it and the configuration back."""
        self._put(self.image.manifest)
        target, most = self.target, LARGEST_TEXT
        seen = self._persist(lambda: target.blob(self.image.config, most=most))
        self._hold(seen, self.image.config)

    def _put_tags(self) -> None:
        for tag in self.tags:
            self._put(tag)

    def _put(self, name: str) -> None:
        """Write the manifest under a name, and read it back."""
        path = self.image.path(self.image.manifest)
        content, kind = path.read_bytes(), self.image.kind
        self._persist(lambda: self.target.put_manifest(content, kind, name))
        seen = self._persist(lambda: self.target.manifest(kind, name, most=LARGEST_TEXT))
        self._hold(seen, self.image.manifest)

    def _check(self, item: Item) -> None:
        """Ask for a blob once more, now that the manifest names it."""
        if not self._persist(lambda: self.target.has(item.digest, size=item.size)):
            raise IntegrityError(
                f"{self.target} took blob {item.digest} and does not hold it: no tag was written. "
                "Look for what deletes there, and run the same command again"
            )

    def _hold(self, seen: str, wanted: str) -> None:
        if seen != wanted:
            raise IntegrityError(
                f"{self.target} gives back {seen} for {wanted}. Do not trust this registry, or a "
                "proxy before it"
            )

    def _persist(self, work: Callable[[], T]) -> T:
        return persist(work, self.target.attempts(self.stop))
