"""What can be known of an image without starting it."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stages import layer
from stages.errors import IntegrityError
from stages.lockfile import Lock
from stages.smoke import agreement, tensors
from stages.smoke.agreement import WEIGHTS, Agreement
from stages.smoke.content import Content, InFolder, InLayers
from stages.smoke.report import Check, looked_at
from stages.smoke.subject import Subject
from stages.smoke.words import Words
from stages.stop import Stop

MAX_MODEL_LEN = "MAX_MODEL_LEN"


@dataclass(frozen=True, kw_only=True)
class Static:
    """One look at an image.

    Attributes:
        tree: The image's root as a folder, which is served; None when nothing is.
        weights: The model's folder; None when only the layout may hold the files.
        not_shown: Receives what could not be looked at.
    """

    subject: Subject
    lock: Lock
    tree: Path | None
    weights: Path | None
    stop: Stop
    not_shown: list[str]

    def run(self) -> list[Check]:
        """Look at everything that is at hand."""
        with tempfile.TemporaryDirectory(prefix="prewarm-") as scratch:
            try:
                tree = self.tree or self._unpacked(Path(scratch))
                described = agreement.describe(self.lock, tree, self.stop)
            except IntegrityError as error:
                return [Check(name="layers", passed=False, detail=str(error))]
        content = self._content()
        agreed = Agreement(
            subject=self.subject,
            lock=self.lock,
            described=described,
            stop=self.stop,
        )
        found = [looked_at("image", agreed.image), looked_at("layers", agreed.layers)]
        if self.tree:
            found.append(looked_at("served files", partial(agreed.served, self.tree)))
        if content:
            return [
                *found,
                looked_at("weights", partial(agreed.weights, content)),
                *self._of_the_model(content),
            ]
        model = self.lock.model
        self.not_shown.append(
            f"the model's files, which are not at hand: the lock names {model.name} at "
            f"{model.commit}"
        )
        return found

    def _of_the_model(self, content: Content) -> Iterator[Check]:
        paths = frozenset(file.path for file in self.lock.model.files)
        words = Words(content=content, paths=paths, not_shown=self.not_shown)
        asked = self.subject.arguments.env.get(MAX_MODEL_LEN)
        yield looked_at("safetensors", partial(tensors.check, content, sorted(paths)))
        yield looked_at("config", words.config)
        yield looked_at("length", partial(words.length, asked))
        yield looked_at("tokenizer", words.tokenizer)
        yield looked_at("chat template", words.template)

    def _unpacked(self, scratch: Path) -> Path:
        agreement.unpack(self.subject, scratch)
        return scratch

    def _content(self) -> Content | None:
        """Find the model's files: where a folder was named, else in the layout's own blobs."""
        home = layer.MODELS / self.lock.model.name
        if self.weights:
            return InFolder(self.weights)
        if self.tree:
            return InFolder(self.tree / home)
        blobs = [blob for kind, blob in self.subject.ours if kind in WEIGHTS]
        paths = tuple(self.subject.layout.path(blob.digest) for blob in blobs)
        return InLayers(paths, home) if all(path.exists() for path in paths) else None
