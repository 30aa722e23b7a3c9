"""What cache.json says is read as it was written, and never trusted."""

import json
from pathlib import Path

import pytest

from runtime import kept_cache
from runtime.kept_cache import Kept
from stages import compile_cache
from stages.stop import Stop
from tests.runtime import kept as caches


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Every field survives, the files in the order of their names."""
    told = caches.make(
        tmp_path / "cache",
        key={"dtype": "bfloat16", "arguments": {"seed": "1"}},
        recorded={"driver": "580.65"},
        settings={"MAX_MODEL_LEN": "4096"},
        arguments=("--seed", "1"),
        times={caches.BUILT: 17},
    )

    found = kept_cache.find({kept_cache.VARIABLE: str(tmp_path / "cache")})

    assert found == told
    assert [file.path for file in told.files] == sorted(caches.FILES)
    assert told.size == sum(map(len, caches.FILES.values()))


def test_the_stages_take_what_was_written(tmp_path: Path) -> None:
    """`rootfs --compile-cache` checks the same cache.json that `bake` writes."""
    caches.make(tmp_path)

    listed = compile_cache.read(tmp_path, Stop())

    assert {file.path for file in listed} == {*caches.FILES, "cache.json"}


def test_the_same_cache_is_the_same_text(tmp_path: Path) -> None:
    """The layer's digest follows from the content alone, whenever and in whatever order it came."""
    backwards = dict(reversed(caches.FILES.items()))
    caches.make(tmp_path / "a", key={"a": 1, "b": 2})
    caches.make(tmp_path / "b", backwards, key={"b": 2, "a": 1})

    first, second = ((tmp_path / name / "cache.json").read_bytes() for name in "ab")

    assert first == second


@pytest.mark.parametrize("place", ["", "cache.json/cache"])
def test_without_a_cache_there_is_none(tmp_path: Path, place: str) -> None:
    """An image without a compile cache is no mistake."""
    (tmp_path / "other").write_text("")

    assert kept_cache.find({kept_cache.VARIABLE: str(tmp_path / "none" / place)}) is None
    assert kept_cache.find({kept_cache.VARIABLE: str(tmp_path / "other")}) is None


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("", "JSONDecodeError"),
        ("[]", "TypeError"),
        ('{"version": 2}', "ValueError(2)"),
        ('{"version": 1, "key": {}}', "KeyError"),
        ("\xff", "JSONDecodeError"),
    ],
)
def test_a_cache_json_that_says_nothing_is_a_problem(tmp_path: Path, text: str, seen: str) -> None:
    """It is named, and no error: the start goes on without the cache."""
    (tmp_path / "cache.json").write_text(text)

    found = kept_cache.find({kept_cache.VARIABLE: str(tmp_path)})

    assert found is not None
    assert seen in found.problem
    assert found.files == ()


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "triton/../../x"])
def test_a_path_that_leaves_the_folder_is_a_problem(tmp_path: Path, path: str) -> None:
    """No file is copied to a place that the cache does not own."""
    caches.make(tmp_path)
    told = json.loads((tmp_path / "cache.json").read_text())
    told["files"][0]["path"] = path
    (tmp_path / "cache.json").write_text(json.dumps(told))

    found = kept_cache.find({kept_cache.VARIABLE: str(tmp_path)})

    assert found is not None
    assert path in found.problem


def test_a_cache_json_that_cannot_be_opened_is_a_problem(tmp_path: Path) -> None:
    """What the system says is told."""
    (tmp_path / "cache.json").mkdir()

    found = kept_cache.find({kept_cache.VARIABLE: str(tmp_path)})

    assert found == Kept(
        folder=tmp_path, problem=f"{tmp_path}/cache.json cannot be read: Is a directory"
    )


def test_links_are_no_files(tmp_path: Path) -> None:
    """What is kept are bytes, never a way out of the folder."""
    (tmp_path / "file").write_text("a")
    (tmp_path / "link").symlink_to(tmp_path / "file")

    (found,) = kept_cache.below(tmp_path)
    assert found == "file"
    assert kept_cache.below(tmp_path / "none") == {}
