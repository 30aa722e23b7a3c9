"""Weights that the lock knows need not be at hand: tree and image are made without them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stages import lockfile
from tests.stages.model import NAME, Ended
from tests.stages.packaging import Inputs, blob, manifest_of

Run = Callable[..., Ended]


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """Write what an image is made from, with a lock that knows its layers."""
    return Inputs.write(tmp_path, known=True)


def test_image_without_weights_has_the_same_digest(stages: Run, inputs: Inputs) -> None:
    """Its manifest names the layers, which are not in the layout; all others are."""
    stages(*inputs.rootfs())
    whole = stages(*inputs.image(out="whole"))
    for made in ("weights", "tree"):
        shutil.rmtree(inputs.folder / made)

    tree = stages(*inputs.rootfs(known=True))
    image = stages(*inputs.image("--known"))

    layers = manifest_of(inputs.folder / "image")["layers"][1:]
    there = [blob(inputs.folder / "image", one["digest"]).exists() for one in layers]
    assert (tree.code, image.code) == (0, 0)
    assert f"no files of {NAME}" in tree.out
    assert not (inputs.folder / "tree/model-cache").exists()
    assert image.out == whole.out
    assert there == [False, False, False, True]


def test_scan_takes_an_image_without_weights(stages: Run, inputs: Inputs) -> None:
    """The lock names what is not there; without it, a layer of ours is missing."""
    stages(*inputs.rootfs(known=True))
    stages(*inputs.image("--known"))
    layout = inputs.folder / "image"

    matched = stages("scan", layout, f"--lock={inputs.folder / 'lock'}")
    unknown = stages("scan", layout)

    assert matched.code == 0, matched.err
    assert unknown.code == 2
    assert "is absent, and it is no layer of the base" in unknown.err


def forget(inputs: Inputs) -> None:
    """Take a layer's digest out of the lock."""
    path = inputs.folder / "lock"
    digest = lockfile.read(path).model.layers[1].digest
    path.write_text(path.read_text().replace(f'"{digest}"', "null"))


@pytest.mark.parametrize("verb", ["rootfs", "image"])
def test_lock_that_does_not_know_a_layer_is_refused(stages: Run, inputs: Inputs, verb: str) -> None:
    """The message names the layer, and how it becomes known."""
    stages(*inputs.rootfs(known=True))
    shutil.move(inputs.folder / "tree", inputs.folder / "before")
    forget(inputs)
    words = {
        "rootfs": inputs.rootfs(known=True),
        "image": [*inputs.image("--known"), f"--rootfs={inputs.folder / 'before'}"],
    }

    ended = stages(*words[verb])

    assert (ended.code, ended.out) == (2, "")
    assert "the layer of model-00002-of-00002.safetensors. Run `lock --weights DIR`" in ended.err
    assert not (inputs.folder / "tree").exists()
    assert not (inputs.folder / "image").exists()


def test_tree_without_weights_needs_the_option_again(stages: Run, inputs: Inputs) -> None:
    """An image whose weights are missing by accident is not made."""
    stages(*inputs.rootfs(known=True))

    ended = stages(*inputs.image())

    assert ended.code == 2
    assert "LICENSE is absent, the lock says" in ended.err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "one of the arguments --weights --known is required"),
        (("--known", "--weights=w"), "not allowed with argument"),
    ],
    ids=["neither", "both"],
)
def test_weights_are_given_or_known(
    stages: Run, inputs: Inputs, more: tuple[str, ...], message: str
) -> None:
    """One of the two, so that nobody leaves them out without saying so."""
    words = [word for word in inputs.rootfs() if not word.startswith("--weights")]

    ended = stages(*words, *more)

    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


def test_weights_in_the_tree_are_still_checked(stages: Run, inputs: Inputs) -> None:
    """A tree that holds them may be used, if they are the lock's."""
    stages(*inputs.rootfs())
    (inputs.folder / "tree/model-cache/models" / NAME / "config.json").write_bytes(b"x")

    ended = stages(*inputs.image("--known"))

    assert ended.code == 2
    assert "config.json is 1 bytes long, the lock says" in ended.err
