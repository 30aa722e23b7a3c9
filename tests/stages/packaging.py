"""A small model, a small base and a small runtime, ready to be made an image of."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages import lockfile
from stages.lock import with_digests
from stages.lockfile import Base, File, Lock, Model
from tests.stages.model import COMMIT, NAME, noise

OCI = {
    "index": "application/vnd.oci.image.index.v1+json",
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "layer": "application/vnd.oci.image.layer.v1.tar+gzip",
}
DOCKER = {
    "index": "application/vnd.docker.distribution.manifest.list.v2+json",
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "layer": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}
IMAGE = "docker.io/vllm/vllm-openai:v0.9.0"
FILES: dict[str, bytes] = {
    "LICENSE": b"Terms of use.\n",
    "config.json": b'{"architectures": ["Gemma3ForCausalLM"]}',
    "model-00001-of-00002.safetensors": noise(5 * 2**20 + 77),
    "model-00002-of-00002.safetensors": noise(2**20),
    "tokenizer.json": noise(300_000),
}
MODULES = {"__init__.py": b'"""Runtime."""\n', "__main__.py": b"", "deep/__init__.py": b"x = 1\n"}


def sha256(content: bytes) -> str:
    """Hash bytes."""
    return hashlib.sha256(content).hexdigest()


def layer_of_base(*, kind: str) -> tuple[bytes, str]:
    """Give a layer's blob with folders that a base owns, and its diff_id."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name in ("opt", "tmp"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
    plain = content.getvalue()
    if not kind.endswith("gzip"):
        return plain, f"sha256:{sha256(plain)}"

    return gzip.compress(plain, mtime=0), f"sha256:{sha256(plain)}"


@dataclass
class SmallBase:
    """A base of one layer, every part of which a test can change before it is asked for."""

    kinds: Mapping[str, str] = field(default_factory=lambda: OCI)
    platforms: Sequence[str] = ("linux/amd64",)
    index: bool = True
    run: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    layer: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def add(self, content: bytes | object) -> dict[str, Any]:
        """Keep a blob, and give its digest and size."""
        held = content if isinstance(content, bytes) else json.dumps(content).encode()
        digest = f"sha256:{sha256(held)}"
        self.blobs[digest] = held
        return {"digest": digest, "size": len(held)}

    def make(self) -> str:
        """Give the digest of the index, or of the manifest where there is no index."""
        blob, diff_id = layer_of_base(kind=self.kinds["layer"])
        layer = {"mediaType": self.kinds["layer"]} | self.add(blob) | dict(self.layer)
        listed = []
        for platform in self.platforms:
            system, _, architecture = platform.partition("/")
            run = {"Env": ["PATH=/usr/bin:/bin", "PORT=1"], "Cmd": ["serve"]} | dict(self.run)
            config = {
                "os": system,
                "architecture": architecture,
                "config": run,
                "rootfs": {"type": "layers", "diff_ids": [diff_id]},
                "history": [{"created_by": "debootstrap"}],
            } | dict(self.config)
            manifest = {
                "schemaVersion": 2,
                "mediaType": self.kinds["manifest"],
                "config": {"mediaType": self.kinds["config"]} | self.add(config),
                "layers": [layer],
            } | dict(self.manifest)
            described = {"mediaType": self.kinds["manifest"]} | self.add(manifest)
            parts = {"os": system, "architecture": architecture}
            listed.append(described | {"platform": parts})
        if not self.index:
            return str(listed[0]["digest"])
        top = {"schemaVersion": 2, "mediaType": self.kinds["index"], "manifests": listed}
        return str(self.add(top)["digest"])

    def layout(self, folder: Path) -> str:
        """Write an OCI image layout, and give the digest by which the base is known."""
        digest = self.make()
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        for name, content in self.blobs.items():
            (blobs / name.removeprefix("sha256:")).write_bytes(content)
        return digest


@dataclass(frozen=True)
class Inputs:
    """A folder with lock, weights, runtime and base, and the words that name them."""

    folder: Path
    digest: str

    @classmethod
    def write(cls, folder: Path, base: SmallBase | None = None, *, known: bool = False) -> "Inputs":
        """Write all inputs below `folder`; `known` puts the layers' digests into the lock."""
        digest = (base or SmallBase()).layout(folder / "base")
        for name, contents in (("weights", FILES), ("runtime", MODULES)):
            for path, content in contents.items():
                target = folder / name / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        made = lock_of(digest)
        made = with_digests(made, folder / "weights") if known else made
        (folder / "lock").write_text(lockfile.dump(made))
        return cls(folder, digest)

    def rootfs(self, *more: str, known: bool = False) -> list[str]:
        """Give the words of a `rootfs` that writes `tree`, with no weights if they are `known`."""
        named = [f"--{name}={self.folder / name}" for name in ("lock", "runtime")]
        weights = "--known" if known else f"--weights={self.folder / 'weights'}"
        return ["rootfs", *named, weights, f"--out={self.folder / 'tree'}", *more]

    def image(self, *more: str, base: Path | None = None, out: str = "image") -> list[str]:
        """Give the words of an `image` that writes `image`."""
        named = [f"--lock={self.folder / 'lock'}", f"--rootfs={self.folder / 'tree'}"]
        place = f"--base=oci:{base or self.folder / 'base'}"
        return ["image", *named, place, f"--out={self.folder / out}", *more]


def lock_of(digest: str) -> Lock:
    """Lock the small model on the base of that digest."""
    files = tuple(
        File(path=path, size=len(content), sha256=sha256(content))
        for path, content in sorted(FILES.items())
    )
    model = Model(
        name=NAME,
        revision="main",
        commit=COMMIT,
        files=files,
        layers=lockfile.layers(NAME, files),
    )
    return Lock(model=model, base=Base(image=IMAGE, digest=digest))


def manifest_of(layout: Path) -> dict[str, Any]:
    """Read the manifest of a layout with one image."""
    (one,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    return json_blob(layout, one["digest"])


def config_of(layout: Path) -> dict[str, Any]:
    """Read the configuration of a layout with one image."""
    return json_blob(layout, manifest_of(layout)["config"]["digest"])


def json_blob(layout: Path, digest: str) -> dict[str, Any]:
    """Read a blob as JSON."""
    found: dict[str, Any] = json.loads(blob(layout, digest).read_bytes())
    return found


def blob(layout: Path, digest: str) -> Path:
    """Give the path of a blob."""
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


def spoil(path: Path, content: bytes | None) -> None:
    """Write a file, or for None take it away."""
    if content is None:
        path.unlink()
        return
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
