"""What can be known of an image without starting it: every check can fail, a sound one passes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stages.broken_models import MODELS, WITHOUT_TEMPLATE
from tests.stages.model import NAME, Ended
from tests.stages.packaging import blob, config_of, manifest_of
from tests.stages.smoking import TWO, Json, make, rework, sound, tensor, tensors

Run = Callable[..., Ended]
CHECKS = ["image", "layers", "weights", "safetensors", "config", "length", "tokenizer"]
CHECKS += ["chat template"]


def templates(*named: str) -> bytes:
    """Write a tokenizer's configuration with chat templates of these names."""
    listed = [{"name": name, "template": f"{name} {{{{ messages }}}}"} for name in named]
    return json.dumps({"chat_template": listed}).encode()


@pytest.mark.parametrize("case", MODELS)
def test_a_broken_model_is_found(stages: Run, tmp_path: Path, case: str) -> None:
    """By its own check and no other, though every digest is the lock's."""
    changed, name, detail = MODELS[case]
    files = {path: content for path, content in (sound() | changed).items() if content is not None}
    made = make(stages, tmp_path, files)

    ended = stages(*made.words())

    assert detail in made.failed().get(name, ""), made.failed()
    assert ended.code == 2
    assert set(made.failed()) - {name} <= {"length"}  # which reads the configuration too


@pytest.mark.parametrize("weights", ["layout", "folder"])
@pytest.mark.parametrize("known", [True, False])
def test_a_sound_image_passes(stages: Run, tmp_path: Path, *, weights: str, known: bool) -> None:
    """With the model's files in the layout's layers or a folder, and with any lock."""
    made = make(stages, tmp_path, sound(), known=known)
    more = [f"--weights={tmp_path / 'weights'}"] if weights == "folder" else []

    ended = stages(*made.words(*more))

    report = made.report()
    config = config_of(made.image)
    assert (ended.code, ended.err) == (0, "")
    assert [check["name"] for check in report["checks"]] == CHECKS
    assert (report["verdict"], report["level"]) == ("passed", "static")
    assert report["image"]["layers"] == config["rootfs"]["diff_ids"]
    assert report["image"]["arguments"]["entrypoint"] == config["config"]["Entrypoint"]
    assert report["image"]["arguments"]["cmd"] == []
    env = report["image"]["arguments"]["env"]
    assert [f"{name}={text}" for name, text in env.items()] == config["config"]["Env"]
    assert report["vllm"] == {"image": "0.9.0", "tested": None}
    assert (report["isolated"], report["start"]) == (None, None)
    assert report["not_shown"] == ["that the server starts and answers: none was started"]


def test_weights_that_are_not_at_hand_are_told(stages: Run, tmp_path: Path) -> None:
    """An image whose weight layers lie in a registry alone passes, and the report says so."""
    made = make(stages, tmp_path, sound())
    for one in manifest_of(made.image)["layers"][1:-1]:
        blob(made.image, one["digest"]).unlink()

    ended = stages(*made.words())

    assert ended.code == 0
    assert [check["name"] for check in made.report()["checks"]] == ["image", "layers"]
    assert f"which are not at hand: the lock names {NAME}" in made.report()["not_shown"][1]


def run(**changed: object) -> Callable[[Json], None]:
    """Change how a container of the image starts."""
    return lambda config: config["config"].update(changed)


def env(**changed: str) -> Callable[[Json], None]:
    """Set variables."""
    more = [f"{name}={text}" for name, text in changed.items()]
    return lambda config: config["config"]["Env"].extend(more)


def nothing(_: Json) -> None:
    """Change nothing."""


def label(name: str, text: str) -> Callable[[Json], None]:
    """Set a label."""
    return lambda config: config["config"]["Labels"].update({name: text})


# How configuration and manifest are changed, the check that fails, and what its detail says.
IMAGES: dict[str, tuple[Callable[[Json], None], Callable[[Json], None], str, str]] = {
    "entrypoint": (run(Entrypoint=["bash"]), nothing, "image", "Entrypoint is ('bash',)"),
    "arguments": (run(Cmd=["--port=1"]), nothing, "image", "Cmd is ('--port=1',), expected ()"),
    "user": (run(User="0:0"), nothing, "image", "User is 0:0, expected 2000:0"),
    "folder": (run(WorkingDir="/tmp"), nothing, "image", "WorkingDir is /tmp"),  # noqa: S108
    "signal": (run(StopSignal="SIGKILL"), nothing, "image", "StopSignal is SIGKILL"),
    "another model": (env(MODEL_NAME="a/b"), nothing, "image", "Env MODEL_NAME is a/b"),
    "another commit": (
        label("dev.prewarm.model.commit", "f" * 40), nothing, "image", "label dev.prewarm.model"
    ),
    "annotation": (
        nothing, lambda made: made["annotations"].pop("dev.prewarm.weights.digest"),
        "image", "annotation dev.prewarm.weights.digest is None"
    ),
    "too long": (
        env(MAX_MODEL_LEN="8192"), nothing, "length", "'8192', the model takes 4096 tokens"
    ),
    "no length": (env(MAX_MODEL_LEN="-1"), nothing, "length", "MAX_MODEL_LEN is '-1'"),
    "layers in disorder": (
        nothing,
        lambda made: made["layers"][1].update(annotations={"dev.prewarm.layer": "runtime"}),
        "layers", "layers is"
    ),
    "a layer of nobody": (
        nothing, lambda made: made["layers"][1].pop("annotations"), "layers", "layers is"
    ),
    "another size": (
        nothing, lambda made: made["layers"][1].update(size=5), "layers", "size of prewarm: weights"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", IMAGES)
def test_an_image_that_is_not_the_locks_is_found(stages: Run, tmp_path: Path, case: str) -> None:
    """However it differs from what lock and runtime make."""
    config, manifest, name, detail = IMAGES[case]
    made = make(stages, tmp_path, sound())
    rework(made.image, config=config, manifest=manifest)

    ended = stages(*made.words())

    assert ended.code == 2
    assert detail in made.failed().get(name, ""), made.failed()


def test_a_shorter_length_than_the_models_passes(stages: Run, tmp_path: Path) -> None:
    """MAX_MODEL_LEN may be set in the image, as a baked compile cache does."""
    made = make(stages, tmp_path, sound())
    rework(made.image, config=env(MAX_MODEL_LEN="1024"), manifest=nothing)

    ended = stages(*made.words())

    (check,) = [one for one in made.report()["checks"] if one["name"] == "length"]
    assert (ended.code, check["detail"]) == (0, "1024 of 4096")


def test_a_damaged_blob_is_found(stages: Run, tmp_path: Path) -> None:
    """Every blob that is at hand is held to its digest."""
    made = make(stages, tmp_path, sound())
    path = blob(made.image, manifest_of(made.image)["layers"][1]["digest"])
    content = bytearray(path.read_bytes())
    content[600] ^= 1
    path.write_bytes(content)

    ended = stages(*made.words())

    assert ended.code == 2
    assert "make the layout again" in made.failed()["layers"]


def test_an_absent_layer_is_found(stages: Run, tmp_path: Path) -> None:
    """Only weight layers that the lock names may lie elsewhere."""
    made = make(stages, tmp_path, sound())
    blob(made.image, manifest_of(made.image)["layers"][-1]["digest"]).unlink()

    ended = stages(*made.words())

    assert ended.code == 2
    assert (
        "runtime: 0 files in /opt/prewarm/runtime is not in the layout" in made.failed()["layers"]
    )


def test_a_layer_that_is_no_tar_is_found(stages: Run, tmp_path: Path) -> None:
    """It cannot be looked into."""
    made = make(stages, tmp_path, sound())
    blob(made.image, manifest_of(made.image)["layers"][-1]["digest"]).write_bytes(b"x" * 1024)

    ended = stages(*made.words())

    assert ended.code == 2
    assert "cannot be read as a layer" in made.failed()["layers"]


@pytest.mark.parametrize("known", [True, False])
def test_other_weights_than_the_images_are_found(
    stages: Run, tmp_path: Path, *, known: bool
) -> None:
    """Bytes in the folder are held against the layers and the lock."""
    made = make(stages, tmp_path, sound(), known=known)
    (tmp_path / "weights" / TWO).write_bytes(tensors({"c": tensor(0, 4)}, b"evil"))

    ended = stages(*made.words(f"--weights={tmp_path / 'weights'}"))

    assert ended.code == 2
    assert "weights" in made.failed()


@pytest.mark.parametrize("path", ["opt/prewarm/runtime/__main__.py", "opt/prewarm/runtime/x.py"])
def test_a_tree_of_another_image_is_not_started(stages: Run, tmp_path: Path, path: str) -> None:
    """What is served must be the image's own bytes, or the report would be about others."""
    made = make(stages, tmp_path, sound())
    (tmp_path / "tree" / path).write_text("raise SystemExit\n")

    words = made.words("--level=cpu", f"--serve={tmp_path / 'tree'}", "--network=host")
    ended = stages(*words)

    assert ended.code == 2
    assert list(made.failed())[:1] in (["layers"], ["served files"])
    assert "start" not in [check["name"] for check in made.report()["checks"]]


TEMPLATES: dict[str, dict[str, bytes | None]] = {
    "in the tokenizer": WITHOUT_TEMPLATE
    | {"tokenizer_config.json": b'{"chat_template": "{{ messages }}"}'},
    "one of several": WITHOUT_TEMPLATE
    | {"tokenizer_config.json": templates("tool_use", "default")},
    "in a file of its own": WITHOUT_TEMPLATE
    | {"chat_template.json": b'{"chat_template": "{{ messages }}"}'},
    "with a mark for training": {
        "chat_template.jinja": b"{% generation %}{{ messages }}{%- endgeneration -%}"
    },
    "with helpers": {
        "chat_template.jinja": b"{{ messages | tojson }}{{ strftime_now('%Y') }}"
        b"{% for x in [1, 2] %}{% break %}{% endfor %}"
    },
}


@pytest.mark.parametrize("case", TEMPLATES)
def test_a_chat_template_is_found_where_it_may_lie(stages: Run, tmp_path: Path, case: str) -> None:
    """As transformers finds it, and rendered with what it gives."""
    changed = sound() | TEMPLATES[case]
    files = {path: content for path, content in changed.items() if content is not None}
    made = make(stages, tmp_path, files)

    ended = stages(*made.words())

    assert ended.code == 0, made.failed()
    assert "characters for one message" in made.report()["checks"][-1]["detail"]


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        ({"tokenizer.json"}, "the tokenizer: the model has no tokenizer.json"),
        ({"chat_template.jinja"}, "chats: the model has no chat template"),
        (
            {"chat_template.jinja", "tokenizer_config.json"},
            "chats: the model has no chat template",
        ),
    ],
)
def test_what_a_model_lacks_is_told(
    stages: Run, tmp_path: Path, paths: set[str], told: str
) -> None:
    """It is no failure: the server may do without."""
    files = {name: content for name, content in sound().items() if name not in paths}
    made = make(stages, tmp_path, files)

    ended = stages(*made.words())

    assert ended.code == 0
    assert told in made.report()["not_shown"]


def test_what_is_not_installed_is_told(
    stages: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without tokenizers and jinja2 the rest is looked at."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    made = make(stages, tmp_path, sound())

    ended = stages(*made.words())

    assert ended.code == 0
    assert (
        "that the tokenizer loads: tokenizers is not installed here" in made.report()["not_shown"]
    )
    assert "that the chat template renders: jinja2" in str(made.report()["not_shown"])
