"""`download` gives exactly the lock's files, plain and verified."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stages import lockfile
from tests.stages.model import COMMIT, NAME, Ended, content
from tests.support.hub import LoopbackHub
from tests.support.hub_repo import Content

Run = Callable[..., Ended]
Files = dict[str, bytes | Path]


class Place:
    """Where one test locks and downloads."""

    def __init__(self, stages: Run, hub: LoopbackHub, folder: Path) -> None:
        """Use folders below `folder`."""
        self.stages, self.hub = stages, hub
        self.lock, self.cache, self.out = folder / "lock", folder / "cache", folder / "out"
        self.environ = {"HF_ENDPOINT": hub.endpoint}

    def make_lock(self) -> None:
        """Lock the small model."""
        assert self.stages("lock", NAME, "--out", self.lock, environ=self.environ).code == 0
        self.hub.hub.log.clear()

    def download(self) -> Ended:
        """Download it."""
        folders = ("--cache", self.cache, "--out", self.out)
        return self.stages("download", "--lock", self.lock, *folders, environ=self.environ)


@pytest.fixture
def place(stages: Run, hub: LoopbackHub, tmp_path: Path) -> Place:
    """Lock the small model and give the place to download it."""
    place = Place(stages, hub, tmp_path)
    place.make_lock()
    return place


def test_folder_holds_exactly_the_locked_files(place: Place, files: Files) -> None:
    """Each file has its bytes; there is no other file and no link."""
    ended = place.download()

    paths = [file.path for file in lockfile.read(place.lock).model.files]
    found = [path for path in place.out.rglob("*") if not path.is_dir()]
    assert ended.code == 0
    assert sorted(str(path.relative_to(place.out)) for path in found) == paths
    for path in paths:
        assert (place.out / path).read_bytes() == content(files, path)
        assert not (place.out / path).is_symlink()


def test_files_are_plain(place: Place) -> None:
    """Mode 0644, folders 0755, all dated 0, whatever the umask."""
    before = os.umask(0o077)
    try:
        place.download()
    finally:
        os.umask(before)

    for path in place.out.rglob("*"):
        stats = path.stat()
        assert stats.st_mode & 0o7777 == (0o755 if path.is_dir() else 0o644)
        assert stats.st_mtime == 0


def test_second_run_asks_nobody(place: Place) -> None:
    """What the cache has is verified and used: no request is made, even with no Hub there."""
    place.download()
    place.hub.hub.log.clear()
    shutil.rmtree(place.out)

    ended = place.download()

    assert ended.code == 0
    assert "0 B had to be fetched" in ended.out
    assert place.hub.hub.log == []


def test_damaged_cache_is_noticed(place: Place, files: Files) -> None:
    """A file that changed in the cache is fetched again."""
    place.download()
    damaged = next(
        path for path in (place.cache / "sha256").iterdir() if path.stat().st_size > 10**6
    )
    damaged.chmod(0o600)
    with damaged.open("r+b") as file:
        file.write(b"damage")

    ended = place.download()

    assert ended.code == 0
    assert "model.safetensors in the cache has changed" in ended.err
    assert (place.out / "model.safetensors").read_bytes() == content(files, "model.safetensors")


def test_files_of_another_commit_are_replaced(place: Place) -> None:
    """The same folder takes the next commit; what did not change is not fetched."""
    place.download()
    place.hub.storage.log.clear()
    place.hub.repo.commits[COMMIT]["config.json"] = Content(b'{"new": 1}')
    place.make_lock()

    ended = place.download()

    assert ended.code == 0
    assert (place.out / "config.json").read_bytes() == b'{"new": 1}'
    assert place.hub.storage.log == []


def test_folder_on_another_disk_gets_copies(
    place: Place, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the cache cannot be linked to, the bytes are copied, as plain as before."""

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)

    place.download()
    again = place.download()

    weights = place.out / "model.safetensors"
    assert again.code == 0
    assert weights.read_bytes() == content(files, "model.safetensors")
    assert (weights.stat().st_nlink, weights.stat().st_mtime) == (1, 0)


def test_folder_with_foreign_files_is_refused(place: Place) -> None:
    """What would be packaged by accident is named, and nothing is fetched."""
    place.out.mkdir()
    (place.out / "notes.txt").write_text("mine")

    ended = place.download()

    assert ended.code == 2
    assert "holds notes.txt, which is not in the lock" in ended.err
    assert place.hub.hub.log == []
    assert (place.out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_folder_is_refused(place: Place, kind: str) -> None:
    """--out is a folder, not a file or a link to somewhere else."""
    if kind == "file":
        place.out.write_text("x")
    else:
        place.out.symlink_to(place.lock.parent)

    ended = place.download()

    assert ended.code == 2
    assert "is not a folder" in ended.err


def test_leftovers_of_a_killed_run_are_removed(place: Place) -> None:
    """Half-placed files have names of their own and do not stay."""
    place.out.mkdir()
    (place.out / ".prewarm-0123").write_bytes(b"half")

    assert place.download().code == 0
    assert not list(place.out.glob(".prewarm-*"))


def test_config_is_absent_while_files_change(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends while it fills the folder leaves one that nothing loads."""
    place.download()
    place.hub.repo.commits[COMMIT]["config.json"] = Content(b'{"new": 1}')
    place.hub.repo.commits[COMMIT]["model.safetensors"] = Content(b"new weights")
    place.make_lock()
    link = os.link

    def full(source: Path, target: Path) -> None:
        if target.parent == place.out and source.stat().st_size == len(b"new weights"):
            raise OSError(28, "No space left on device")
        link(source, target)

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copyfile", full)

    ended = place.download()

    assert ended.code == 2
    assert "No space left on device" in ended.err
    assert not (place.out / "config.json").exists()


def test_code_in_a_hand_made_lock_is_refused(place: Place) -> None:
    """A lock that was not made by `lock` gets the same refusal, and no folder."""
    bad = b'{"auto_map": {"AutoConfig": "evil.Config"}}'
    place.hub.repo.commits[COMMIT]["config.json"] = Content(bad)
    text = json.loads(place.lock.read_text())
    entry = next(one for one in text["model"]["files"] if one["path"] == "config.json")
    entry |= {"size": len(bad), "sha256": Content(bad).sha256}
    files = tuple(lockfile.File(**one) for one in text["model"]["files"])
    layers = lockfile.layers(NAME, files)
    for one, layer in zip(text["model"]["layers"], layers, strict=True):
        one["size"] = layer.size
    place.lock.write_text(json.dumps(text))

    ended = place.download()

    assert ended.code == 2
    assert "config.json holds auto_map" in ended.err
    assert not place.out.exists()
