"""The stage that turns a model's name into a lock: everything an image will hold, to the byte.

The digest of a weight layer follows from its files' bytes, and the Hub tells only their sha256.
So a lock made from the Hub alone has the layers' sizes and no digests; one made with the files
at hand (`--weights`, a folder that `download` filled) has both. Digests that an earlier lock knew
for the same bytes are kept.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from stages import layer, lockfile, output, reference, weights
from stages.errors import AnswerError, IntegrityError, UnsafeError, UnsuitableError
from stages.hub import Hub
from stages.lockfile import Base, File, Layer, Lock, Model
from stages.names import set_problem
from stages.registry import Registry
from stages.repository import Entry, Repository
from stages.selection import INDEX, Selection, missing, select

# The base that the product is specified with; a test holds the committed lock to it.
DEFAULT_BASE = (
    "docker.io/vllm/vllm-openai:v0.9.0"
    "@sha256:df2c55e5107afea09ea1a50f9dd96c99ebf97a795334c4d08f691f3d79b2ab12"
)


@dataclass(frozen=True, kw_only=True)
class Locked:
    """A lock, and what it leaves out of the repository."""

    lock: Lock
    selection: Selection


@dataclass(frozen=True, kw_only=True)
class Locker:
    """Makes locks by asking a Hub and a registry."""

    hub: Hub
    registry: Registry

    def lock(self, model: str, *, revision: str, base: reference.Reference) -> Locked:
        """Resolve a model and a base to what they are now.

        Raises:
            UnsafeError: A file's name is hostile, or a configuration names code.
            UnsuitableError: There are no safetensors weights, or no config.json.
            StagesError: As `Hub.repository`, `Hub.small` and `Registry.digest`.
        """
        repository = self.hub.repository(model, revision)
        entries = {entry.path: entry for entry in repository.entries}
        shards = self._shards(repository, entries.get(INDEX))
        selection = select(entries, shards=shards)
        if problem := missing(selection, shards):
            raise UnsuitableError(f"{model} cannot be served: {problem}. Choose another model")
        if problem := set_problem(list(selection.kept)):
            raise UnsafeError(f"{model}: {problem}: the repository is refused")
        files = tuple(self._file(repository, entries[path]) for path in selection.kept)
        locked = Model(
            name=repository.name,
            revision=revision,
            commit=repository.commit,
            files=files,
            layers=lockfile.layers(repository.name, files),
        )
        return Locked(lock=Lock(model=locked, base=self._base(base)), selection=selection)

    def _shards(self, repository: Repository, index: Entry | None) -> frozenset[str] | None:
        """Read which weight files the index names; None without an index."""
        if index is None:
            return None
        content = self.hub.small(repository.name, repository.commit, index)
        try:
            return frozenset(json.loads(content)["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise AnswerError(f"{INDEX} is not an index of weights: {repository.name}") from error

    def _file(self, repository: Repository, entry: Entry) -> File:
        """Take an LFS file's sha256 from the Hub; fetch, check and hash any other."""
        sha256 = entry.sha256
        if sha256 is None or weights.may_name_code(entry.path):
            content = self.hub.small(repository.name, repository.commit, entry)
            sha256 = hashlib.sha256(content).hexdigest()
            if weights.may_name_code(entry.path):
                weights.check_no_code(entry.path, content)
        return File(path=entry.path, size=entry.size, sha256=sha256)

    def _base(self, base: reference.Reference) -> Base:
        digest = self.registry.digest(base)
        return Base(image=str(replace(base, tag=base.tag or "latest", digest=None)), digest=digest)


def with_known_digests(lock: Lock, *, earlier: Lock) -> Lock:
    """Fill in the layers' digests that an earlier lock knew for the same name and bytes."""
    if lock.model.name != earlier.model.name:
        return lock
    known = {_key(earlier.model, one): one.digest for one in earlier.model.layers}
    layers = tuple(
        replace(one, digest=known.get(_key(lock.model, one))) for one in lock.model.layers
    )
    return replace(lock, model=replace(lock.model, layers=layers))


def with_digests(lock: Lock, folder: Path) -> Lock:
    """Fill in the digest of every layer from the files below `folder`, each checked first.

    Raises:
        IntegrityError: A file is absent, or is not the one that the lock names.
    """
    model = lock.model
    for file in model.files:
        _check(file, folder / file.path)
    layers = tuple(
        replace(one, digest=layer.digest(model.name, lockfile.entries(model, one), folder))
        for one in model.layers
    )
    return replace(lock, model=replace(model, layers=layers))


def write(lock: Lock, path: Path) -> None:
    """Write the lock in one step: readers see the old one or the new one.

    Raises:
        StorageError: The file cannot be written.
    """
    output.replace(path, lockfile.dump(lock))


def _key(model: Model, one: Layer) -> tuple[File, ...]:
    """Name a layer by all that its bytes follow from, beside the model's name."""
    return tuple(file for file in model.files if file.path in one.files)


def _check(file: File, path: Path) -> None:
    try:
        with path.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise IntegrityError(
            f"{path} cannot be read: {error.strerror}. --weights takes the folder that "
            "`download` filled for this model and commit"
        ) from error
    if sha256 != file.sha256:
        raise IntegrityError(
            f"{path} has sha256 {sha256}, expected {file.sha256}: --weights takes the folder "
            "that `download` filled for this model and commit"
        )
