"""The stage that makes a thin image: an OCI layout with our blobs, over a base by reference."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stages import base, configuration, disk, layer, lockfile, output, rootfs, verify
from stages.base import BaseImage, Descriptor
from stages.errors import IntegrityError, UnsuitableError
from stages.image import Image, Kind, Layer, Provenance, describe
from stages.layout import Layout
from stages.lockfile import Lock
from stages.rootfs import Tree
from stages.stop import Stop

MOST_LAYERS = 127  # of an image that Docker's overlay file system can mount
MOST_FOR_SERVERLESS = 10 * 10**9  # bytes of model files; beyond, Cloud Run advises storage instead
SMALL = 2**20  # bytes, more than configuration, manifest and index take
_AGAIN = "Run `rootfs` again"


@dataclass(frozen=True, kw_only=True)
class Thin:
    """One run of the stage.

    Attributes:
        under: The lock's base.
        provenance: What the image says of its making.
        ref_name: The name in the layout's index; None gives none.
        known: Weight layers that the lock knows are referred to, and not written.
        cache: A compile cache that the tree does not hold.
    """

    lock: Lock
    under: BaseImage
    provenance: Provenance
    ref_name: str | None
    stop: Stop
    known: bool = False
    cache: Path | None = None

    def make(self, tree: Path, out: Path) -> str:
        """Write the image of a tree into an empty folder, and give its manifest's digest.

        Raises:
            LockError: Weights shall be referred to, and the lock does not know all their layers.
            IntegrityError: Tree or compile cache is not what it says; `out` is left as it was.
            UsageError: There are two compile caches.
            UnsuitableError: The base holds no vLLM, or there would be too many layers.
            StorageError: `out` is not empty or cannot be written.
        """
        output.check(out)
        base.check_vllm(self.under, self.lock.base)
        if self.known:
            rootfs.check_known(self.lock)
        checked = rootfs.read(self.lock, tree, self.stop, known=self.known, cache=self.cache)
        image = describe(
            self.lock, runtime=checked.runtime, cache=checked.cache, provenance=self.provenance
        )
        count = len(self.under.layers) + len(image.layers)
        if count > MOST_LAYERS:
            raise UnsuitableError(
                f"the image would have {count} layers, at most {MOST_LAYERS} can be mounted. "
                "Lock a base with fewer layers"
            )
        written = sum(one.size for one in image.layers if not self._is_known(one))
        disk.check([disk.Need(out, written + SMALL)])
        with output.filling(out):
            return self._write(image, checked, Layout(out, self.stop))

    def _write(self, image: Image, tree: Tree, layout: Layout) -> str:
        layers = [self._layer(one, tree, layout) for one in image.layers]
        config = layout.add(
            [configuration.config(image, self.under, [one.digest for one in layers])]
        )
        described = configuration.configuration(digest=config.digest, size=config.size)
        manifest = layout.add(
            [configuration.manifest(image, self.under, config=described, layers=layers)]
        )
        named = Descriptor(media_type=base.OCI_MANIFEST, digest=manifest.digest, size=manifest.size)
        layout.finish(configuration.index(named, ref_name=self.ref_name))
        return manifest.digest

    def _layer(self, one: Layer, tree: Tree, layout: Layout) -> Descriptor:
        """Write a layer; weights whose layer the lock does not know are hashed file by file too."""
        if self._is_known(one):
            return configuration.layer(one, digest=str(one.digest), size=one.size)
        folder = tree.place(one.home)
        unknown = one.kind in {Kind.WEIGHTS, Kind.MODEL} and one.digest is None
        with ThreadPoolExecutor(1) as beside:
            files = beside.submit(self._check_files, one, folder) if unknown else None
            try:
                blob = layout.add(layer.pack(one.home, one.entries, folder))
            except ValueError as error:
                raise IntegrityError(f"{folder}: {error}. {_AGAIN}") from error
            if files:
                files.result()
        if one.digest not in {None, blob.digest}:
            raise IntegrityError(
                f"{folder}: the layer of {one.entries[0].path} is {blob.digest}, the "
                f"lock says {one.digest}. {_AGAIN}"
            )
        return configuration.layer(one, digest=blob.digest, size=blob.size)

    def _is_known(self, one: Layer) -> bool:
        return self.known and one.digest is not None

    def _check_files(self, one: Layer, folder: Path) -> None:
        known = {file.path: file for file in self.lock.model.files}
        for entry in one.entries:
            path = folder / entry.path
            verify.check(known[entry.path], path, stop=self.stop, advice=_AGAIN)


def warning(lock: lockfile.Lock) -> str | None:
    """Say what is known of an image this large; None when nothing is."""
    if lock.model.size <= MOST_FOR_SERVERLESS:
        return None
    return (
        f"{lock.model.name} has {lock.model.size / 1e9:.1f} GB of files: above 10 GB Cloud Run "
        "itself advises to load a model from storage, not from the image"
    )
