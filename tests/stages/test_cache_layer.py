"""A compile cache as `bake` keeps it becomes one layer, which follows from its content alone."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from stages.image import set_digest
from stages.lockfile import File
from tests.runtime import kept as caches
from tests.stages.model import Ended
from tests.stages.packaging import Inputs, config_of, manifest_of
from tests.stages.smoking import sound, write
from tests.support.registry import registry

Run = Callable[..., Ended]


def layers(stages: Run, folder: Path, files: Mapping[str, bytes] | None) -> list[str]:
    """Make an image with a cache of these files, or without; return its layers' digests."""
    made = Inputs.write(folder)
    options: list[str] = []
    if files is not None:
        caches.make(folder / "cache", files)
        options.append(f"--compile-cache={folder / 'cache'}")
    assert stages(*made.rootfs(*options)).code == 0
    assert stages(*made.image()).code == 0
    return [one["digest"] for one in manifest_of(folder / "image")["layers"]]


def test_a_cache_is_one_layer_more(stages: Run, tmp_path: Path) -> None:
    """No other layer changes, and the label names the cache's files."""
    without = layers(stages, tmp_path / "a", None)
    with_it = layers(stages, tmp_path / "b", caches.FILES)

    (added,) = set(with_it) - set(without)
    assert [one for one in with_it if one != added] == without
    kept = caches.make(tmp_path / "again")
    itself = File(
        path="cache.json",
        size=(kept.folder / "cache.json").stat().st_size,
        sha256=caches.sha256(kept.folder / "cache.json"),
    )
    files = [File(path=one.path, size=one.size, sha256=one.sha256) for one in kept.files]
    labels = config_of(tmp_path / "b" / "image")["config"]["Labels"]
    assert labels["dev.prewarm.compile-cache.digest"] == set_digest([*files, itself])


def test_the_layer_follows_from_the_content_alone(stages: Run, tmp_path: Path) -> None:
    """Not from times, modes or the order of writing; another byte is another layer."""
    first = layers(stages, tmp_path / "a", caches.FILES)
    before = os.umask(0o077)
    try:
        same = layers(stages, tmp_path / "b", dict(reversed(caches.FILES.items())))
    finally:
        os.umask(before)
    other = layers(stages, tmp_path / "c", {**caches.FILES, caches.KERNEL: b"other"})

    assert same == first
    assert len(set(other) - set(first)) == 1


def test_an_image_takes_a_cache_that_its_tree_does_not_hold(stages: Run, tmp_path: Path) -> None:
    """It is the image that a tree with the cache makes, to the byte."""
    in_tree = layers(stages, tmp_path / "a", caches.FILES)
    made = Inputs.write(tmp_path / "b")
    caches.make(tmp_path / "cache", caches.FILES)
    assert stages(*made.rootfs()).code == 0

    ended = stages(*made.image(f"--compile-cache={tmp_path / 'cache'}"))

    assert ended.code == 0
    assert [one["digest"] for one in manifest_of(tmp_path / "b" / "image")["layers"]] == in_tree
    assert config_of(tmp_path / "b" / "image") == config_of(tmp_path / "a" / "image")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda cache: (cache / caches.KERNEL).write_bytes(b"other"), caches.KERNEL),
        (lambda cache: (cache / "unlisted").touch(), "unlisted"),
        (lambda cache: (cache / caches.KERNEL).unlink(), caches.KERNEL),
    ],
    ids=["wrong", "unlisted", "absent"],
)
def test_an_image_refuses_a_cache_that_is_not_as_it_was_baked(
    stages: Run, tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    """Cached files are code that will run; nothing is written then."""
    made = Inputs.write(tmp_path)
    caches.make(tmp_path / "cache", caches.FILES)
    assert stages(*made.rootfs()).code == 0
    spoil(tmp_path / "cache")

    ended = stages(*made.image(f"--compile-cache={tmp_path / 'cache'}"))

    assert ended.code == 2
    assert said in ended.err
    assert not list((tmp_path / "image").glob("*"))


def test_an_image_has_one_cache(stages: Run, tmp_path: Path) -> None:
    """Which of two were meant cannot be told."""
    made = Inputs.write(tmp_path)
    caches.make(tmp_path / "cache", caches.FILES)
    option = f"--compile-cache={tmp_path / 'cache'}"
    assert stages(*made.rootfs(option)).code == 0

    ended = stages(*made.image(option))

    assert ended.code == 2
    assert "holds a compile cache already" in ended.err


@pytest.mark.containers
def test_a_build_puts_it_into_the_image(stages: Run, tmp_path: Path) -> None:
    """Once, by way of the tree, which a server can be started from."""
    write(tmp_path, sound())
    caches.make(tmp_path / "kept")
    named = [f"--{name}={tmp_path / name}" for name in ("lock", "runtime", "weights", "cache")]
    named += [f"--compile-cache={tmp_path / 'kept'}", f"--base=oci:{tmp_path / 'base'}"]

    with registry(tmp_path / "registry") as target:
        words = ["build", f"{target.host}/acme/tiny:v1", f"--work={tmp_path / 'work'}"]
        ended = stages(*words, *named)

    work = tmp_path / "work"
    labels = config_of(work / "image")["config"]["Labels"]
    assert ended.code == 0, ended.err
    assert labels["dev.prewarm.compile-cache.digest"].startswith("sha256:")
    assert (work / "tree" / "opt/prewarm/compile-cache" / caches.KERNEL).exists()
