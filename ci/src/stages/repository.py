"""A repository as the Hub describes it: hostile until `read_repository` has passed it."""

from dataclasses import dataclass
from typing import Any

from stages.errors import AnswerError, UnsafeError
from stages.names import COMMIT, SHA256, model_problem, path_problem


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file: path, size in bytes, git blob id, and the sha256 that only LFS files have."""

    path: str
    size: int
    blob: str
    sha256: str | None


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A model's repository at one commit.

    Attributes:
        name: The model's present name, which differs from the one asked for after a move.
    """

    name: str
    commit: str
    entries: tuple[Entry, ...]


def read_repository(value: Any, *, model: str) -> Repository:
    """Check the Hub's answer to `GET /api/models/NAME/revision/REF?blobs=true`.

    Raises:
        UnsafeError: A file's name leaves its folder or hides what it is.
        AnswerError: The answer is not of the documented form.
    """
    try:
        name, commit, siblings = value.get("id", model), value["sha"], value["siblings"]
        sound = not model_problem(name) and COMMIT.fullmatch(commit)
        entries = tuple(_entry(sibling) for sibling in siblings)
    except (AttributeError, KeyError, TypeError, ValueError):
        sound = None
    if not sound:
        raise AnswerError(
            f"{model}: the Hub's list of files is not of the known form. Is HF_ENDPOINT a Hub?"
        )
    if len({entry.path for entry in entries}) != len(entries):
        raise UnsafeError(f"{model} lists a file twice: refused")
    return Repository(name=name, commit=commit, entries=entries)


def _entry(sibling: Any) -> Entry:
    path = sibling["rfilename"]
    if problem := path_problem(path):
        raise UnsafeError(f"{problem}: the repository is refused")
    lfs = sibling.get("lfs")
    entry = Entry(
        path=path,
        size=sibling["size"] if lfs is None else lfs["size"],
        blob=sibling["blobId"],
        sha256=None if lfs is None else lfs["sha256"],
    )
    if type(entry.size) is not int or entry.size < 0 or not COMMIT.fullmatch(entry.blob):
        raise ValueError("size or blob")
    if entry.sha256 is not None and not SHA256.fullmatch(entry.sha256):
        raise ValueError("sha256")
    return entry
