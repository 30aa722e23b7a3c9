"""The description says what is in the image, in which order, and how it starts."""

import subprocess
from pathlib import Path, PurePosixPath

from stages.image import Kind, Provenance, describe, set_digest
from stages.layer import Entry
from stages.lockfile import File
from tests.stages.model import COMMIT, NAME
from tests.stages.packaging import FILES, IMAGE, lock_of

DIGEST = f"sha256:{'d' * 64}"
LOCK = lock_of(DIGEST)
RUNTIME = [Entry(path="b.py", size=1), Entry(path="__main__.py", size=2)]
CACHE = (File(path="x", size=3, sha256="0" * 64), File(path="cache.json", size=1, sha256="1" * 64))


def test_layers_go_from_seldom_to_often_changed() -> None:
    """A layer for each weight file, one for the model's small files, the cache, our code."""
    image = describe(LOCK, runtime=RUNTIME, cache=CACHE, provenance=Provenance())

    home = PurePosixPath("model-cache/models") / NAME
    assert [
        (one.kind, one.home, [entry.path for entry in one.entries]) for one in image.layers
    ] == [
        (Kind.WEIGHTS, home, ["model-00001-of-00002.safetensors"]),
        (Kind.WEIGHTS, home, ["model-00002-of-00002.safetensors"]),
        (Kind.MODEL, home, ["LICENSE", "config.json", "tokenizer.json"]),
        (Kind.CACHE, PurePosixPath("opt/prewarm/compile-cache"), ["cache.json", "x"]),
        (Kind.RUNTIME, PurePosixPath("opt/prewarm/runtime"), ["__main__.py", "b.py"]),
    ]


def test_edit_of_a_module_leaves_most_of_the_runtime_alone() -> None:
    """Our code lies in layers of at most 96 KiB, in the order of their names."""
    modules = [Entry(path=f"m{number}.py", size=20_000) for number in range(9)]

    image = describe(LOCK, runtime=modules[::-1], cache=(), provenance=Provenance())

    layers = [one for one in image.layers if one.kind is Kind.RUNTIME]
    assert [len(one.entries) for one in layers] == [4, 4, 1]
    assert [entry for one in layers for entry in one.entries] == modules
    assert all(one.size <= 96 * 1024 for one in layers)


def test_image_is_offline_and_starts_the_runtime() -> None:
    """Environment, user, entrypoint and port are those of the runtime's settings."""
    image = describe(LOCK, runtime=RUNTIME, provenance=Provenance())

    assert image.env == {
        "MODEL_NAME": NAME,
        "HF_HOME": "/model-cache",
        "HF_HUB_OFFLINE": "1",
        "PORT": "8000",
        "PYTHONPATH": "/opt/prewarm",
        "HOME": "/tmp",  # noqa: S108 (the user's, in the image)
        "USER": "prewarm",
        "LOGNAME": "prewarm",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "PREWARM_BASE_DIGEST": DIGEST,
        "PREWARM_MODEL_COMMIT": COMMIT,
    }
    assert (image.user, image.ports, image.stop_signal) == ("2000:0", ("8000/tcp",), "SIGTERM")
    assert image.entrypoint == ("python3", "-P", "-m", "runtime")
    assert image.command == ()


def test_labels_say_what_is_inside() -> None:
    """By the names of OCI and by our own; the same in configuration and manifest."""
    said = Provenance(created=86400, revision="r", source="https://src.example", version="1")

    image = describe(LOCK, runtime=RUNTIME, cache=CACHE, provenance=said)

    assert image.labels == image.annotations
    assert image.labels == {
        "org.opencontainers.image.title": NAME,
        "org.opencontainers.image.description": f"{NAME} on vLLM, warm before its port opens",
        "org.opencontainers.image.created": "1970-01-02T00:00:00Z",
        "org.opencontainers.image.revision": "r",
        "org.opencontainers.image.source": "https://src.example",
        "org.opencontainers.image.version": "1",
        "org.opencontainers.image.base.name": IMAGE,
        "org.opencontainers.image.base.digest": DIGEST,
        "dev.prewarm.model.name": NAME,
        "dev.prewarm.model.commit": COMMIT,
        "dev.prewarm.weights.digest": set_digest(LOCK.model.files),
        "dev.prewarm.vllm.version": "0.9.0",
        "dev.prewarm.compile-cache.digest": set_digest(CACHE),
    }


def test_what_nobody_says_is_not_in_the_labels() -> None:
    """No revision, source, version or cache, and no time of the clock."""
    image = describe(LOCK, runtime=RUNTIME, provenance=Provenance())

    names = " ".join(image.labels)
    assert image.created == "1970-01-01T00:00:00Z"
    assert all(one not in names for one in ("revision", "source", "image.version", "cache"))


def test_weights_digest_can_be_made_with_sha256sum(tmp_path: Path) -> None:
    """It is the sha256 of `sha256sum FILES | sort`, so anybody can hold a folder against it."""
    for path, content in FILES.items():
        (tmp_path / path).write_bytes(content)

    script = "sha256sum * | LC_ALL=C sort | sha256sum"
    printed = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout

    assert set_digest(LOCK.model.files) == f"sha256:{printed.split()[0]}"
