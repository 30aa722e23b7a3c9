"""A small model that loads, made an image of, and what a test spoils in either."""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from stages import lockfile
from stages.lock import with_digests
from stages.lockfile import Base, File, Lock, Model
from tests.stages.model import COMMIT, NAME, Ended
from tests.stages.packaging import IMAGE, MODULES, SmallBase, blob, manifest_of, sha256

Run = Callable[..., Ended]
Json = dict[str, Any]


def tensors(header: Json, content: bytes = b"", *, length: int | None = None) -> bytes:
    """Write a safetensors file; `length` is what it says of its header."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + content


def tensor(first: int, last: int, *, dtype: str = "BF16", shape: list[Any] | None = None) -> Json:
    """Describe a tensor of two bytes a number, unless it is said otherwise."""
    shape = [(last - first) // 2] if shape is None else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


def tokenizer() -> bytes:
    """Write a tokenizer that can spell any text, a byte a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(vocab={one: n for n, one in enumerate(alphabet)}, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    text: str = bpe.to_str()
    return text.encode()


TEMPLATE = "{{ bos_token }}{% for one in messages %}{{ one['content'] }}{% endfor %}"
INDEX = "model.safetensors.index.json"
ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def sound() -> dict[str, bytes]:
    """Give the files of a model in which everything is right."""
    return {
        "LICENSE": b"Terms of use.\n",
        "chat_template.jinja": TEMPLATE.encode(),
        "config.json": b'{"architectures": ["A"], "max_position_embeddings": 4096}',
        ONE: tensors({"a": tensor(0, 8), "b": tensor(8, 12)}, bytes(12)),
        TWO: tensors({"__metadata__": {"format": "pt"}, "c": tensor(0, 4)}, bytes(4)),
        INDEX: json.dumps({"weight_map": {"a": ONE, "b": ONE, "c": TWO}}).encode(),
        "tokenizer.json": tokenizer(),
        "tokenizer_config.json": b'{"bos_token": {"content": "<bos>"}, "eos_token": "<eos>"}',
    }


@dataclass(frozen=True)
class Made:
    """A lock, weights, a tree and an image of it, all below one folder."""

    folder: Path

    @property
    def image(self) -> Path:
        """The layout."""
        return self.folder / "image"

    @property
    def model(self) -> Path:
        """The model's folder in the tree."""
        return self.folder / "tree" / "model-cache" / "models" / NAME

    def words(self, *more: object) -> list[object]:
        """Give the words of a `smoke` of the image."""
        named = [f"--image={self.image}", f"--lock={self.folder / 'lock'}"]
        return ["smoke", *named, f"--out={self.folder / 'report.json'}", *more]

    def report(self) -> Any:
        """Read the report."""
        return json.loads((self.folder / "report.json").read_bytes())

    def failed(self) -> dict[str, str]:
        """Give the details of what failed, by name."""
        found = self.report()["checks"]
        return {check["name"]: check["detail"] for check in found if not check["passed"]}


def write(folder: Path, files: dict[str, bytes], *, known: bool = True) -> None:
    """Write what an image is made of: a base, weights, a runtime that does nothing, and a lock.

    Args:
        folder: Where.
        files: The model's.
        known: Whether the lock shall name the layers' digests.
    """
    digest = SmallBase().layout(folder / "base")
    for name, contents in (("weights", files), ("runtime", MODULES)):
        for path, content in contents.items():
            target = folder / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    listed = tuple(
        File(path=path, size=len(content), sha256=sha256(content))
        for path, content in sorted(files.items())
    )
    layers = lockfile.layers(NAME, listed)
    model = Model(name=NAME, revision="main", commit=COMMIT, files=listed, layers=layers)
    lock = Lock(model=model, base=Base(image=IMAGE, digest=digest))
    lock = with_digests(lock, folder / "weights") if known else lock
    (folder / "lock").write_text(lockfile.dump(lock))


def make(
    stages: Run,
    folder: Path,
    files: dict[str, bytes],
    *,
    known: bool = True,
    runtime: Path | None = None,
) -> Made:
    """Make everything.

    Args:
        stages: Runs the command line.
        folder: Where.
        files: The model's.
        known: Whether the lock shall name the layers' digests.
        runtime: The runtime package; None takes one that does nothing.
    """
    write(folder, files, known=known)
    named = [f"--{name}={folder / name}" for name in ("lock", "weights")]
    named.append(f"--runtime={runtime or folder / 'runtime'}")
    ended = stages("rootfs", *named, f"--out={folder / 'tree'}")
    assert ended.code == 0, ended.err
    tree = [f"--lock={folder / 'lock'}", f"--rootfs={folder / 'tree'}"]
    ended = stages("image", *tree, f"--base=oci:{folder / 'base'}", f"--out={folder / 'image'}")
    assert ended.code == 0, ended.err
    return Made(folder)


def rework(
    layout: Path, *, config: Callable[[Json], None], manifest: Callable[[Json], None]
) -> None:
    """Change an image's configuration and manifest, and call them by their new digests."""
    made = manifest_of(layout)
    described = json.loads(blob(layout, made["config"]["digest"]).read_bytes())
    config(described)
    made["config"] |= _add(layout, described)
    manifest(made)
    index = json.loads((layout / "index.json").read_bytes())
    index["manifests"][0] |= _add(layout, made)
    (layout / "index.json").write_text(json.dumps(index))


def _add(layout: Path, value: Json) -> Json:
    content = json.dumps(value).encode()
    digest = f"sha256:{sha256(content)}"
    blob(layout, digest).write_bytes(content)
    return {"digest": digest, "size": len(content)}
