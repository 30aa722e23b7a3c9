"""What a push brings to a registry: every blob of an image, and where its bytes are."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from stages.errors import IntegrityError
from stages.image import OURS, Kind
from stages.scan.layout import Layout

KIND = f"{OURS}.layer"  # the annotation that says what a layer of ours holds
_WEIGHTS = frozenset({Kind.WEIGHTS, Kind.MODEL})


class Place(StrEnum):
    """Who has a blob."""

    LAYOUT = "layout"  # it lies there
    BASE = "base"  # wherever the base lies
    KNOWN = "known"  # the registry itself, or nobody: weights that were only referred to


@dataclass(frozen=True, kw_only=True)
class Item:
    """One blob; its size is in bytes."""

    digest: str
    size: int
    place: Place


def items(image: Layout, *, there: Callable[[str], bool]) -> list[Item]:
    """List an image's blobs, each once, the largest first; the configuration is one of them.

    Args:
        image: The image.
        there: Whether the layout holds a blob.

    Raises:
        IntegrityError: A layer of ours is absent which no lock can vouch for.
    """
    manifest = image.texts[image.manifest]
    config = manifest["config"]
    found = {image.config: Item(digest=image.config, size=config["size"], place=Place.LAYOUT)}
    for blob, entry in zip(image.layers, manifest["layers"], strict=True):
        said = entry.get("annotations")
        kind = str(said.get(KIND) or "") if isinstance(said, dict) else ""
        if there(blob.digest):
            place = Place.LAYOUT
        elif kind in _WEIGHTS:
            place = Place.KNOWN
        elif kind or blob.ours:
            raise IntegrityError(
                f"blob {blob.digest} is absent, and it is no layer of the base: make the layout "
                "again"
            )
        else:
            place = Place.BASE
        found[blob.digest] = Item(digest=blob.digest, size=blob.size, place=place)
    return sorted(found.values(), key=lambda one: -one.size)
