"""The lock: what is packaged, to the byte. A JSON text, hostile until `parse` has passed it.

{"version": 1,
 "model": {"name": OWNER/NAME, "revision": what was asked for, "commit": 40 hex digits,
           "files": [{"path", "size" in bytes, "sha256" as 64 hex digits}, ... sorted by path],
           "layers": [{"files": [path, ...], "size" of the tar in bytes, "digest"}, ...]},
 "base": {"image": reference without a digest, "digest": "sha256:..."}}

A layer's digest follows from its files, but only who has read their bytes can know it: it is
null until `lock --weights` has. A machine that knows it can ask a registry for the layer before
it downloads anything.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stages import layer
from stages.errors import LockError
from stages.names import (
    COMMIT,
    DIGEST,
    SHA256,
    model_problem,
    path_problem,
    revision_problem,
    set_problem,
)
from stages.reference import reference_problem

VERSION = 1
CONFIG = "config.json"  # the file without which nothing loads a model
LARGEST_TEXT = 16 * 2**20  # bytes; a lock of ten thousand files is 1.5 MB
LARGEST_FILE = 2**50  # bytes
LARGEST_LAYER = 2**62  # bytes


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of the model: path inside its folder, size in bytes, sha256 in lowercase hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One weight layer: its files' paths, the tar's size in bytes, and its digest if known."""

    files: tuple[str, ...]
    size: int
    digest: str | None


@dataclass(frozen=True, kw_only=True)
class Model:
    """The model at one commit; `revision` is the branch, tag or commit that was asked for."""

    name: str
    revision: str
    commit: str
    files: tuple[File, ...]
    layers: tuple[Layer, ...]

    @property
    def size(self) -> int:
        """The size of all files in bytes."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, kw_only=True)
class Base:
    """The image we stand on: its reference as a reader knows it, and its digest."""

    image: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class Lock:
    """Everything that decides an image's bytes, but for our own code."""

    model: Model
    base: Base


def layers(name: str, files: tuple[File, ...]) -> tuple[Layer, ...]:
    """Divide a model's files into layers whose digests are not known."""
    groups = layer.split(layer.Entry(path=file.path, size=file.size) for file in files)
    return tuple(
        Layer(
            files=tuple(entry.path for entry in group),
            size=layer.size(name, group),
            digest=None,
        )
        for group in groups
    )


def entries(model: Model, of: Layer) -> list[layer.Entry]:
    """List one layer's files with their sizes, in the layer's order."""
    sizes = {file.path: file.size for file in model.files}
    return [layer.Entry(path=path, size=sizes[path]) for path in of.files]


def dump(lock: Lock) -> str:
    """Write the lock: the same text for the same lock, whatever made it."""
    return json.dumps({"version": VERSION, **asdict(lock)}, indent=2, ensure_ascii=False) + "\n"


def read(path: Path) -> Lock:
    """Read and check the lock at `path`.

    Raises:
        LockError: There is no such file, it cannot be read, or it is not a sound lock.
    """
    try:
        if path.stat().st_size > LARGEST_TEXT:
            raise LockError(f"{path} is larger than 16 MiB: this is not a lock")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LockError(f"{path} cannot be read: {error.strerror}. `lock` writes it") from error
    except UnicodeDecodeError as error:
        raise LockError(f"{path} is not UTF-8 text: this is not a lock") from error
    try:
        return parse(text)
    except LockError as error:
        raise LockError(f"{path}: {error}") from error


def parse(text: str) -> Lock:
    """Read a lock's text, trusting nothing in it.

    Raises:
        LockError: The text is not JSON, or a value is not what the format says; names the place.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise LockError(f"not a lock: {error}") from error
    top = _object(value, "the lock", "version", "model", "base")
    if type(top["version"]) is not int or top["version"] != VERSION:
        raise LockError(f"version is {top['version']!a}, this program reads version {VERSION}")
    base = _object(top["base"], "base", "image", "digest")
    return Lock(
        model=_model(top["model"]),
        base=Base(
            image=_text(base["image"], "base.image", reference_problem),
            digest=_text(base["digest"], "base.digest", _digest_problem),
        ),
    )


def _model(value: object) -> Model:
    top = _object(value, "model", "name", "revision", "commit", "files", "layers")
    files = tuple(_file(item, n) for n, item in enumerate(_list(top["files"], "model.files")))
    paths = [file.path for file in files]
    if problem := set_problem(paths):
        raise LockError(f"model.files: {problem}")
    if paths != sorted(paths) or CONFIG not in paths:
        raise LockError(f"model.files: expected paths in order, {CONFIG} among them")
    model = Model(
        name=_text(top["name"], "model.name", model_problem),
        revision=_text(top["revision"], "model.revision", revision_problem),
        commit=_text(top["commit"], "model.commit", _commit_problem),
        files=files,
        layers=tuple(_layer(item, n) for n, item in enumerate(_list(top["layers"], "layers"))),
    )
    if tuple(replace(one, digest=None) for one in model.layers) != layers(model.name, files):
        raise LockError("model.layers does not follow from model.files: run `lock` again")
    return model


def _file(value: object, number: int) -> File:
    where = f"model.files[{number}]"
    top = _object(value, where, "path", "size", "sha256")
    return File(
        path=_text(top["path"], f"{where}.path", path_problem),
        size=_count(top["size"], f"{where}.size"),
        sha256=_text(top["sha256"], f"{where}.sha256", _sha256_problem),
    )


def _layer(value: object, number: int) -> Layer:
    where = f"model.layers[{number}]"
    top = _object(value, where, "files", "size", "digest")
    paths = enumerate(_list(top["files"], f"{where}.files"))
    known = top["digest"] is not None
    return Layer(
        files=tuple(_text(path, f"{where}.files[{n}]", path_problem) for n, path in paths),
        size=_count(top["size"], f"{where}.size", most=LARGEST_LAYER),
        digest=_text(top["digest"], f"{where}.digest", _digest_problem) if known else None,
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that names a key twice: readers differ on which one counts."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object names a key twice")
    return value


def _object(value: object, where: str, *keys: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(keys):
        raise LockError(f"{where} must be an object with exactly {', '.join(keys)}")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise LockError(f"{where} must be a list")
    return value


def _text(value: object, where: str, problem_of: Callable[[str], str | None]) -> str:
    if not isinstance(value, str):
        raise LockError(f"{where} must be a text")
    if problem := problem_of(value):
        raise LockError(f"{where}: {problem}")
    return value


def _count(value: object, where: str, *, most: int = LARGEST_FILE) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise LockError(f"{where} must be a number of bytes from 0 to {most}")
    return value


def _commit_problem(text: str) -> str | None:
    return None if COMMIT.fullmatch(text) else f"{text!a} is not a commit of 40 hex digits"


def _sha256_problem(text: str) -> str | None:
    return None if SHA256.fullmatch(text) else f"{text!a} is not a sha256 of 64 hex digits"


def _digest_problem(text: str) -> str | None:
    return None if DIGEST.fullmatch(text) else f"{text!a} is not a sha256:... digest"
