"""`verify`: weights and caches from elsewhere are held against what they should be."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stages.model import NAME, Ended
from tests.stages.packaging import Inputs, sha256, spoil

Run = Callable[..., Ended]


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """Write a small model with its lock, and a compile cache of one file."""
    found = Inputs.write(tmp_path)
    listed = [{"path": "kernel", "size": 4, "sha256": sha256(b"code")}]
    (tmp_path / "cache").mkdir()
    spoil(tmp_path / "cache" / "kernel", b"code")
    spoil(tmp_path / "cache" / "cache.json", json.dumps({"files": listed}).encode())
    return found


def verify(stages: Run, inputs: Inputs) -> Ended:
    """Hold both folders against what they should be."""
    folder = inputs.folder
    named = [f"--lock={folder / 'lock'}", f"--weights={folder / 'weights'}"]
    return stages("verify", *named, f"--compile-cache={folder / 'cache'}")


def test_sound_folders_are_told(stages: Run, inputs: Inputs) -> None:
    """What they are, and nothing is changed."""
    ended = verify(stages, inputs)

    assert (ended.code, ended.err) == (0, "")
    assert f"is {NAME} at" in ended.out
    assert "is a compile cache of 2 files" in ended.out


# File and what it holds, None for its absence -> what is said.
SPOILT = {
    "other bytes": ("weights/config.json", b"{}", "expected"),
    "a missing file": ("weights/tokenizer.json", None, "cannot be read: No such file"),
    "a file too many": ("weights/run.py", b"", "holds run.py, which the lock does not name"),
    "other code": ("cache/kernel", b"edoc", "expected 4 bytes"),
    "code too much": ("cache/more", b"", "holds more, against its cache.json"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_spoilt_folder_is_refused(stages: Run, inputs: Inputs, case: str) -> None:
    """Each with what was seen and the file's name."""
    path, content, told = SPOILT[case]
    spoil(inputs.folder / path, content)

    ended = verify(stages, inputs)

    assert ended.code == 2
    assert told in ended.err


def test_file_that_the_server_could_not_read_is_refused(stages: Run, inputs: Inputs) -> None:
    """An image keeps a file's mode, and its server is not the file's owner."""
    (inputs.folder / "weights" / "config.json").chmod(0o600)

    ended = verify(stages, inputs)

    assert ended.code == 2
    assert "cannot be read by everybody" in ended.err


def test_nothing_to_verify_is_refused(stages: Run) -> None:
    """A folder must be named."""
    ended = stages("verify")

    assert (ended.code, ended.out) == (2, "")
    assert "give --weights, --compile-cache, or both" in ended.err
