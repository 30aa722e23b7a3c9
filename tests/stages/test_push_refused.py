"""An image leaves the machine only with reports that name it and pass it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stages.model import Ended
from tests.stages.packaging import blob, manifest_of, sha256, spoil
from tests.stages.pushing import Ready

Run = Callable[..., Ended]
NOBODY = "127.0.0.1:9/a/b"  # where no registry listens: a refused push asks none
DIGEST = f"sha256:{'d' * 64}"
CHECK = {"name": "chat", "passed": False, "detail": "said nothing"}


Change = Callable[[dict[str, Any]], object]


def arguments(**changes: Any) -> Change:
    """Report on an image that starts in another way."""
    return lambda report: report["image"]["arguments"].update(changes)


def env(name: str, text: str | None) -> Change:
    """Report on an image with another variable, or without one."""

    def change(report: dict[str, Any]) -> None:
        variables = report["image"]["arguments"]["env"]
        variables.pop(name, None)
        if text is not None:
            variables[name] = text

    return change


def drop_layer(report: dict[str, Any]) -> None:
    """Report on one layer less."""
    report["image"]["layers"].pop()


def other_layer(report: dict[str, Any]) -> None:
    """Report on another layer."""
    report["image"]["layers"][2] = DIGEST


def swap_layers(report: dict[str, Any]) -> None:
    """Report on the same layers in another order."""
    report["image"]["layers"].reverse()


# How the smoke test's report is changed, and what the message says.
SMOKE: dict[str, tuple[Change, str]] = {
    "failed": (lambda report: report.update(verdict="failed"), "does not pass it"),
    "failed check": (
        lambda report: report.update(verdict="failed", checks=[CHECK]), "does not pass it: 'chat'"
    ),
    "passed, but for a check": (
        lambda report: report["checks"].append(CHECK), "does not pass it: 'chat'"
    ),
    "passed without a check": (lambda report: report.update(checks=[]), "does not pass it"),
    "check that passed by a word": (
        lambda report: report.update(checks=[CHECK | {"passed": "true"}]), "does not pass it"
    ),
    "no checks": (lambda report: report.pop("checks"), "has no sound list of checks"),
    "one layer less": (drop_layer, "is of other layers: it names 4, the image has 5"),
    "another layer": (other_layer, f"of other layers: number 3 is '{DIGEST}', expected sha256:"),
    "layers in another order": (swap_layers, "is of other layers: number 1 is 'sha256:"),
    "layers that are none": (
        lambda report: report["image"].update(layers="all"), "is of other layers"
    ),
    "another entrypoint": (
        arguments(entrypoint=["sh"]), "is of another entrypoint: ['sh'], expected ['python3'"
    ),
    "another command": (arguments(cmd=["--port=1"]), "another cmd: ['--port=1'], expected []"),
    "another variable": (env("PORT", "canary"), "is of another env: 'PORT'."),
    "one variable less": (env("HF_HOME", None), "is of another env: 'HF_HOME'."),
    "one variable more": (env("MORE", "canary"), "is of another env: 'MORE'."),
    "no env": (arguments(env=None), "names no env"),
    "no arguments": (lambda report: report["image"].pop("arguments"), "names no arguments"),
    "no image": (lambda report: report.update(image=None), "names no image"),
    "another version": (lambda report: report.update(version=2), "is of version 2, expected 1"),
    "version that is true": (
        lambda report: report.update(version=True), "is of version True, expected 1"
    ),
    "no verdict": (
        lambda report: report.pop("verdict"), "has the verdict None, expected passed or failed"
    ),
    "verdict of many signs": (
        lambda report: report.update(verdict="\x1b[2J" * 999), r"has the verdict '\x1b[2J"
    ),
}  # fmt: skip
SCAN: dict[str, tuple[Change, str]] = {
    "leaks": (lambda report: report.update(verdict="leaks", findings=[{}, {}]), "has 2 findings"),
    "clean, but for a finding": (lambda report: report.update(findings=[{}]), "has 1 findings"),
    "leaks without a finding": (lambda report: report.update(verdict="leaks"), "has 0 findings"),
    "another image": (
        lambda report: report.update(manifest=DIGEST), f"is of another image: '{DIGEST}'"
    ),
    "no image": (lambda report: report.pop("manifest"), "is of another image: None"),
    "no findings": (lambda report: report.pop("findings"), "has no sound list of findings"),
    "no layers": (lambda report: report.pop("layers"), "has no sound list of layers"),
    "layers that are none": (lambda report: report.update(layers=["x"]), "no sound list of layers"),
    "one layer less": (lambda report: report["layers"].pop(), "is of other layers"),
    "layer that was passed over": (
        lambda report: report["layers"][-1].update(state="base"), "passes over layers of ours: sha2"
    ),
    "another version": (lambda report: report.update(version="1"), "is of version '1', expected 1"),
    "no verdict": (
        lambda report: report.update(verdict="fine"), "has the verdict 'fine', expected clean or le"
    ),
}  # fmt: skip


def refused(ended: Ended) -> None:
    """Hold an end to how every refusal ends."""
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("stages: ")
    assert ended.err.count("\n") == 1
    assert len(ended.err) < 2000
    assert ended.err.isascii()


@pytest.mark.parametrize("case", SMOKE)
def test_smoke_test_of_another_image_is_refused(stages: Run, ready: Ready, case: str) -> None:
    """Other layers, other arguments, a failed test, or a report that cannot be relied on."""
    change, message = SMOKE[case]
    report = json.loads(ready.report.read_bytes())
    change(report)
    ready.report.write_text(json.dumps(report))

    ended = stages(*ready.words(f"{NOBODY}:v1"))

    refused(ended)
    assert message in ended.err
    assert "is not pushed: the smoke test's report" in ended.err
    assert "canary" not in ended.err


@pytest.mark.parametrize("case", SCAN)
def test_scan_of_another_image_is_refused(stages: Run, ready: Ready, case: str) -> None:
    """Another manifest, findings, or a report that cannot be relied on."""
    change, message = SCAN[case]
    report = json.loads(ready.scan.read_bytes())
    change(report)
    ready.scan.write_text(json.dumps(report))

    ended = stages(*ready.words(f"{NOBODY}:v1"))

    refused(ended)
    assert message in ended.err
    assert "is not pushed: the scan's report" in ended.err


def test_image_that_has_changed_since_is_refused(stages: Run, ready: Ready) -> None:
    """Reports of yesterday's image are not reports of today's."""
    reports = [(path, path.read_bytes()) for path in (ready.report, ready.scan)]
    with (ready.inputs.folder / "runtime/__main__.py").open("a") as file:
        file.write("# edited\n")
    ready.build(stages)
    for path, content in reports:
        path.write_bytes(content)

    ended = stages(*ready.words(f"{NOBODY}:v1"))

    refused(ended)
    assert "the smoke test's report is of other layers" in ended.err
    assert "the scan's report is of another image" in ended.err


NOT_JSON = {"cut": b'{"version": 1', "deep": b"[" * 10**5, "latin-1": b'"\xff"', "empty": b""}


@pytest.mark.parametrize(
    "content", [*NOT_JSON.values(), b'{"a": 1, "a": 2}'], ids=[*NOT_JSON, "twice"]
)
@pytest.mark.parametrize("which", ["report", "scan"])
def test_report_that_is_none_is_refused(
    stages: Run, ready: Ready, which: str, content: bytes
) -> None:
    """The message names the option and what writes such a report."""
    path: Path = getattr(ready, which)
    path.write_bytes(content)

    ended = stages(*ready.words(f"{NOBODY}:v1"))

    refused(ended)
    assert f"--{which}: {path} is not a report: `" in ended.err


@pytest.mark.parametrize("value", ["[]", "1", "null", '"passed"'])
@pytest.mark.parametrize("which", ["report", "scan"])
def test_report_that_is_no_object_is_refused(
    stages: Run, ready: Ready, which: str, value: str
) -> None:
    """Whatever else JSON can say."""
    path: Path = getattr(ready, which)
    path.write_text(value)

    ended = stages(*ready.words(f"{NOBODY}:v1"))

    refused(ended)
    assert "report is not an object" in ended.err


def test_image_of_another_lock_is_refused(stages: Run, ready: Ready) -> None:
    """With --lock, the weights must be the lock's."""
    lock = ready.inputs.folder / "lock"
    known = manifest_of(ready.layout)["layers"][1]["digest"]
    lock.write_text(lock.read_text().replace(known, DIGEST))

    ended = stages(*ready.words(f"{NOBODY}:v1", more=(f"--lock={lock}",)))

    refused(ended)
    assert f"does not hold layer {DIGEST}, which the lock names" in ended.err


def test_layout_without_a_layer_of_ours_is_refused(stages: Run, ready: Ready) -> None:
    """The runtime's layer follows from no lock, so nothing but its bytes will do."""
    digest = manifest_of(ready.layout)["layers"][-1]["digest"]
    spoil(blob(ready.layout, digest), None)

    ended = stages(*ready.words(f"{NOBODY}:v1"))

    assert ended.code == 2
    assert f"blob {digest} is absent, and it is no layer of the base" in ended.err


@pytest.mark.parametrize("env", [["PORT"], "PORT=1", [1], 7])
def test_image_that_starts_in_no_sound_way_is_refused(
    stages: Run, ready: Ready, env: object
) -> None:
    """No engine would know what to make of its variables."""
    path = blob(ready.layout, manifest_of(ready.layout)["config"]["digest"])
    config = json.loads(path.read_bytes())
    config["config"]["Env"] = env
    rewrite(ready.layout, config)

    ended = stages(*ready.words(f"{NOBODY}:v1"))

    refused(ended)
    assert "configuration does not say soundly how it starts" in ended.err


def rewrite(layout: Path, config: object) -> None:
    """Give a layout another configuration, with digests that fit."""
    manifest = manifest_of(layout)
    manifest["config"] |= written(layout, config)
    index = json.loads((layout / "index.json").read_bytes())
    index["manifests"][0] |= written(layout, manifest)
    (layout / "index.json").write_text(json.dumps(index))


def written(layout: Path, value: object) -> dict[str, object]:
    """Write a blob; give what a descriptor says of it."""
    content = json.dumps(value).encode()
    digest = f"sha256:{sha256(content)}"
    blob(layout, digest).write_bytes(content)
    return {"digest": digest, "size": len(content)}
