"""Reading an OCI image layout, thin or whole. Every blob that is read is held to its digest.

See https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.errors import IntegrityError
from stages.names import DIGEST

LARGEST_TEXT = 16 * 2**20  # bytes of an index, a manifest or a configuration
OURS = "prewarm: "  # begins what the history says of a layer that is not the base's
_MANIFESTS = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A layer as the manifest names it, its diff_id, and whether it is surely ours."""

    digest: str
    size: int
    diff_id: str
    ours: bool


@dataclass(frozen=True, kw_only=True)
class Layout:
    """An image layout whose index, manifest and configuration are sound.

    Attributes:
        texts: Digest, or `index.json` -> the JSON value: index, manifest and configuration.
    """

    folder: Path
    manifest: str
    config: str
    texts: dict[str, Any]
    layers: tuple[Blob, ...]

    @property
    def kind(self) -> str:
        """The manifest's media type."""
        found: str = self.texts["index.json"]["manifests"][0]["mediaType"]
        return found

    def path(self, digest: str) -> Path:
        """Say where a blob lies."""
        return blob_path(self.folder, digest)

    def others(self) -> list[str]:
        """List the digests of blobs that the manifest does not name."""
        named = {self.manifest, self.config, *(one.digest for one in self.layers)}
        found = sorted((self.folder / "blobs" / "sha256").iterdir())
        return [f"sha256:{path.name}" for path in found if f"sha256:{path.name}" not in named]


def blob_path(folder: Path, digest: str) -> Path:
    """Say where a blob lies in a layout."""
    return folder / "blobs" / Path(*digest.split(":"))


def read(folder: Path) -> Layout:
    """Read and check a layout's index, manifest and configuration.

    Raises:
        IntegrityError: It is no layout, holds no single image, or a digest does not match.
    """
    if not (folder / "oci-layout").is_file():
        raise IntegrityError(f"{folder} is no OCI image layout: `image` writes one")
    index = _json(_bytes(folder / "index.json"), "index.json")
    entry = _only_manifest(index)
    manifest_digest = _digest(entry, "index.json")
    manifest = _blob(folder, entry, "the manifest")
    config_entry = _member(manifest, "config", dict, "the manifest")
    config = _blob(folder, config_entry, "the configuration")
    layers = tuple(_layers(manifest, config))
    _check_base_first(folder, layers)
    config_digest = _digest(config_entry, "the manifest")
    return Layout(
        folder=folder,
        manifest=manifest_digest,
        config=config_digest,
        texts={"index.json": index, manifest_digest: manifest, config_digest: config},
        layers=layers,
    )


def check(layout: Layout, digest: str, size: int) -> None:
    """Hold a blob to its digest and size.

    Raises:
        IntegrityError: They differ, or it cannot be read.
    """
    try:
        with layout.path(digest).open("rb") as file:
            found = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
            length = file.tell()
    except OSError as error:
        raise IntegrityError(f"blob {digest} cannot be read: {error.strerror}") from error
    if (found, length) != (digest, size):
        raise IntegrityError(
            f"blob {digest} is {found} with {length} bytes, the manifest says {size} bytes: "
            "make the layout again"
        )


def _only_manifest(index: dict[str, Any]) -> dict[str, Any]:
    entries = _member(index, "manifests", list, "index.json")
    if len(entries) != 1 or not isinstance(entries[0], dict):
        raise IntegrityError(f"index.json names {len(entries)} images, expected one")
    if entries[0].get("mediaType") not in _MANIFESTS:
        raise IntegrityError("index.json does not name an image manifest: expected one image")
    only: dict[str, Any] = entries[0]
    return only


def _layers(manifest: dict[str, Any], config: dict[str, Any]) -> Iterator[Blob]:
    """Join what manifest and configuration say of each layer."""
    entries = _member(manifest, "layers", list, "the manifest")
    rootfs = _member(config, "rootfs", dict, "the configuration")
    diff_ids = _member(rootfs, "diff_ids", list, "the configuration's rootfs")
    if len(entries) != len(diff_ids):
        raise IntegrityError(
            f"the manifest names {len(entries)} layers and the configuration {len(diff_ids)}"
        )
    told = _told(config)
    for number, (entry, diff_id) in enumerate(zip(entries, diff_ids, strict=True)):
        if not isinstance(entry, dict) or not _is_digest(diff_id):
            raise IntegrityError(f"layer {number} has no sound descriptor or diff_id")
        yield Blob(
            digest=_digest(entry, f"layer {number}"),
            size=_member(entry, "size", int, f"layer {number}"),
            diff_id=diff_id,
            ours=len(told) == len(entries) and told[number].startswith(OURS),
        )


def _told(config: dict[str, Any]) -> list[str]:
    """List what the history says of each layer."""
    history = config.get("history") or []
    if not isinstance(history, list) or not all(isinstance(one, dict) for one in history):
        raise IntegrityError("the configuration's history is not a list of objects")
    return [str(one.get("created_by", "")) for one in history if not one.get("empty_layer")]


def _check_base_first(folder: Path, layers: tuple[Blob, ...]) -> None:
    """Refuse a configuration with a layer of the base above one of ours."""
    if [one.ours for one in layers] != sorted(one.ours for one in layers):
        raise IntegrityError(f"{folder}: a layer of the base lies above one of ours")


def _blob(folder: Path, entry: dict[str, Any], what: str) -> dict[str, Any]:
    """Read a JSON blob, held to its descriptor."""
    digest = _digest(entry, what)
    content = _bytes(blob_path(folder, digest))
    found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if found != digest or entry.get("size") != len(content):
        raise IntegrityError(
            f"{what} {digest} is {found} with {len(content)} bytes: make the layout again"
        )
    return _json(content, what)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_TEXT + 1)
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > LARGEST_TEXT:
        raise IntegrityError(f"{path} is larger than 16 MiB")
    return content


def _json(content: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(content, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{what} is not sound JSON") from error
    if not isinstance(value, dict):
        raise IntegrityError(f"{what} is not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that names a key twice, whose first value would not be looked at."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object names a key twice")
    return value


def _member(value: dict[str, Any], key: str, kind: type, where: str) -> Any:
    if not isinstance(value.get(key), kind):
        raise IntegrityError(f"{where} has no sound {key}")
    return value[key]


def _digest(entry: dict[str, Any], where: str) -> str:
    if not _is_digest(digest := entry.get("digest")):
        raise IntegrityError(f"{where} has no sha256 digest")
    return str(digest)


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and DIGEST.fullmatch(value) is not None
