"""A clean image made from parts, into which tests plant what must be found.

No credential stands in this file: each is put together when a test runs.
"""

import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
BASE_LAYER = b"a layer of the base, which is not in the layout"
LETTERS = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCdEfGhIjKlMnOp"
SECRET = "s3cr3t/+?&<canary>" + LETTERS[3:23]  # with signs that every form writes in its own way
Head = dict[str, str]


def token(prefix: str, count: int) -> str:
    """Put a string of a token's shape together."""
    return prefix + (LETTERS * 3)[:count]


def digest(content: bytes) -> str:
    """Name content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def zipped(files: dict[str, bytes]) -> bytes:
    """Pack a zip archive, compressed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def clean_files() -> dict[str, bytes]:
    """Give what a clean image holds: our runtime, a licence, and a model's small files."""
    files = {
        f"opt/prewarm/runtime/{path.name}": path.read_bytes()
        for path in sorted((ROOT / "runtime").glob("*.py"))
    }
    model = "model-cache/models/acme/tiny"
    words = {f"▁{word}{n}": n for n in range(2000) for word in ("token", "secret", "key", "hf_")}
    return files | {
        f"{model}/config.json": b'{"architectures": ["Gemma3ForCausalLM"], "eos_token_id": 1}',
        f"{model}/tokenizer.json": json.dumps({"model": {"vocab": words}}).encode(),
        f"{model}/tokenizer_config.json": b'{"add_bos_token": true, "bos_token": "<bos>"}',
        f"{model}/LICENSE": (ROOT / "LICENSE").read_bytes(),
        "opt/prewarm/code.whl": zipped({"code/__init__.py": b"TOKEN = None\n"}),
        "opt/prewarm/notes.gz": gzip.compress(
            b"keep -----BEGIN PRIVATE KEY----- to yourself", 9, mtime=0
        ),
        "opt/prewarm/.npmrc": b"//registry.example/:_authToken=${NPM_TOKEN}\n",
    }


@dataclass(kw_only=True)
class Image:
    """What an image is made from; tests change it before `write`."""

    files: dict[str, bytes] = field(default_factory=clean_files)
    links: dict[str, str] = field(default_factory=dict)
    pax: Head = field(default_factory=dict)  # of the file first in order
    tail: bytes = b""  # behind the layer's tar
    tar: bytes | None = None  # instead of the tar that follows from the files
    packed: bool = False  # whether the layer is compressed
    stray: bytes | None = None  # a blob that nothing names
    env: list[str] = field(
        default_factory=lambda: [
            "TOKENIZERS_PARALLELISM=false", "HF_TOKEN_PATH=/run/secrets/hf", "API_KEY=",
            "MAX_TOKENS=12",
        ]
    )  # fmt: skip
    config: dict[str, Any] = field(default_factory=dict)
    labels: Head = field(default_factory=lambda: {"org.opencontainers.image.title": "tiny"})
    annotations: Head = field(default_factory=dict)
    index: Head = field(default_factory=dict)
    history: str = "RUN --mount=type=secret,id=hf_token HF_TOKEN=$(cat /run/secrets/hf_token) get"

    def layer(self) -> bytes:
        """Give the layer's tar."""
        if self.tar is not None:
            return self.tar
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for number, (name, content) in enumerate(self.files.items()):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                info.pax_headers = self.pax if number == 0 else {}
                tar.addfile(info, io.BytesIO(content))
            for name, target in self.links.items():
                info = tarfile.TarInfo(name)
                info.type, info.linkname = tarfile.SYMTYPE, target
                tar.addfile(info)
        return packed.getvalue() + self.tail

    def write(self, folder: Path) -> str:
        """Write a thin layout and give the layer's digest."""
        (folder / "blobs" / "sha256").mkdir(parents=True)
        tar = self.layer()
        layer = gzip.compress(tar, 1, mtime=0) if self.packed else tar
        config = {
            "config": {"Env": self.env, "Labels": self.labels, **self.config},
            "rootfs": {"type": "layers", "diff_ids": [digest(BASE_LAYER), digest(tar)]},
            "history": [{"created_by": self.history}, {"created_by": "prewarm: runtime"}],
        }
        manifest = {
            "mediaType": MANIFEST,
            "config": _store(folder, json.dumps(config).encode()),
            "layers": [_named(BASE_LAYER), _store(folder, layer)],
            "annotations": self.annotations,
        }
        entry = _store(folder, json.dumps(manifest).encode()) | {"mediaType": MANIFEST}
        index = {"manifests": [entry | {"annotations": self.index}]}
        (folder / "index.json").write_text(json.dumps(index))
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        if self.stray is not None:
            _store(folder, self.stray)
        return digest(layer)


def _named(content: bytes) -> dict[str, Any]:
    return {"digest": digest(content), "size": len(content)}


def _store(folder: Path, content: bytes) -> dict[str, Any]:
    (folder / "blobs" / Path(*digest(content).split(":"))).write_bytes(content)
    return _named(content)
