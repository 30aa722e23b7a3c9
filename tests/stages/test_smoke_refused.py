"""What `smoke` cannot do is refused with a message, before anything is asked."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stages.model import Ended
from tests.stages.smoking import Made, make, rework, sound

Run = Callable[..., Ended]
URL = "http://127.0.0.1:9"

# What is asked, in what environment, and what the message says.
CASES: dict[str, tuple[str, dict[str, str], str]] = {
    "nothing": ("--out=o", {}, "give a URL, or --image, or --image and --serve"),
    "no report": ("URL", {}, "required: --out"),
    "two servers": ("URL --image=image --serve=tree --out=o", {}, "are two servers: choose one"),
    "static of a server": ("URL --level=static --out=o", {}, "--level static asks no server"),
    "no server": ("--image=image --level=gpu --out=o", {}, "--level gpu needs a server"),
    "no level": ("--image=image --serve=tree --out=o", {}, "--serve needs --level"),
    "no image": ("--serve=tree --level=cpu --out=o", {}, "give a URL, or --image"),
    "unknown level": ("URL --level=tpu --out=o", {}, "invalid choice: 'tpu'"),
    "unknown network": ("URL --network=bridge --out=o", {}, "invalid choice: 'bridge'"),
    "weights alone": ("URL --weights=weights --out=o", {}, "--weights goes with --image"),
    "weights and tree": (
        "--image=image --weights=weights --serve=tree --level=cpu --out=o", {},
        "without --serve, whose tree holds the model"
    ),
    "settings of nobody": ("URL --env=A=b --out=o", {}, "--env goes with --serve"),
    "a setting that is none": (
        "--image=image --serve=tree --level=cpu --env=A --out=o", {}, "--env takes NAME=VALUE"
    ),
    "a key among the settings": (
        "--image=image --serve=tree --level=cpu --env=VLLM_API_KEY=secret-canary --out=o", {},
        "for which there is --key-file"
    ),
    "two problems": (
        "--level=gpu --env=A=b --out=o", {}, "or --image and --serve; --level gpu needs"
    ),
    "no address": ("localhost:8000 --out=o", {}, "URL: not an http or https address"),
    "a path": ("http://127.0.0.1:9/v1 --out=o", {}, "URL has more than host and port"),
    "a user": ("http://a:secret-canary@127.0.0.1 --out=o", {}, "holds a user name or password"),
    "key in the clear": (
        "http://server.example --out=o", {"VLLM_API_KEY": "secret-canary"}, "in the clear"
    ),
    "no key": ("URL --key-file=none --out=o", {}, "--key-file: none cannot be read"),
    "a key of two lines": (
        "URL --out=o", {"VLLM_API_KEY": "secret-canary x"}, "VLLM_API_KEY does not hold a token"
    ),
    "no layout": ("--image=tree --out=o", {}, "tree is no OCI image layout"),
    "no lock": ("--image=image --lock=none --out=o", {}, "none cannot be read"),
    "no folder for the report": ("--image=image --lock=lock --out=none/o", {}, "cannot be written"),
    "an image that starts something else": (
        "--image=other --lock=lock --serve=tree --level=cpu --network=host --out=o", {},
        "the image must not be pushed"
    ),
}  # fmt: skip


@pytest.fixture
def made(stages: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Make an image, and stand beside it."""
    monkeypatch.chdir(tmp_path)
    return make(stages, tmp_path, sound())


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused(stages: Run, made: Made, case: str) -> None:
    """With exit code 2 and one line, which shows no key."""
    line, environ, message = CASES[case]
    if "other" in line:
        made.image.rename(made.folder / "other")
        rework(
            made.folder / "other",
            config=lambda config: config["config"].update(Entrypoint=["bash"]),
            manifest=lambda _: None,
        )

    ended = stages("smoke", *line.replace("URL", URL).split(), environ=environ)

    assert ended.code == 2
    assert message in ended.err
    assert ended.err.startswith("stages: ")
    assert ended.err.count("\n") == 1
    assert "secret-canary" not in ended.err + ended.out


@pytest.mark.parametrize(
    ("changed", "manifest"),
    [
        ({"Env": ["A"]}, {}),
        ({"Env": 5}, {}),
        ({"Entrypoint": "python3"}, {}),
        ({"Cmd": [5]}, {}),
        ({"Labels": ["A"]}, {}),
        ({}, {"annotations": "x"}),
    ],
)
def test_an_image_that_is_not_sound_is_refused(
    stages: Run, made: Made, changed: dict[str, object], manifest: dict[str, object]
) -> None:
    """A report could not name it."""
    rework(
        made.image,
        config=lambda config: config["config"].update(changed),
        manifest=lambda found: found.update(manifest),
    )

    ended = stages(*made.words())

    assert ended.code == 2
    assert "not sound" in ended.err or "not say soundly" in ended.err
    assert "again" in ended.err
