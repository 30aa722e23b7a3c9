"""The whole path on real input: real weights from a gated Hub to an image that serves them.

Real Gemma 3 270M weights, a Hub on loopback that wants a token, a Debian base with vLLM for the
CPU, Debian's registry and Debian's Docker.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.stages.model import TOKEN
from tests.support import debian_base
from tests.support.docker_build import stages
from tests.support.dockerd import Docker
from tests.support.hub import LoopbackHub
from tests.support.hub_repo import Repo
from tests.support.registry import Registry

pytestmark = [pytest.mark.real, pytest.mark.containers, pytest.mark.timeout(600)]

NAME = "google/gemma-3-270m-it"
CONTAINER = "whole-path"
WARM_SECONDS = 300.0
READ = 2**20


@dataclass(frozen=True)
class Built:
    """What a build left: its folder, what it wrote, and the name of the image."""

    folder: Path
    log: str
    reference: str
    asked: list[str]
    """What the registry was asked in the meantime, as METHOD PATH STATUS."""

    @property
    def tagged(self) -> str:
        """The image by its tag, as a person names it."""
        return self.reference.partition("@")[0]

    @property
    def digest(self) -> str:
        """The manifest's digest."""
        return self.reference.partition("@")[2]

    def json(self, name: str) -> Any:
        """Read a file that the build wrote."""
        return json.loads((self.folder / "work" / name).read_bytes())


@pytest.fixture(scope="module")
def built(base_registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Lock and build, with a canary for a token."""
    model = Path(os.environ["PREWARM_REAL_MODEL"])
    folder = tmp_path_factory.mktemp("whole-path")
    lock = folder / "model.lock.json"
    base = f"{base_registry.host}/base:{debian_base.TAG}"
    target = f"{base_registry.host}/acme/gemma:v1"
    before = len(base_registry.asked())
    with LoopbackHub(Repo.of_folder(NAME, model), gated=True, token=TOKEN) as hub:
        environ = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN}
        folders = ("--cache", folder / "cache", "--work", folder / "work")
        runs = [
            stages("lock", NAME, "--base", base, "--out", lock, environ=environ),
            stages("build", target, "--lock", lock, *folders, environ=environ),
        ]
    log = "".join(run.stdout + run.stderr for run in runs)
    assert [run.returncode for run in runs] == [0, 0], log
    (folder / "build.log").write_text(log)
    return Built(folder, log, runs[-1].stdout.split()[-1], base_registry.asked()[before:])


@pytest.fixture(scope="module")
def pulled(built: Built, engine: Docker) -> str:
    """Pull the image by its tag."""
    engine.run("pull", built.tagged)
    return built.tagged


@pytest.fixture(scope="module")
def served(pulled: str, engine: Docker) -> Iterator[str]:
    """Run it as its user, with no network, until its health check says that it serves."""
    settings = ("-e", "VLLM_TORCH_COMPILE_LEVEL=0", "-e", "MAX_MODEL_LEN=4096")
    limits = (
        "--network=none",
        "--read-only",
        "--tmpfs=/tmp:exec",
        "--shm-size=1g",  # more than Docker's 64 MB, which vLLM's CPU build does not start with
        "-e",
        "VLLM_CPU_KVCACHE_SPACE=1",
    )
    container = engine.output("run", "--detach", *limits, *settings, pulled)
    try:
        _wait_healthy(engine, container)
        yield container
    finally:
        engine.run("rm", "--force", container)


def _wait_healthy(engine: Docker, container: str) -> None:
    deadline = time.monotonic() + WARM_SECONDS
    look = ("inspect", "--format", "{{.State.Status}} {{.State.Health.Status}}", container)
    while (state := engine.output(*look)) != "running healthy":
        if not state.startswith("running") or time.monotonic() > deadline:
            log = engine.run("logs", container)
            raise AssertionError(f"{state}\n{log.stdout[-3000:]}{log.stderr[-3000:]}")
        time.sleep(1)


def test_the_reference_names_what_lies_in_the_registry(
    built: Built, base_registry: Registry
) -> None:
    """Tag and digest are one manifest, and the repository serves each of its blobs."""
    manifest = base_registry.manifest("acme/gemma", built.digest)

    assert base_registry.manifest("acme/gemma", "v1") == manifest
    layers: Any = manifest["layers"]
    assert all(base_registry.has_blob("acme/gemma", one["digest"]) for one in layers)


def test_no_byte_of_the_base_was_moved(built: Built) -> None:
    """Its layers were mounted from their own repository, as the registry's log shows."""
    manifest = json.loads((debian_base.oci_layout() / "index.json").read_bytes())["manifests"][0]
    content = debian_base.oci_layout() / "blobs/sha256" / manifest["digest"].partition(":")[2]
    layers = [one["digest"] for one in json.loads(content.read_bytes())["layers"]]

    mounts = [line for line in built.asked if line.startswith("POST") and "mount=" in line]
    fetched = [line for line in built.asked if line.startswith("GET")]

    for digest in layers:
        name = digest.replace(":", "%3A")
        assert any((digest in one or name in one) and one.endswith(" 201") for one in mounts)
        assert not any(f"/v2/base/blobs/{digest}" in one for one in fetched)


def test_it_serves_without_a_network(built: Built, served: str, engine: Docker) -> None:
    """Pulled by Docker and cut off from everything, it answers what users ask."""
    pid = engine.output("inspect", "--format", "{{.State.Pid}}", served)
    out = built.folder / "smoke.json"

    asked = stages(
        "smoke",
        "http://127.0.0.1:8000",
        "--level=cpu",
        f"--image={built.folder / 'work' / 'image'}",
        f"--lock={built.folder}/model.lock.json",
        f"--out={out}",
        wrapper=("nsenter", f"--target={pid}", "--net"),
    )

    assert asked.returncode == 0, asked.stdout + asked.stderr
    report = json.loads(out.read_bytes())
    assert (report["verdict"], report["level"]) == ("passed", "cpu")
    assert report["vllm"]["tested"] == "0.32.0+cpu"
    assert all(check["passed"] for check in report["checks"])
    assert report["start"]["model"] == NAME


def test_labels_and_history_show_in_docker(built: Built, pulled: str, engine: Docker) -> None:
    """`docker image inspect` and `docker history` say what is in it."""
    (image,) = json.loads(engine.output("image", "inspect", pulled))
    history = engine.output("history", "--no-trunc", "--format", "{{.CreatedBy}}", pulled)

    assert image["Config"]["Labels"]["dev.prewarm.model.name"] == NAME
    assert image["Config"]["User"] == "2000:0"
    assert f"{built.tagged.rpartition(':')[0]}@{built.digest}" in image["RepoDigests"]
    told = [line for line in history.splitlines() if line.startswith("prewarm: ")]
    kinds = dict.fromkeys(line.split(":")[1].strip() for line in told[1:])
    assert list(kinds) == ["runtime", "model-files", "weights"]


def test_the_token_is_nowhere(
    built: Built, served: str, engine: Docker, base_registry: Registry
) -> None:
    """Not in what the build wrote, the registry, the image's facts, or any log."""
    logs = engine.run("logs", served)
    seen = [built.log, logs.stdout, logs.stderr, engine.output("inspect", served)]
    seen.append(engine.output("image", "inspect", built.tagged))

    files = [one for top in (built.folder, base_registry.folder) for one in top.rglob("*")]

    assert not [text for text in seen if TOKEN in text]
    assert not [one for one in files if one.is_file() and _holds(one, TOKEN.encode())]


def _holds(path: Path, needle: bytes) -> bool:
    """Look for bytes in a file, piece by piece with what two pieces share."""
    kept = b""
    with path.open("rb") as file:
        while piece := file.read(READ):
            if needle in kept + piece:
                return True
            kept = piece[-len(needle) :]
    return False
