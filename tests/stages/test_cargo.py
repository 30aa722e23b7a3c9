"""What a push brings along follows from the manifest and from what lies in the layout."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stages import cargo
from stages.cargo import Place
from stages.errors import IntegrityError
from stages.scan import layout
from tests.stages.model import Ended
from tests.stages.packaging import Inputs, SmallBase

Run = Callable[..., Ended]


@pytest.fixture
def image(stages: Run, tmp_path: Path) -> layout.Layout:
    """Make an image, over a base that names one blob twice."""
    once = SmallBase(index=False)
    once.make()
    manifest = json.loads(next(one for one in once.blobs.values() if b"schemaVersion" in one))
    config = json.loads(once.blobs[manifest["config"]["digest"]])
    diff_ids = config["rootfs"]["diff_ids"] * 2
    twice = SmallBase(
        index=False,
        manifest={"layers": manifest["layers"] * 2},
        config={"rootfs": {"type": "layers", "diff_ids": diff_ids}},
    )
    inputs = Inputs.write(tmp_path, twice)
    assert stages(*inputs.rootfs()).code == 0
    assert stages(*inputs.image()).code == 0
    return layout.read(tmp_path / "image")


def there(image: layout.Layout) -> Callable[[str], bool]:
    """Say whether a blob lies in the layout."""
    return lambda digest: image.path(digest).exists()


def test_every_blob_is_listed_once_and_the_largest_first(image: layout.Layout) -> None:
    """The base's layer is named twice by the manifest, and brought once."""
    found = cargo.items(image, there=there(image))

    digests = [one.digest for one in found]
    assert set(digests) == {image.config, *(one.digest for one in image.layers)}
    assert len(digests) == len(set(digests))
    assert [one.size for one in found] == sorted((one.size for one in found), reverse=True)
    assert [one.place for one in found].count(Place.BASE) == 1


def test_weights_that_are_not_there_are_known(image: layout.Layout) -> None:
    """By their digest alone: the registry has them, or nobody."""
    weights = {one.digest for one in image.layers[2:5]}

    found = cargo.items(image, there=lambda digest: digest not in weights and there(image)(digest))

    assert {one.digest for one in found if one.place is Place.KNOWN} == weights


@pytest.mark.parametrize("said", [None, "x", {}, {"dev.prewarm.layer": ["weights"]}])
def test_layer_that_says_nothing_of_itself_is_not_known(image: layout.Layout, said: object) -> None:
    """Only what is called weights may be absent, and what is not the base's."""
    image.texts[image.manifest]["layers"][2]["annotations"] = said

    with pytest.raises(IntegrityError, match="is absent"):
        cargo.items(image, there=lambda digest: digest != image.layers[2].digest)


def test_base_that_is_there_is_taken_from_the_layout(image: layout.Layout) -> None:
    """As in a layout that somebody has completed."""
    found = cargo.items(image, there=lambda _: True)

    assert {one.place for one in found} == {Place.LAYOUT}


def test_layer_of_ours_that_is_not_there_is_refused(image: layout.Layout) -> None:
    """No lock vouches for the runtime."""
    runtime = image.layers[-1].digest

    with pytest.raises(
        IntegrityError, match=f"{runtime} is absent, and it is no layer of the base"
    ):
        cargo.items(image, there=lambda digest: digest != runtime)
