"""Searching a whole image: what it says of itself, our layers, stray blobs, and logs."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stages.errors import IntegrityError, UsageError
from stages.lockfile import File, Lock
from stages.scan import description, layers, layout
from stages.scan.findings import HIDDEN, Finding, findings, shown
from stages.scan.layout import Blob, Layout
from stages.scan.members import Part
from stages.scan.needles import Needle
from stages.scan.report import Layer, Log, Other, Report, State
from stages.scan.search import Search


def scan(
    folder: Path, *, lock: Lock | None, secrets: Sequence[Needle], logs: Sequence[Path]
) -> Report:
    """Search an image layout and logs.

    Raises:
        IntegrityError: The layout is not sound, or a blob of ours is absent or another one.
        UsageError: A log cannot be read.
    """
    by, found = Search(secrets), list[Finding]()
    read_logs = [_log(path, by, found) for path in logs]
    image = layout.read(folder)
    for source, text in image.texts.items():
        found += description.search(source, text, by)
    weights = {one.digest for one in lock.model.layers if one.digest} if lock else set[str]()
    files = frozenset(lock.model.files) if lock else frozenset[File]()
    states = _states(image, weights)
    searched = [
        _layer(image, blob, state, files, by, found)
        for blob, state in zip(image.layers, states, strict=True)
    ]
    others = [_other(image, digest, by, found) for digest in image.others()]
    return Report(
        manifest=image.manifest,
        config=image.config,
        layers=tuple(searched),
        others=tuple(others),
        logs=tuple(read_logs),
        secrets=tuple(dict.fromkeys(_label(one, by) for one in secrets)),
        findings=tuple(replace(one, what=_hidden(one.what, by)) for one in found),
    )


def _label(needle: Needle, by: Search) -> str:
    return _hidden(needle.secret, by)


def _hidden(text: str, by: Search) -> str:
    """Hide a label that holds a secret itself, as a file named after its token does."""
    return HIDDEN if by.in_text(text) else text


def _states(image: Layout, weights: set[str]) -> list[State]:
    """Decide what is searched, and refuse an image that lacks a layer of ours."""
    states, above = [], False
    for blob in image.layers:
        present = image.path(blob.digest).exists()
        if blob.digest in weights:
            above = True
            states.append(State.WEIGHTS)
        elif present:
            above = True
            states.append(State.SEARCHED)
        elif blob.ours or above:
            raise IntegrityError(
                f"blob {blob.digest} is absent, and it is no layer of the base: "
                "make the layout again"
            )
        else:
            states.append(State.BASE)
    if State.SEARCHED not in states and State.WEIGHTS not in states:
        raise IntegrityError(f"{image.folder} holds no layer: there is nothing of ours to search")
    return states


def _layer(
    image: Layout,
    blob: Blob,
    state: State,
    files: frozenset[File],
    by: Search,
    found: list[Finding],
) -> Layer:
    """Hold a layer to its digest if it is there, and search it if it is to be searched."""
    told = Layer(digest=blob.digest, diff_id=blob.diff_id, size=blob.size, state=state)
    path = image.path(blob.digest)
    if path.exists():
        layout.check(image, blob.digest, blob.size)
    if state is not State.SEARCHED:
        return told
    with path.open("rb") as file, layers.plain(blob, file) as tar:
        result = layers.search(blob.digest, tar, by, weights=files)
    found += result.findings
    return replace(told, entries=result.entries, searched=result.size, weights=result.passed)


def _other(image: Layout, digest: str, by: Search, found: list[Finding]) -> Other:
    """Search a blob that nothing names: it travels with the folder."""
    name = shown(digest, by)
    path = image.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
    if not path.is_file() or path.is_symlink():
        raise IntegrityError(f"the layout holds {name}, which is no file")
    with path.open("rb") as file:
        hits, size = by.in_file(file)
        part = Part(file, 0, size)
        found += [*findings(name, "", "content", hits), *layers.inside(name, "", "", part, by)]
    return Other(digest=name, searched=size)


def _log(path: Path, by: Search, found: list[Finding]) -> Log:
    """Search a log, and what is in it if it is compressed."""
    name = shown(path.name, by)
    try:
        with path.open("rb") as file:
            hits, size = by.in_file(file)
            part = Part(file, 0, size)
            found += findings(name, "", "content", hits)
            found += layers.inside(name, "", path.name, part, by)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"--log: {name} cannot be read: {error.strerror}") from error
    return Log(name=name, sha256=sha256, searched=size)
