"""What the image says of its making: nothing, but for what a caller gives."""

from prewarm.errors import FunctionError
from prewarm.given import Given
from stages import settings
from stages.errors import UsageError
from stages.image import Provenance


def words(given: Given) -> list[str]:
    """Give what the `image` and `build` stages are told of it."""
    said = {
        "--created": given.created,
        "--source": given.source_url,
        "--revision": given.source_revision,
        "--version": given.image_version,
    }
    return [word for pair in said.items() if pair[1] for word in pair]


def read(given: Given) -> Provenance:
    """Give the same for a container.

    Raises:
        FunctionError: The time is none.
    """
    try:
        created = settings.created({}, given.created or None)
    except UsageError as error:
        raise FunctionError(f"assembling the image: {error}") from None
    return Provenance(
        created=created,
        revision=given.source_revision or None,
        source=given.source_url or None,
        version=given.image_version or None,
    )
