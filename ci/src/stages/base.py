"""The base as we need it: the manifest and configuration of one image, never its layers.

Both come from a registry or an OCI image layout, by digest, and are hostile until read here.
See https://github.com/opencontainers/image-spec/blob/main/manifest.md and, for Docker's,
https://distribution.github.io/distribution/spec/manifest-v2-2/
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from stages.errors import (
    AnswerError,
    IntegrityError,
    NotFoundError,
    UnsuitableError,
    UsageError,
)
from stages.lockfile import Base
from stages.names import DIGEST
from stages.reference import Reference
from stages.registry import Registry

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
INDEXES = {OCI_INDEX, "application/vnd.docker.distribution.manifest.list.v2+json"}
MANIFESTS = {OCI_MANIFEST, "application/vnd.docker.distribution.manifest.v2+json"}
# What a layer is called -> what an OCI manifest calls the same bytes.
LAYERS = {
    OCI_LAYER: OCI_LAYER,
    f"{OCI_LAYER}+gzip": f"{OCI_LAYER}+gzip",
    f"{OCI_LAYER}+zstd": f"{OCI_LAYER}+zstd",
    "application/vnd.docker.image.rootfs.diff.tar": OCI_LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": f"{OCI_LAYER}+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": f"{OCI_LAYER}+zstd",
}
OS, ARCHITECTURE = "linux", "amd64"
LARGEST = 8 * 2**20  # bytes of a manifest or configuration


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """A blob by media type, digest and size in bytes, with what is said of it."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BaseImage:
    """One image for linux/amd64.

    Attributes:
        layers: Their media types are OCI's, whatever the base calls them.
        config: The configuration, with one sound diff_id for each layer.
    """

    layers: tuple[Descriptor, ...]
    config: Mapping[str, Any]


class Source(Protocol):
    """Where small blobs can be read by digest."""

    def manifest(self, digest: str) -> bytes:
        """Give an index's or a manifest's bytes, at most 8 MiB."""

    def config(self, digest: str) -> bytes:
        """Give a configuration's bytes, at most 8 MiB."""


@dataclass(frozen=True)
class InRegistry:
    """A repository of a registry."""

    registry: Registry
    reference: Reference

    def manifest(self, digest: str) -> bytes:
        """Ask for a manifest."""
        return self.registry.manifest(self.reference, digest, most=LARGEST)

    def config(self, digest: str) -> bytes:
        """Ask for a blob."""
        return self.registry.blob(self.reference, digest, most=LARGEST)

    def __str__(self) -> str:
        """Name the repository as a reader would."""
        return f"{self.reference.host}/{self.reference.repository}"


@dataclass(frozen=True)
class InLayout:
    """An OCI image layout on this machine. See https://specs.opencontainers.org/image-spec/image-layout/."""

    folder: Path

    def manifest(self, digest: str) -> bytes:
        """Read a blob."""
        if not (self.folder / "oci-layout").is_file():
            raise NotFoundError(f"{self}: there is no OCI image layout, it has no file oci-layout")
        return self.config(digest)

    def config(self, digest: str) -> bytes:
        """Read a blob."""
        path = self.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
        try:
            with path.open("rb") as file:
                return file.read(LARGEST + 1)
        except OSError as error:
            raise NotFoundError(
                f"{self} does not hold {digest}, which the lock says: {error.strerror}. "
                "Name the layout of that very base, or run `lock` with another base"
            ) from error

    def __str__(self) -> str:
        """Name the folder as --base takes it."""
        return f"oci:{self.folder}"


def find(place: Reference | Path, *, locked: Base, registry: Registry) -> Source:
    """Give the source of the lock's base: a repository, or the folder of an OCI image layout.

    Raises:
        UsageError: The place is named with another digest than the lock's.
    """
    if isinstance(place, Path):
        return InLayout(place)
    if place.digest not in {None, locked.digest}:
        raise UsageError(
            f"--base: {place} is not the lock's base {locked.digest}. --base says only where "
            "that is read; run `lock --base` to stand on another"
        )
    return InRegistry(registry, place)


def read(source: Source, digest: str, *, what: str = "the base") -> BaseImage:
    """Read the base that `digest` names; of an index, what it lists for linux/amd64.

    Args:
        source: Where its manifest and configuration lie.
        digest: Names the index or manifest.
        what: What messages call it.

    Raises:
        IntegrityError: What was read has another digest.
        UnsuitableError: The base cannot be stood on: another platform, layers that may not be
            passed on, or a kind of image that is not known.
        AnswerError: Its manifest or configuration is not sound.
        StagesError: As the source.
    """
    where = f"{what} {digest} in {source}"
    manifest = _json(source.manifest(digest), digest, where)
    if _kind(manifest, where) in INDEXES:
        digest = _platform(manifest, where)
        manifest = _json(source.manifest(digest), digest, where)
    if _kind(manifest, where) not in MANIFESTS:
        raise UnsuitableError(f"{where} is neither an OCI image nor one of Docker's schema 2")
    try:
        layers = tuple(_layer(one, where) for one in manifest["layers"])
        config = _json(
            source.config(_digest(manifest["config"])), manifest["config"]["digest"], where
        )
        diff_ids = [_digest({"digest": one}) for one in config["rootfs"]["diff_ids"]]
        _check_shape(config)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnswerError(f"{where}: its manifest or configuration is not sound") from error
    platform = f"{config.get('os')}/{config.get('architecture')}"
    if platform != f"{OS}/{ARCHITECTURE}":
        raise _other_platform(where, platform)
    if len(diff_ids) != len(layers):
        raise AnswerError(f"{where}: it has {len(layers)} layers and {len(diff_ids)} diff_ids")
    return BaseImage(layers=layers, config=config)


def check_vllm(image: BaseImage, locked: Base) -> None:
    """Refuse a base that nowhere says that it holds vLLM.

    Every image of vLLM's names it in its entrypoint and variables, and one that somebody made by
    installing it says so in its history. Its files are not looked at, since they are not fetched.

    Raises:
        UnsuitableError: Neither its name nor its configuration mentions vLLM.
    """
    told = [image.config.get(key) for key in ("config", "history")]
    if "vllm" not in f"{locked.image} {json.dumps(told)}".lower():
        raise UnsuitableError(
            f"the base {locked.image} does not mention vLLM, neither in its name nor in its "
            "configuration: a server could not start on it. Lock an image of vLLM's, or give "
            "yours a label that says so"
        )


def _json(content: bytes, digest: str, where: str) -> dict[str, Any]:
    """Hold bytes against their digest, and read them as an object."""
    if len(content) > LARGEST:
        raise UnsuitableError(f"{where}: {digest} is larger than 8 MiB")
    found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if found != digest:
        raise IntegrityError(f"{where}: what should be {digest} is {found}")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"{where}: {digest} is not JSON") from error
    if not isinstance(value, dict):
        raise AnswerError(f"{where}: {digest} is not an object")
    return value


def _kind(manifest: dict[str, Any], where: str) -> str:
    """Give the media type, which OCI lets a manifest leave out."""
    kind = manifest.get("mediaType") or (OCI_INDEX if "manifests" in manifest else OCI_MANIFEST)
    if not isinstance(kind, str) or manifest.get("schemaVersion") != 2:  # noqa: PLR2004
        raise UnsuitableError(f"{where} has a manifest of a version that is not known")
    return kind


def _platform(index: dict[str, Any], where: str) -> str:
    """Choose linux/amd64 out of an index."""
    seen = []
    try:
        for one in index["manifests"]:
            platform = one.get("platform") or {}
            name = f"{platform.get('os')}/{platform.get('architecture')}"
            if name == f"{OS}/{ARCHITECTURE}":
                return _digest(one)
            seen.append(name)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnswerError(f"{where}: its index is not sound") from error
    raise _other_platform(where, ", ".join(seen))


def _other_platform(where: str, seen: str) -> UnsuitableError:
    return UnsuitableError(
        f"{where} is for {ascii(seen[:200])[1:-1]}, expected {OS}/{ARCHITECTURE}. "
        "Lock a base that has it"
    )


def _layer(value: dict[str, Any], where: str) -> Descriptor:
    """Read a layer's descriptor; addresses (`urls`) in it are neither followed nor passed on."""
    kind = value["mediaType"]
    if kind not in LAYERS:
        raise UnsuitableError(
            f"{where} has a layer of the kind {ascii(kind)[:200]}, which lies outside registries "
            "or is not known. Lock a base of plain layers"
        )
    size = value["size"]
    if type(size) is not int or size < 0:
        raise ValueError(size)
    annotations = value.get("annotations") or {}
    if any(not isinstance(text, str) for pair in annotations.items() for text in pair):
        raise ValueError(annotations)
    return Descriptor(
        media_type=LAYERS[kind], digest=_digest(value), size=size, annotations=annotations
    )


def _digest(value: dict[str, Any]) -> str:
    digest = value["digest"]
    if not DIGEST.fullmatch(digest):
        raise ValueError(digest)
    return str(digest)


def _check_shape(config: dict[str, Any]) -> None:
    """Refuse a configuration whose parts are not of the kinds that we merge."""
    ours = config.get("config") or {}
    env, history = ours.get("Env") or [], config.get("history") or []
    wrong = (
        any(not isinstance(one, str) for one in env)
        or any(not isinstance(one, dict) for one in history)
        or not all(isinstance(ours.get(key) or {}, dict) for key in ("Labels", "ExposedPorts"))
    )
    if wrong:
        raise ValueError("config")
