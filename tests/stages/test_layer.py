"""A layer's bytes follow from the model's name and files alone."""

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import layer
from stages.layer import Entry

NAME = "acme/tiny"
CONTENTS = {"config.json": b"{}", "a/b.jinja": b"", "model.safetensors": bytes(range(256)) * 5}


def write(folder: Path) -> list[Entry]:
    """Write the files and list them as a layer's entries."""
    for path, content in CONTENTS.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return [Entry(path=path, size=len(content)) for path, content in sorted(CONTENTS.items())]


def tar(entries: list[Entry], folder: Path) -> bytes:
    """Join a layer's bytes."""
    return b"".join(bytes(piece) for piece in layer.stream(NAME, entries, folder))


def test_layer_is_a_tar_with_plain_entries(tmp_path: Path) -> None:
    """Folders come before files; all belong to root, are dated 0 and have plain modes."""
    content = tar(write(tmp_path), tmp_path)

    with tarfile.open(fileobj=io.BytesIO(content)) as found:
        members = found.getmembers()
        read = {one.name: found.extractfile(one) for one in members if one.isfile()}
        home = f"model-cache/models/{NAME}"
        assert [one.name for one in members] == [
            "model-cache",
            "model-cache/models",
            "model-cache/models/acme",
            home,
            f"{home}/a",
            *(f"{home}/{path}" for path in sorted(CONTENTS)),
        ]
        assert {(one.uid, one.gid, one.uname, one.gname, one.mtime) for one in members} == {
            (0, 0, "", "", 0)
        }
        assert {(one.isdir(), one.mode) for one in members} == {(True, 0o755), (False, 0o644)}
        for path, expected in CONTENTS.items():
            file = read[f"{home}/{path}"]
            assert file
            assert file.read() == expected


def test_layer_is_the_same_whoever_makes_it(tmp_path: Path) -> None:
    """Modes, times and the umask of the machine do not reach the layer's digest."""
    entries = write(tmp_path)
    for path in CONTENTS:
        (tmp_path / path).chmod(0o600)
        os.utime(tmp_path / path, (12345, 67890))

    digest = layer.digest(NAME, entries, tmp_path)

    # The golden value: changes only if every published layer is to change.
    assert digest == "sha256:6ed1f3240732053cf6e59e922777baa01149bd7d1303c5bd9513dc8dac6afbfe"


def test_size_is_known_without_the_bytes(tmp_path: Path) -> None:
    """The computed size is the size of the bytes."""
    entries = write(tmp_path)

    assert layer.size(NAME, entries) == len(tar(entries, tmp_path))


@given(size=st.integers(0, 2**40), length=st.integers(1, 200))
def test_size_is_whole_blocks(size: int, length: int) -> None:
    """Files past 8 GiB and long names take a PAX header, and the sum stays in whole blocks."""
    total = layer.size(NAME, [Entry(path="x" * length, size=size)])

    assert total % layer.BLOCK == 0
    assert total > size


def test_file_past_8_gib_is_written_with_its_size(tmp_path: Path) -> None:
    """A size that does not fit USTAR's field is in a PAX record that readers know."""
    entry = Entry(path="model.safetensors", size=9 * 2**30)
    (tmp_path / entry.path).touch()

    pieces = layer.stream(NAME, [entry], tmp_path)
    heads = b"".join(bytes(next(pieces)) for _ in range(5))

    with tarfile.open(fileobj=io.BytesIO(heads), mode="r|") as found:
        last = [found.next() for _ in range(5)][-1]
        assert last
        assert last.size == entry.size


@pytest.mark.parametrize("delta", [-1, 1])
def test_file_of_another_size_is_refused(tmp_path: Path, delta: int) -> None:
    """A file that shrank or grew would shift everything behind it."""
    entries = write(tmp_path)
    changed = [Entry(path=one.path, size=max(0, one.size + delta)) for one in entries]

    with pytest.raises(ValueError, match="does not have"):
        tar(changed, tmp_path)


def test_each_weight_file_has_its_own_layer_and_small_files_share_the_last() -> None:
    """So a shard that is unchanged is never sent again."""
    paths = ["config.json", "model-2.safetensors", "model-1.safetensors", "LICENSE"]

    groups = layer.split(Entry(path=path, size=1) for path in paths)

    assert [[one.path for one in group] for group in groups] == [
        ["model-1.safetensors"],
        ["model-2.safetensors"],
        ["LICENSE", "config.json"],
    ]


@given(count=st.integers(0, 300))
def test_an_image_never_has_too_many_layers(count: int) -> None:
    """Past 40 weight files neighbours share a layer, and each file is in exactly one."""
    entries = [Entry(path=f"{number:05}.safetensors", size=number) for number in range(count)]

    groups = layer.split(reversed(entries))

    assert len(groups) <= layer.MOST_WEIGHT_LAYERS
    assert [one for group in groups for one in group] == sorted(entries, key=lambda one: one.path)
