"""The image that a smoke test is about, as its layout says; nothing here is typed by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages import release
from stages.cargo import KIND
from stages.errors import IntegrityError
from stages.image import OURS
from stages.scan import layout
from stages.scan.layout import Blob, Layout
from stages.smoke.report import Arguments, Image

VERSION = f"{OURS}.vllm.version"  # the label that names vLLM's release


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One image.

    Attributes:
        layout: Its layout, whose index, manifest and configuration are sound.
        run: How a container of it starts: the configuration's own `config`.
        arguments: The same, as a report names it.
    """

    layout: Layout
    run: Mapping[str, Any]
    arguments: Arguments

    @property
    def image(self) -> Image:
        """What a report says of the image."""
        layers = tuple(one.diff_id for one in self.layout.layers)
        return Image(layers=layers, arguments=self.arguments)

    @property
    def labels(self) -> Mapping[str, str]:
        """What the image says of itself."""
        return {str(name): str(text) for name, text in (self.run.get("Labels") or {}).items()}

    @property
    def annotations(self) -> Mapping[str, str]:
        """What the manifest says of the image."""
        return dict(self._manifest.get("annotations") or {})

    @property
    def vllm(self) -> str | None:
        """The version of vLLM in the image; None when it does not say."""
        return self.labels.get(VERSION)

    @property
    def ours(self) -> list[tuple[str, Blob]]:
        """The layers of ours, each with what it holds."""
        kinds = [(one.get("annotations") or {}).get(KIND) for one in self._manifest["layers"]]
        pairs = zip(kinds, self.layout.layers, strict=True)
        return [(kind, blob) for kind, blob in pairs if kind]

    @property
    def _manifest(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.layout.texts[self.layout.manifest]
        return found


def read(folder: Path) -> Subject:
    """Read the image of a layout.

    Raises:
        IntegrityError: It is no sound layout, or does not say how a container of it starts.
    """
    found = layout.read(folder)
    config = found.texts[found.config]
    run = config.get("config") or {}
    try:
        _check(found, run)
        said = release.arguments(config)
    except (AttributeError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{folder}: the image's configuration or manifest is not sound: make it again"
        ) from error
    arguments = Arguments(
        entrypoint=tuple(said["entrypoint"]), cmd=tuple(said["cmd"]), env=said["env"]
    )
    return Subject(layout=found, run=run, arguments=arguments)


def _check(found: Layout, run: Mapping[str, Any]) -> None:
    """Raise TypeError where a part is not of the kind that is read."""
    manifest = found.texts[found.manifest]
    for one in (manifest, *manifest["layers"]):
        if not isinstance(one.get("annotations") or {}, dict):
            raise TypeError(one)
    for name in ("Entrypoint", "Cmd", "Env"):
        words = run.get(name) or []
        if not isinstance(words, list) or any(not isinstance(word, str) for word in words):
            raise TypeError(name)
    if not isinstance(run.get("Labels") or {}, dict):
        raise TypeError("Labels")
