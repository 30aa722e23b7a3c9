"""What `deploy` is asked in words, and what it reads of an image."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.deploy import facts
from tests.stages.deploying import ACCOUNT, DIGEST, IMAGE, container
from tests.stages.model import Ended
from tests.stages.packaging import Inputs, SmallBase, manifest_of
from tests.support import discovery

Run = Callable[..., Ended]


@pytest.fixture
def pushed(stages: Run, tmp_path: Path) -> tuple[Path, str]:
    """Make an image, and give its layout and the name that a push would print."""
    inputs = Inputs.write(tmp_path, SmallBase(run={"Env": ["PORT=1", "MAX_QUEUE=64"]}))
    for words in (inputs.rootfs(), inputs.image()):
        assert stages(*words).code == 0
    layout = tmp_path / "image"
    (one,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    return layout, f"us-docker.pkg.dev/acme/repo/tiny:v1@{one['digest']}"


def test_image_of_a_layout(stages: Run, pushed: tuple[Path, str], tmp_path: Path) -> None:
    """Port, queue and weights are read from the image; the command that deploys it is printed."""
    layout, name = pushed
    out = tmp_path / "service.json"

    ended = stages("deploy", name, f"--image={layout}", f"--out={out}", "--region=europe-west1")

    made = json.loads(out.read_bytes())
    wrote, command = ended.out.splitlines()
    assert ended.code == 0, ended.err
    assert wrote == f"wrote {out}"
    assert shlex.split(command) == [
        *("gcloud", "run", "services", "replace", str(out)),
        *("--region", "europe-west1"),
    ]
    assert discovery.problems(made, api="run.v1", schema="Service") == []
    assert container(made)["image"] == name
    assert container(made)["ports"][0]["containerPort"] == 8000
    assert made["metadata"]["name"] == "tiny-it"


def test_settings_change_the_numbers(stages: Run, pushed: tuple[Path, str], tmp_path: Path) -> None:
    """What is set over the image counts, and what the image sets limits the rest."""
    layout, name = pushed
    words = ("deploy", name, f"--image={layout}", f"--out={tmp_path / 's.json'}")

    ended = stages(*words, "--set=START_TIMEOUT=60", "--set=PREWARM_TIMEOUT=40", "--concurrency=64")
    refused = stages(*words, "--concurrency=65")

    probe = container(json.loads((tmp_path / "s.json").read_bytes()))["startupProbe"]
    assert ended.code == 0, ended.err
    assert probe["failureThreshold"] == 50
    assert "--concurrency is 65, expected 1 to 64" in refused.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["us-docker.pkg.dev/a/b:v1"], "has no digest; expected the name that `push` printed"),
        (["UPPER/b"], "IMAGE: "),
        ([str(IMAGE), "--set=port"], "--set takes NAME=VALUE"),
        ([str(IMAGE), "--set=VLLM_API_KEY=x"], "for which there is --key-secret"),
        ([str(IMAGE), "--key-secret=a/b"], "is no secret's name"),
        ([str(IMAGE), "--service-account=server"], "is no service account's address"),
    ],
)
def test_wrong_words_are_refused(stages: Run, words: list[str], message: str) -> None:
    """Before anything is asked."""
    ended = stages("deploy", *words)

    assert ended.code == 2
    assert message in ended.err


def test_the_words_reach_the_service(stages: Run, pushed: tuple[Path, str], tmp_path: Path) -> None:
    """And a registry that Cloud Run does not fetch from is told on standard error."""
    layout, name = pushed
    elsewhere = name.replace("us-docker.pkg.dev", "ghcr.io")
    words = (f"--service-account={ACCOUNT}", f"--out={tmp_path / 's.json'}")

    ended = stages("deploy", elsewhere, f"--image={layout}", *words)

    made = json.loads((tmp_path / "s.json").read_text())
    assert ended.code == 0
    assert "stages: warning: Cloud Run fetches from" in ended.err
    assert made["spec"]["template"]["spec"]["serviceAccountName"] == ACCOUNT


def test_layout_of_another_image_is_refused(
    stages: Run, pushed: tuple[Path, str], tmp_path: Path
) -> None:
    """Its settings might be others."""
    layout, name = pushed

    ended = stages("deploy", str(IMAGE), f"--image={layout}", f"--out={tmp_path / 's.json'}")

    assert ended.code == 2
    assert f"holds {name.partition('@')[2]}, IMAGE is {DIGEST}" in ended.err
    assert not (tmp_path / "s.json").exists()


def test_setting_that_is_no_number_is_refused(
    stages: Run, pushed: tuple[Path, str], tmp_path: Path
) -> None:
    """All of them at once."""
    layout, name = pushed
    words = ("--set=PORT=http", "--set=START_TIMEOUT=1m", f"--out={tmp_path / 's.json'}")

    ended = stages("deploy", name, f"--image={layout}", *words)

    assert ended.code == 2
    assert "PORT is 'http', expected a whole number; START_TIMEOUT is '1m'" in ended.err


def test_weights_are_counted(pushed: tuple[Path, str]) -> None:
    """Of the layers that the manifest says are weights or model files."""
    from stages.base import InLayout  # noqa: PLC0415 - only this test reads by hand

    layout, name = pushed
    layers = manifest_of(layout)["layers"]

    found = facts.read(InLayout(layout), name.partition("@")[2], changes={})

    assert found.weights == sum(one["size"] for one in layers[1:-1])
    assert found.settings["MAX_QUEUE"] == 64
