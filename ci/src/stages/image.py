"""The image as data: what is in it, in which order, how it starts, and what it says of itself.

The one home of these facts: whatever makes the image, makes it from this description.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import PurePosixPath
from types import MappingProxyType

from stages import layer, lockfile
from stages.lockfile import CONFIG, Base, File, Lock

HF_HOME = layer.MODELS.parent
PREWARM = PurePosixPath("opt/prewarm")
RUNTIME = PREWARM / "runtime"
CACHE = PREWARM / "compile-cache"
USER = "prewarm"  # what libraries are told; no base need know the name
PORT = 8000
RUNTIME_LAYER = 96 * 1024  # bytes that a layer of our code keeps within, unless it is one file
OCI = "org.opencontainers.image"
OURS = "dev.prewarm"

# Asks the server by its own address: no proxy, no look-up, nothing but the standard library.
_HEALTH = (
    "import http.client, os, sys; "
    'host = os.environ.get("HOST") or "127.0.0.1"; '
    f'port = int(os.environ.get("PORT") or {PORT}); '
    "asked = http.client.HTTPConnection(host, port, timeout=4); "
    'asked.request("GET", "/health"); '
    "sys.exit(asked.getresponse().status != 200)"
)
_VERSION = re.compile(r":v?(\d+\.\d+\.\d+(?:\.?(?:post|rc)\d+)?)(?:-|$)")


class Kind(StrEnum):
    """What a layer holds."""

    WEIGHTS = "weights"
    MODEL = "model-files"
    CACHE = "compile-cache"
    RUNTIME = "runtime"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of ours.

    Attributes:
        home: The folder its files lie in, relative to the image's root.
        entries: Files with their paths below `home`, in the layer's order.
        digest: What the lock says; None where it does not, or names no such layer.
    """

    kind: Kind
    home: PurePosixPath
    entries: tuple[layer.Entry, ...]
    digest: str | None = None

    @property
    def size(self) -> int:
        """The tar's size in bytes."""
        return layer.packed_size(self.home, self.entries)

    @property
    def told(self) -> str:
        """What the image's history says of the layer."""
        only = len(self.entries) == 1
        what = self.entries[0].path if only else f"{len(self.entries)} files"
        return f"prewarm: {self.kind}: {what} in /{self.home}"


@dataclass(frozen=True, kw_only=True)
class Health:
    """How an engine asks whether the server lives; the port opens only when it is warm.

    Attributes:
        start_period: Seconds in which a failure counts for nothing; a success ends it.
    """

    command: tuple[str, ...] = ("python3", "-I", "-S", "-c", _HEALTH)
    interval: int = 10  # seconds
    timeout: int = 5  # seconds
    start_period: int = 1800
    retries: int = 3


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """When and from what the image was made, as whoever makes it says.

    Attributes:
        created: Seconds since 1970; never the clock's.
        revision: Commit of the sources; None says nothing of it.
        source: Address of the sources; None says nothing of it.
        version: Version of the image; None says nothing of it.
    """

    created: int = 0
    revision: str | None = None
    source: str | None = None
    version: str | None = None

    @property
    def date(self) -> str:
        """The time of creation as RFC 3339 writes it."""
        return datetime.fromtimestamp(self.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, kw_only=True)
class Image:
    """The image: our layers over a base, and how it starts.

    Attributes:
        env: Name -> value; set over the base's, by name.
        labels: In the configuration, for who has pulled the image.
        annotations: In the manifest, for who has not.
    """

    base: Base
    layers: tuple[Layer, ...]
    created: str
    env: Mapping[str, str]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    user: str = "2000:0"
    entrypoint: tuple[str, ...] = ("python3", "-P", "-m", "runtime")
    command: tuple[str, ...] = ()
    ports: tuple[str, ...] = (f"{PORT}/tcp",)
    working_dir: str = "/"  # belongs to root: nothing in it can be put before a module
    stop_signal: str = "SIGTERM"
    health: Health = field(default_factory=Health)


def describe(
    lock: Lock,
    *,
    runtime: Iterable[layer.Entry],
    cache: tuple[File, ...] = (),
    provenance: Provenance,
) -> Image:
    """Describe the image of a lock.

    Args:
        lock: What is packaged.
        runtime: The modules of the runtime package.
        cache: The compile cache's files; empty without one.
        provenance: What the image says of its making.
    """
    said = MappingProxyType(_said(lock, cache, provenance))
    return Image(
        base=lock.base,
        layers=(*weight_layers(lock), *_cache(cache), *_runtime(runtime)),
        created=provenance.date,
        env=MappingProxyType(_env(lock)),
        labels=said,
        annotations=said,
    )


def vllm_version(base: Base) -> str | None:
    """Give vLLM's version as the base's tag says it; None when it does not."""
    found = _VERSION.search(base.image)
    return found[1] if found else None


def set_digest(files: Iterable[File]) -> str:
    """Name a set of files, however it is packed: what `sha256sum` prints of it, sorted, hashed."""
    lines = sorted(f"{file.sha256}  {file.path}\n" for file in files)
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def weight_layers(lock: Lock) -> Iterable[Layer]:
    """Yield the lock's layers: one for each big weight file, then one for all small files."""
    model = lock.model
    for one in model.layers:
        yield Layer(
            kind=Kind.MODEL if CONFIG in one.files else Kind.WEIGHTS,
            home=layer.MODELS / model.name,
            entries=tuple(lockfile.entries(model, one)),
            digest=one.digest,
        )


def _cache(files: tuple[File, ...]) -> Iterable[Layer]:
    if files:
        entries = sorted((file.path, file.size) for file in files)
        yield Layer(
            kind=Kind.CACHE,
            home=CACHE,
            entries=tuple(layer.Entry(path=path, size=size) for path, size in entries),
        )


def _runtime(entries: Iterable[layer.Entry]) -> Iterable[Layer]:
    """Put our code last: it changes most often, and pulls nothing behind it along.

    In layers of about RUNTIME_LAYER bytes, so that an edit of one module sends few others.
    """
    group: list[layer.Entry] = []
    for entry in sorted(entries, key=lambda entry: entry.path):
        if group and layer.packed_size(RUNTIME, [*group, entry]) > RUNTIME_LAYER:
            yield Layer(kind=Kind.RUNTIME, home=RUNTIME, entries=tuple(group))
            group = []
        group.append(entry)
    yield Layer(kind=Kind.RUNTIME, home=RUNTIME, entries=tuple(group))


def _env(lock: Lock) -> dict[str, str]:
    return {
        "MODEL_NAME": lock.model.name,
        "HF_HOME": f"/{HF_HOME}",
        "HF_HUB_OFFLINE": "1",
        "PORT": str(PORT),
        "PYTHONPATH": f"/{PREWARM}",
        # The user has no entry in the base's passwd, and torch asks for its name and home.
        "HOME": "/tmp",  # noqa: S108 (the one folder that every user of every base can write)
        "USER": USER,
        "LOGNAME": USER,
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        # What a compile cache was made on and for; the runtime compares and records them.
        "PREWARM_BASE_DIGEST": lock.base.digest,
        "PREWARM_MODEL_COMMIT": lock.model.commit,
    }


def _said(lock: Lock, cache: tuple[File, ...], provenance: Provenance) -> dict[str, str]:
    """Say what is in the image. See https://specs.opencontainers.org/image-spec/annotations/."""
    model = lock.model
    said: dict[str, str | None] = {
        f"{OCI}.title": model.name,
        f"{OCI}.description": f"{model.name} on vLLM, warm before its port opens",
        f"{OCI}.created": provenance.date,
        f"{OCI}.revision": provenance.revision,
        f"{OCI}.source": provenance.source,
        f"{OCI}.version": provenance.version,
        f"{OCI}.base.name": lock.base.image,
        f"{OCI}.base.digest": lock.base.digest,
        f"{OURS}.model.name": model.name,
        f"{OURS}.model.commit": model.commit,
        f"{OURS}.weights.digest": set_digest(model.files),
        f"{OURS}.vllm.version": vllm_version(lock.base),
        f"{OURS}.compile-cache.digest": set_digest(cache) if cache else None,
    }
    return {name: text for name, text in said.items() if text is not None}
