"""A registry or a disk that holds other bytes than it should ends the push; no tag is written."""

from collections.abc import Callable

import pytest

from stages.retry import Attempts
from tests.stages.model import Ended
from tests.stages.packaging import blob, manifest_of
from tests.stages.pushing import Ready
from tests.support.registry import Registry
from tests.support.registry_faults import Act, Proxy, Seen

pytestmark = pytest.mark.containers

Run = Callable[..., Ended]
SIGNED = "registry.example/x?sig=canary"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less between tries."""
    monkeypatch.setattr(Attempts, "_pause", lambda *_: 0.01)


def tags(shelf: Registry) -> list[str]:
    """List what tags the registry has written."""
    return [path.parent.parent.name for path in shelf.data.glob("**/tags/*/current/link")]


# Which kind of request is answered how, and what the message says.
ANSWERS: dict[str, tuple[str, Act, str]] = {
    "blob of another size": (
        "HEAD blob", Act(status=200, headers={"Content-Length": "7"}), "has 7 bytes there, expected"
    ),
    "odd status for a blob": ("HEAD blob", Act(status=410), "answers with status 410"),
    "no such repository": (
        "POST upload",
        Act(status=404, body=b'{"errors": [{"code": "NAME_UNKNOWN", "message": "no repo"}]}'),
        "the registry knows no such place (it says: NAME_UNKNOWN no repo). Create it first",
    ),
    "upload in the clear": (
        "POST upload",
        Act(status=202, headers={"Location": f"http://{SIGNED}"}),
        "redirected to http://registry.example, which is no https address",
    ),
    "upload nowhere": ("POST upload", Act(status=202), "which is no https address"),
    "upload at no address": (
        "POST upload", Act(status=202, headers={"Location": "https://[canary/x"}), "no https addr"
    ),
    "upload that was redirected in the clear": (
        "POST upload",
        Act(status=307, headers={"Location": f"http://{SIGNED}"}),
        "redirected to http://registry.example, which is no https address",
    ),
    "upload that is redirected for ever": (
        "POST upload", Act(status=307, headers={"Location": "/v2/a/b/blobs/uploads/"}), "redirects"
    ),
    "blob that is too large": (
        "PUT upload",
        Act(status=413, body=b'{"errors": [{"code": "SIZE_INVALID", "message": "too big"}]}'),
        "answers with status 413",
    ),
    "uploads that are always lost": (
        "PUT upload",
        Act(status=404, body=b'{"errors": [{"code": "BLOB_UPLOAD_UNKNOWN"}]}'),
        "status 404 (it says: BLOB_UPLOAD_UNKNOWN) (gave up after 10 tries",
    ),
    "manifest that is refused": (
        "PUT manifest",
        Act(status=400, body=b'{"errors": [{"code": "MANIFEST_INVALID", "message": "odd"}]}'),
        "answers with status 400 (it says: MANIFEST_INVALID odd)",
    ),
    "another manifest": ("GET manifest", Act(status=200, body=b"{}"), "gives back sha256:4413"),
    "no manifest": ("GET manifest", Act(status=404), "knows no such place"),
    "another configuration": ("GET blob", Act(status=200, body=b"{}"), "gives back sha256:4413"),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_answer_that_cannot_be_relied_on_ends_the_push(
    stages: Run, ready: Ready, front: Proxy, shelf: Registry, case: str
) -> None:
    """The message names the repository and what was seen, and no signed address."""
    kind, act, message = ANSWERS[case]
    front.act = lambda seen: act if seen.kind == kind else None

    ended = stages(*ready.words(f"{front.host}/a/b:v1"))

    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert f"{front.host}/a/b" in ended.err
    assert "canary" not in ended.err
    assert tags(shelf) == []


def test_blob_that_vanishes_is_told_before_a_tag_is_written(
    stages: Run, ready: Ready, front: Proxy, shelf: Registry
) -> None:
    """What a registry took, it may delete again; the push looks once more."""
    gone = manifest_of(ready.layout)["layers"][1]["digest"]
    written: list[Seen] = []

    def choose(seen: Seen) -> Act | None:
        written.extend([seen] if seen.kind == "PUT manifest" else [])
        return Act(status=404) if written and seen.path.endswith(gone) else None

    front.act = choose

    ended = stages(*ready.words(f"{front.host}/a/b:v1"))

    assert ended.code == 2
    assert f"took blob {gone} and does not hold it: no tag was written" in ended.err
    assert tags(shelf) == []


@pytest.mark.parametrize("mode", ["single", "chunked"])
@pytest.mark.parametrize("how", ["other bytes", "shorter", "gone"])
def test_layout_that_was_damaged_is_told(
    stages: Run, ready: Ready, front: Proxy, shelf: Registry, mode: str, how: str
) -> None:
    """The registry holds every blob to its digest, and the fault is looked for on this side."""
    path = blob(ready.layout, manifest_of(ready.layout)["layers"][1]["digest"])
    content = path.read_bytes()
    changed = {"other bytes": content[:-1] + b"x", "shorter": content[:-1], "gone": content}
    path.chmod(0o644)
    path.write_bytes(changed[how])
    if how == "gone":  # after the push has looked at the layout
        front.act = lambda seen: (
            Act(before=lambda: path.unlink(missing_ok=True)) if seen.method == "POST" else None
        )

    ended = stages(*ready.words(f"{front.host}/a/b:v1"), f"--uploads={mode}")

    assert ended.code == 2
    assert f"blob sha256:{path.name}" in ended.err
    assert "make the layout again" in ended.err.lower()
    assert tags(shelf) == []


def test_base_without_a_place_is_told(stages: Run, ready: Ready, front: Proxy) -> None:
    """A layout whose base lacks a blob that the target lacks as well."""
    ended = stages(*ready.words(f"{front.host}/a/b:v1", base=f"oci:{ready.inputs.folder / 'none'}"))

    assert ended.code == 2
    assert "cannot be read: No such file or directory" in ended.err


def test_base_that_its_registry_does_not_hold_is_told(
    stages: Run, ready: Ready, front: Proxy, shelf: Registry
) -> None:
    """It may have been deleted there since the image was made."""
    place = f"localhost:{shelf.port}/vllm/gone"

    ended = stages(*ready.words(f"{front.host}/a/b:v1", base=place))

    assert ended.code == 2
    assert f"{place}@sha256:" in ended.err
    assert "the registry has no such image" in ended.err


def test_registry_with_larger_chunks_than_can_be_held_gets_none(
    stages: Run, ready: Ready, front: Proxy, shelf: Registry
) -> None:
    """Its blobs are sent whole."""
    address = f"http://{shelf.host}/v2/a/b/blobs/uploads/"

    told: list[Seen] = []

    def choose(seen: Seen) -> Act | None:
        if seen.kind != "POST upload" or told:
            return None
        told.append(seen)
        return Act(status=202, headers={"OCI-Chunk-Min-Length": str(2**30), "Location": address})

    front.act = choose

    ended = stages(*ready.words(f"{front.host}/a/b:v1"), "--uploads=chunked")

    assert ended.code == 0, ended.err
    assert len(front.asked("PUT upload")) == len(ready.digests)
