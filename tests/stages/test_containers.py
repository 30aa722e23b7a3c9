"""The image is valid for others: their programs read, copy and unpack it."""

import json
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.stages.model import NAME, Ended
from tests.stages.packaging import (
    DOCKER,
    FILES,
    MODULES,
    OCI,
    Inputs,
    SmallBase,
    config_of,
    manifest_of,
)

pytestmark = pytest.mark.containers

Run = Callable[..., Ended]


@pytest.fixture(params=[OCI, DOCKER], ids=["oci", "docker"])
def layout(request: pytest.FixtureRequest, stages: Run, tmp_path: Path) -> Path:
    """Make an image over a base of each kind, and complete it with the base's blobs."""
    kinds: Mapping[str, str] = request.param
    inputs = Inputs.write(tmp_path, SmallBase(kinds=kinds))
    assert stages(*inputs.rootfs()).code == 0
    assert stages(*inputs.image("--ref-name=v1")).code == 0
    image = tmp_path / "image"
    shutil.copytree(tmp_path / "base/blobs", image / "blobs", dirs_exist_ok=True)
    return image


def printed(*command: object) -> Any:
    """Run a program and read the JSON that it prints."""
    words = [str(word) for word in command]
    return json.loads(subprocess.run(words, check=True, capture_output=True).stdout)


def done(*command: object) -> None:
    """Run a program that must succeed."""
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def test_skopeo_reads_it(layout: Path) -> None:
    """Digest, labels, environment, platform and layers are what the manifest says."""
    found = printed("skopeo", "inspect", f"oci:{layout}:v1")

    manifest = manifest_of(layout)
    assert found["Labels"] == manifest["annotations"]
    assert found["Layers"] == [one["digest"] for one in manifest["layers"]]
    assert (found["Os"], found["Architecture"]) == ("linux", "amd64")
    assert f"MODEL_NAME={NAME}" in found["Env"]


def test_skopeo_reads_its_history(layout: Path) -> None:
    """Base first, then a line for each layer of ours."""
    found = printed("skopeo", "inspect", "--config", f"oci:{layout}:v1")

    told = [one["created_by"] for one in found["history"]]
    assert told[0] == "debootstrap"
    assert [one.split(":")[1].strip() for one in told[1:-1]] == [
        "weights",
        "weights",
        "model-files",
        "runtime",
    ]


def test_skopeo_copies_it_to_docker_archive(layout: Path, tmp_path: Path) -> None:
    """What `docker load` takes: the same layers, uncompressed, and the same configuration."""
    done(
        "skopeo",
        "copy",
        f"oci:{layout}:v1",
        f"docker-archive:{tmp_path / 'a.tar'}:example.com/a/b:c",
    )

    with tarfile.open(tmp_path / "a.tar") as tar:
        listed = tar.extractfile("manifest.json")
        assert listed
        (image,) = json.load(listed)
        file = tar.extractfile(image["Config"])
        assert file
        config = json.load(file)
    ours = config_of(layout)
    assert image["RepoTags"] == ["example.com/a/b:c"]
    assert len(image["Layers"]) == 5
    assert config["rootfs"] == ours["rootfs"]
    assert config["config"]["Healthcheck"] == ours["config"]["Healthcheck"]


def test_skopeo_copies_it_to_oci_unchanged(layout: Path, tmp_path: Path) -> None:
    """Nothing in it has to be converted: the manifest keeps its digest."""
    done("skopeo", "copy", "--preserve-digests", f"oci:{layout}:v1", f"oci:{tmp_path / 'b'}:v1")

    (before,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    (after,) = json.loads((tmp_path / "b/index.json").read_bytes())["manifests"]
    assert after["digest"] == before["digest"]


def test_umoci_unpacks_it(layout: Path, tmp_path: Path) -> None:
    """Base and layers give one root file system, in which anybody can read our files."""
    done("umoci", "unpack", "--rootless", "--image", f"{layout}:v1", tmp_path / "bundle")

    root = tmp_path / "bundle/rootfs"
    home = root / "model-cache/models" / NAME
    assert {path.name: path.read_bytes() for path in home.iterdir()} == FILES
    for path, content in MODULES.items():
        assert (root / "opt/prewarm/runtime" / path).read_bytes() == content
    modes = {stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.is_file()}
    assert modes == {0o644}
    assert (root / "tmp").is_dir()
    run = json.loads((tmp_path / "bundle/config.json").read_bytes())["process"]
    assert run["args"] == ["python3", "-P", "-m", "runtime"]
    assert run["cwd"] == "/"
