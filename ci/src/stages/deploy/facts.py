"""What an image says of itself, as far as a platform must know it."""

from collections.abc import Mapping
from dataclasses import dataclass

from stages import base
from stages.base import Source
from stages.errors import UsageError
from stages.image import OURS, Kind

# The runtime's own defaults, for what an image does not set: tests compare them.
DEFAULTS = {
    "PORT": 8000,
    "START_TIMEOUT": 0,
    "PREWARM_TIMEOUT": 300,
    "SHUTDOWN_TIMEOUT": 8,
    "MAX_QUEUE": 256,
}
_MODEL = f"{OURS}.model.name"
_LAYER = f"{OURS}.layer"
_WEIGHTS = {str(Kind.WEIGHTS), str(Kind.MODEL)}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One image.

    Attributes:
        model: OWNER/NAME; None when the image is not one of ours.
        weights: Bytes of the model's files; None when the manifest does not tell.
        settings: Name -> whole number, of the settings that a platform must know.
    """

    model: str | None
    weights: int | None
    settings: Mapping[str, int]


def read(source: Source, digest: str, *, changes: Mapping[str, str]) -> Facts:
    """Read an image by its manifest's digest.

    Args:
        source: Where its manifest and configuration lie.
        digest: Names the manifest.
        changes: Settings over the image's.

    Raises:
        UsageError: A setting is no whole number; lists every problem.
        StagesError: As `base.read`.
    """
    image = base.read(source, digest, what="the image")
    run = image.config.get("config") or {}
    env = dict(one.partition("=")[::2] for one in run.get("Env") or ()) | dict(changes)
    weights = [one.size for one in image.layers if one.annotations.get(_LAYER) in _WEIGHTS]
    return Facts(
        model=(run.get("Labels") or {}).get(_MODEL),
        weights=sum(weights) if weights else None,
        settings=_settings(env),
    )


def _settings(env: Mapping[str, str]) -> dict[str, int]:
    found, problems = dict(DEFAULTS), []
    for name, default in DEFAULTS.items():
        text = env.get(name) or str(default)
        if text.isascii() and text.isdigit() and len(text) < 10:  # noqa: PLR2004 (digits)
            found[name] = int(text)
        else:
            problems.append(f"{name} is {text[:100]!a}, expected a whole number")
    if problems:
        raise UsageError("; ".join(problems))
    return found
