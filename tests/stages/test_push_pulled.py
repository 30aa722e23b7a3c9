"""What was pushed, other programs pull: Docker, skopeo and umoci."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.stages.model import NAME, Ended
from tests.stages.packaging import DOCKER, FILES, MODULES, OCI, config_of, manifest_of
from tests.stages.pushing import Ready, made_on, seed
from tests.support.dockerd import Docker, docker
from tests.support.registry import Registry

pytestmark = [pytest.mark.containers, pytest.mark.timeout(180)]

Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def engine() -> Iterator[Docker]:
    """Run Debian's Docker engine."""
    with docker() as running:
        yield running


@pytest.fixture(params=[OCI, DOCKER], ids=["oci", "docker"])
def pushed(
    request: pytest.FixtureRequest, stages: Run, shelf: Registry, tmp_path: Path
) -> tuple[Ready, str]:
    """Push an image over a base of each kind; give it, and its reference by digest."""
    kinds: Mapping[str, str] = request.param
    digest = seed(shelf, "vllm/base", tmp_path, kinds=kinds)
    place = f"{shelf.host}/vllm/base"
    ready = made_on(stages, tmp_path / "made", place, digest)
    ended = stages(*ready.words(f"{shelf.host}/a/b:v1", base=place))
    assert ended.code == 0, ended.err
    return ready, ended.out.strip()


def printed(*command: object) -> Any:
    """Run a program and read the JSON that it prints."""
    words = [str(word) for word in command]
    return json.loads(subprocess.run(words, check=True, capture_output=True).stdout)


def done(*command: object) -> None:
    """Run a program that must succeed."""
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def test_docker_pulls_it_by_tag(pushed: tuple[Ready, str], engine: Docker) -> None:
    """By the printed reference; labels, start and history are those that were described."""
    ready, name = pushed
    by_tag = name.split("@")[0]

    engine.run("pull", by_tag)

    (found,) = json.loads(engine.output("image", "inspect", by_tag))
    told = engine.output("history", "--no-trunc", "--format", "{{.CreatedBy}}", by_tag)
    ours = config_of(ready.layout)
    assert found["RepoDigests"] == [f"{by_tag.rpartition(':')[0]}@{name.split('@')[1]}"]
    assert found["Config"]["Labels"] == ours["config"]["Labels"]
    assert found["Config"]["Env"] == ours["config"]["Env"]
    assert found["Config"]["Entrypoint"] == ["python3", "-P", "-m", "runtime"]
    assert found["RootFS"]["Layers"] == ours["rootfs"]["diff_ids"]
    assert told.splitlines() == [one["created_by"] for one in reversed(ours["history"])]


def test_skopeo_and_umoci_take_it_from_the_registry(
    pushed: tuple[Ready, str], tmp_path: Path
) -> None:
    """Unchanged, and with the files where they belong."""
    ready, name = pushed
    by_digest = f"{name.split('@')[0].rpartition(':')[0]}@{name.split('@')[1]}"

    found = printed("skopeo", "inspect", "--tls-verify=false", f"docker://{by_digest}")
    copy = ("skopeo", "copy", "--src-tls-verify=false", "--preserve-digests")
    done(*copy, f"docker://{by_digest}", f"oci:{tmp_path / 'copy'}:v1")
    done("umoci", "unpack", "--rootless", "--image", f"{tmp_path / 'copy'}:v1", tmp_path / "bundle")

    root = tmp_path / "bundle" / "rootfs"
    home = root / "model-cache/models" / NAME
    assert found["Digest"] == name.split("@")[1]
    assert found["Layers"] == [one["digest"] for one in manifest_of(ready.layout)["layers"]]
    assert {path.name: path.read_bytes() for path in home.iterdir()} == FILES
    for path, content in MODULES.items():
        assert (root / "opt/prewarm/runtime" / path).read_bytes() == content
