"""A base is read by reference: its manifest and configuration alone, trusting neither."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from stages import base, configuration
from stages.base import InLayout
from stages.errors import (
    AccessError,
    AnswerError,
    IntegrityError,
    NotFoundError,
    StagesError,
    UnsuitableError,
)
from stages.image import Provenance, describe
from stages.lockfile import Base
from stages.reference import parse
from stages.registry import Registry
from stages.retry import Patience
from tests.stages.packaging import DOCKER, IMAGE, OCI, SmallBase, lock_of

QUICK = Patience(attempts=2, first_s=0.0)
PLACE = "registry.example/a/b"


def from_layout(folder: Path, made: SmallBase) -> base.BaseImage:
    """Read a base from a layout."""
    return base.read(InLayout(folder), made.layout(folder))


@pytest.mark.parametrize("index", [True, False], ids=["index", "manifest"])
@pytest.mark.parametrize("kinds", [OCI, DOCKER], ids=["oci", "docker"])
def test_base_is_read_whatever_its_kind(
    tmp_path: Path, kinds: Mapping[str, str], *, index: bool
) -> None:
    """OCI or Docker's schema 2, by an index or by the manifest itself."""
    found = from_layout(tmp_path, SmallBase(kinds=kinds, index=index))

    assert [one.media_type for one in found.layers] == [OCI["layer"]]
    assert found.config["config"]["Cmd"] == ["serve"]


def test_index_gives_linux_amd64(tmp_path: Path) -> None:
    """Whatever else it lists, attestations with a platform of their own included."""
    platforms = ("linux/arm64", "unknown/unknown", "linux/amd64", "windows/amd64")

    found = from_layout(tmp_path, SmallBase(platforms=platforms))

    assert found.config["architecture"] == "amd64"


def test_addresses_of_layers_are_not_passed_on(tmp_path: Path) -> None:
    """A descriptor may say where else its blob lies: nobody is to be sent there by our image."""
    made = SmallBase(layer={"urls": ["https://evil.example/x"], "annotations": {"a": "b"}})

    (found,) = from_layout(tmp_path, made).layers

    assert "evil" not in repr(found)
    assert found.annotations == {"a": "b"}


FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+json"
REFUSED: dict[str, tuple[SmallBase, type[StagesError], str]] = {
    "arm64 only, by index": (
        SmallBase(platforms=["linux/arm64"]), UnsuitableError, "is for linux/arm64, expected linux"
    ),
    "arm64 only, by configuration": (
        SmallBase(platforms=["linux/arm64"], index=False), UnsuitableError, "is for linux/arm64"
    ),
    "foreign layer": (
        SmallBase(layer={"mediaType": FOREIGN}), UnsuitableError, "a layer of the kind .*foreign"
    ),
    "layer of no known kind": (
        SmallBase(layer={"mediaType": None}), UnsuitableError, "a layer of the kind None"
    ),
    "schema 1": (
        SmallBase(manifest={"schemaVersion": 1}), UnsuitableError, "a version that is not known"
    ),
    "artifact": (
        SmallBase(manifest={"mediaType": SCHEMA_1}), UnsuitableError, "neither an OCI image nor"
    ),
    "no layers": (SmallBase(manifest={"layers": None}), AnswerError, "is not sound"),
    "layer without a digest": (SmallBase(layer={"digest": "x"}), AnswerError, "is not sound"),
    "layer of no size": (SmallBase(layer={"size": True}), AnswerError, "is not sound"),
    "annotation that is no text": (
        SmallBase(layer={"annotations": {"a": 1}}), AnswerError, "is not sound"
    ),
    "configuration without layers": (SmallBase(config={"rootfs": {}}), AnswerError, "not sound"),
    "another count of diff_ids": (
        SmallBase(config={"rootfs": {"diff_ids": []}}), AnswerError, "1 layers and 0 diff_ids"
    ),
    "environment of numbers": (SmallBase(run={"Env": [1]}), AnswerError, "is not sound"),
    "labels as a list": (SmallBase(run={"Labels": ["x"]}), AnswerError, "is not sound"),
    "history of texts": (SmallBase(config={"history": ["x"]}), AnswerError, "is not sound"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_base_that_cannot_be_stood_on_is_refused(tmp_path: Path, case: str) -> None:
    """The message names the base and what is wrong with it."""
    made, kind, message = REFUSED[case]

    with pytest.raises(kind, match=message) as caught:
        from_layout(tmp_path, made)
    assert "the base sha256:" in str(caught.value)


def test_blob_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    """Every byte is held against the lock's digest."""
    digest = SmallBase().layout(tmp_path)
    (tmp_path / "blobs/sha256" / digest.removeprefix("sha256:")).write_bytes(b"{}")

    with pytest.raises(IntegrityError, match=f"what should be {digest} is sha256:44136fa3"):
        base.read(InLayout(tmp_path), digest)


def test_layout_without_the_base_is_told(tmp_path: Path) -> None:
    """By the digest that the lock names."""
    SmallBase().layout(tmp_path)

    with pytest.raises(NotFoundError, match=r"does not hold sha256:eeee.*run `lock`"):
        base.read(InLayout(tmp_path), f"sha256:{'e' * 64}")


Answers = Callable[[httpx.Request], httpx.Response | None]


def from_registry(
    made: SmallBase, special: Answers = lambda _: None
) -> tuple[base.BaseImage, list[httpx.Request]]:
    """Read a base from a registry that answers as `special` says, or else as it should."""
    digest, seen = made.make(), []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if (response := special(request)) is not None:
            return response
        content = made.blobs.get(request.url.path.rpartition("/")[2])
        return httpx.Response(404) if content is None else httpx.Response(200, content=content)

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        locked = Base(image=IMAGE, digest=digest)
        source = base.find(parse(PLACE), locked=locked, registry=Registry(client, QUICK))
        return base.read(source, digest), seen


def test_registry_is_asked_for_three_small_things() -> None:
    """Index, manifest, configuration: by digest, and no layer."""
    made = SmallBase()
    found, seen = from_registry(made)

    manifests = [request.url.path for request in seen]
    assert [path.rpartition("/")[0] for path in manifests] == [
        "/v2/a/b/manifests", "/v2/a/b/manifests", "/v2/a/b/blobs"
    ]  # fmt: skip
    assert {path.rpartition("/")[2] for path in manifests} <= set(made.blobs)
    assert found.layers[0].digest not in " ".join(manifests)


def with_token(request: httpx.Request) -> httpx.Response | None:
    """Behave like Docker Hub: a token for anybody, and configurations in a storage elsewhere."""
    if request.url.host == "auth.example":
        return httpx.Response(200, json={"token": "t"})
    if request.url.host == "storage.example":
        assert "Authorization" not in request.headers
        return None
    if request.headers.get("Authorization") != "Bearer t":
        challenge = 'Bearer realm="https://auth.example/token",service="s"'
        return httpx.Response(401, headers={"WWW-Authenticate": challenge})
    if "/blobs/" in request.url.path:
        target = f"https://storage.example/{request.url.path.rpartition('/')[2]}"
        return httpx.Response(307, headers={"Location": target})
    return None


def test_storage_behind_a_registry_is_shown_no_token() -> None:
    """The registry redirects to it, and the token is the registry's alone."""
    found, seen = from_registry(SmallBase(), with_token)

    assert found.config["os"] == "linux"
    assert seen[-1].url.host == "storage.example"


def redirecting(location: str) -> Answers:
    """Answer every question for a blob with a redirect."""

    def answer(request: httpx.Request) -> httpx.Response | None:
        if "/manifests/" in request.url.path:
            return None
        return httpx.Response(302, headers={"Location": location})

    return answer


def always(status: int, content: bytes = b"", **headers: str) -> Answers:
    """Answer everything alike."""
    return lambda _: httpx.Response(status, content=content, headers=headers)


@pytest.mark.parametrize(
    ("special", "kind", "message"),
    [
        (always(404), NotFoundError, "registry.example/a/b@sha256:.* has no such image"),
        (always(403), AccessError, "or read it from an OCI image layout"),
        (always(302, Location="https://x.example"), AnswerError, "status 302"),
        (always(200, b"{}"), IntegrityError, "what should be sha256:"),
        (always(200, b"x" * (base.LARGEST + 9)), UnsuitableError, "is larger than 8 MiB"),
        (redirecting("http://evil.example/x"), AnswerError, "no https address"),
        (redirecting("https://loop.example/x"), AnswerError, "more than 5 redirects"),
    ],
    ids=["404", "403", "302", "other bytes", "too large", "in the clear", "loop"],
)
def test_registry_that_misbehaves_is_told(
    special: Answers, kind: type[StagesError], message: str
) -> None:
    """Each by its name, in one message."""
    with pytest.raises(kind, match=message):
        from_registry(SmallBase(), special)


@pytest.mark.parametrize("content", [b"[]", b"{", b"[" * 100_000, b"\xff"])
def test_manifest_that_is_no_object_is_refused(content: bytes) -> None:
    """Its digest may be right and its content not."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"

    class Odd:
        """A source of that content alone."""

        def manifest(self, _: str) -> bytes:
            """Give the content."""
            return content

        config = manifest

    with pytest.raises(AnswerError, match="is not"):
        base.read(Odd(), digest)


def history_of(folder: Path, told: Any) -> list[str]:
    """Give the history that an image shows over a base with this history."""
    found = from_layout(folder, SmallBase(config={"history": told}))
    image = describe(lock_of(f"sha256:{'d' * 64}"), runtime=[], provenance=Provenance())
    made = json.loads(configuration.config(image, found, []))
    return [one["created_by"] for one in made["history"] if not one.get("empty_layer")]


@pytest.mark.parametrize("told", [None, [], [{"created_by": "a"}, {"created_by": "b"}]])
def test_history_always_fits_the_layers(tmp_path: Path, told: Any) -> None:
    """A base without a history, or with one that does not fit, gets a line for each layer."""
    assert history_of(tmp_path, told)[0].startswith("base: sha256:")


@pytest.mark.parametrize(
    ("name", "run", "history"),
    [
        (IMAGE, {}, ""),
        ("example.com/a/b:v1", {"Entrypoint": ["vllm", "serve"]}, ""),
        ("example.com/a/b:v1", {"Env": ["VLLM_USAGE_SOURCE=production-docker-image"]}, ""),
        ("example.com/a/b:v1", {"Labels": {"holds": "vLLM 0.9.0"}}, ""),
        ("example.com/a/b:v1", {}, "RUN pip install vllm==0.9.0"),
    ],
    ids=["name", "entrypoint", "variable", "label", "history"],
)
def test_base_that_mentions_vllm_is_taken(
    tmp_path: Path, name: str, run: Mapping[str, Any], history: str
) -> None:
    """Wherever it does; its files are not fetched."""
    made = SmallBase(run=run, config={"history": [{"created_by": history}]})

    base.check_vllm(from_layout(tmp_path, made), Base(image=name, digest="x"))


def test_base_that_does_not_mention_vllm_is_refused(tmp_path: Path) -> None:
    """Before an image is made that could not start."""
    made = SmallBase(run={"Entrypoint": ["python3"]})

    with pytest.raises(UnsuitableError, match="does not mention vLLM"):
        base.check_vllm(from_layout(tmp_path, made), Base(image="a/b/python:3.12", digest="x"))
