"""A model's repository as the loopback Hub serves it: commits, branches, files, and their ids."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

LFS_SUFFIXES = (".safetensors", ".bin", ".model", ".gguf", "tokenizer.json")
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"


@dataclass(frozen=True)
class Content:
    """One file: bytes in memory, or a file on disk."""

    source: bytes | Path

    @cached_property
    def size(self) -> int:
        """Length in bytes."""
        return self.source.stat().st_size if isinstance(self.source, Path) else len(self.source)

    @cached_property
    def sha256(self) -> str:
        """Lowercase hex."""
        if isinstance(self.source, Path):
            with self.source.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.sha256(self.source).hexdigest()

    def read(self, start: int, end: int) -> bytes:
        """Give bytes `start` to `end` (excluded)."""
        if isinstance(self.source, Path):
            with self.source.open("rb") as file:
                file.seek(start)
                return file.read(end - start)
        return self.source[start:end]


def git_blob(content: bytes) -> str:
    """Give the id under which git keeps these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def is_lfs(path: str) -> bool:
    """Whether the real Hub would keep such a file in LFS."""
    return path.endswith(LFS_SUFFIXES)


@dataclass
class Repo:
    """One model. `commits` maps a commit to its files, `refs` a branch or tag to a commit."""

    name: str
    commits: dict[str, dict[str, Content]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, files: dict[str, bytes | Path], *, commit: str = "c" * 40) -> "Repo":
        """Make a repository with one commit on `main`."""
        contents = {path: Content(source) for path, source in files.items()}
        return cls(name, {commit: contents}, {"main": commit})

    @classmethod
    def of_folder(cls, name: str, folder: Path, *, commit: str = "c" * 40) -> "Repo":
        """Make a repository of a folder's files."""
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return cls.of(name, {str(file.relative_to(folder)): file for file in files}, commit=commit)

    def resolve(self, revision: str) -> str | None:
        """Give the commit that a branch, tag or commit names; None if there is none."""
        return self.refs.get(revision, revision if revision in self.commits else None)

    def etag(self, path: str, content: Content) -> str:
        """Give the id that the Hub sends as ETag: sha256 for LFS, else git's."""
        return content.sha256 if is_lfs(path) else git_blob(content.read(0, content.size))

    def facts(self, commit: str) -> dict[str, object]:
        """Write the answer of `GET /api/models/NAME/revision/REF?blobs=true`."""
        files = self.commits[commit]
        siblings = [self._sibling(path, content) for path, content in sorted(files.items())]
        return {"_id": "0" * 24, "id": self.name, "sha": commit, "siblings": siblings}

    def tree(self, commit: str) -> list[dict[str, object]]:
        """Write the answer of `GET /api/models/NAME/tree/REF?recursive=true`."""
        rows: list[dict[str, object]] = []
        for path, content in sorted(self.commits[commit].items()):
            facts = self._sibling(path, content)
            row = {"type": "file", "path": path, "oid": facts["blobId"], "size": content.size}
            if is_lfs(path):
                row["lfs"] = {"oid": content.sha256, "size": content.size, "pointerSize": 130}
            rows.append(row)
        return rows

    def _sibling(self, path: str, content: Content) -> dict[str, object]:
        facts: dict[str, object] = {"rfilename": path, "size": content.size}
        if not is_lfs(path):
            return facts | {"blobId": self.etag(path, content)}
        pointer = POINTER.format(content.sha256, content.size).encode()
        lfs = {"sha256": content.sha256, "size": content.size, "pointerSize": len(pointer)}
        return facts | {"blobId": git_blob(pointer), "lfs": lfs}
