"""The model folder is checked before anything heavy is imported."""

import json
from pathlib import Path

import pytest

from runtime import model
from tests.conftest import write_model


def test_a_whole_folder_has_no_problems(tmp_path: Path) -> None:
    """Weights as long as their header promises are whole."""
    folder = write_model(tmp_path / "m")

    assert model.problems(folder) == []
    assert model.read(folder) == model.Model(
        weights=(folder / "model.safetensors",), vocabulary=1000, has_chat_template=True
    )


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The message says where the model is looked for and by which settings."""
    (problem,) = model.problems(tmp_path / "none")

    assert str(tmp_path / "none") in problem
    assert "HF_HOME" in problem


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda whole: whole[:-1], "download it again"),
        (lambda whole: whole + b"x", "download it again"),
        (lambda whole: whole[:12], "its header cannot be read"),
        (lambda _whole: b"", "its header cannot be read"),
        (lambda _whole: b"\xff" * 64, "its header cannot be read"),
        (lambda _whole: (2).to_bytes(8, "little") + b"[]", "its header cannot be read"),
    ],
    ids=["cut", "too long", "cut in the header", "empty", "noise", "no object"],
)
def test_broken_weights_are_named(tmp_path: Path, content: object, told: str) -> None:
    """A download cut short is found before vLLM spends a minute on it."""
    assert callable(content)
    folder = write_model(tmp_path / "m")
    weights = folder / "model.safetensors"
    weights.write_bytes(content(weights.read_bytes()))

    (problem,) = model.problems(folder)

    assert str(weights) in problem
    assert told in problem


@pytest.mark.parametrize(
    ("missing", "told"), [("config.json", "config.json"), ("model.safetensors", "safetensors")]
)
def test_missing_files_are_named(tmp_path: Path, missing: str, told: str) -> None:
    """A folder without configuration or weights is no model."""
    folder = write_model(tmp_path / "m")
    (folder / missing).unlink()

    assert told in model.problems(folder)[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", "{"),
        ("config.json", '{"vocab_size": null}'),
        ("config.json", "[]"),
        ("tokenizer_config.json", "{"),
    ],
)
def test_a_broken_configuration_is_named(tmp_path: Path, name: str, text: str) -> None:
    """A file cut short is a problem to read about, not a traceback."""
    folder = write_model(tmp_path / "m")
    (folder / name).write_text(text)

    (problem,) = model.problems(folder)

    assert f"the configuration in {folder} cannot be read" in problem


def test_a_dangling_link_is_named(tmp_path: Path) -> None:
    """A copied Hub cache leaves links to files that are not there."""
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("nowhere")

    (problem,) = model.problems(folder)

    assert problem.endswith("cannot be read: No such file or directory")


@pytest.mark.parametrize("name", ["chat_template.jinja", "chat_template.json"])
def test_a_template_in_a_file_of_its_own_is_found(tmp_path: Path, name: str) -> None:
    """transformers reads a template from three places."""
    folder = write_model(tmp_path / "m", chat_template=False)
    assert not model.read(folder).has_chat_template

    (folder / name).write_text("{{ messages }}")

    assert model.read(folder).has_chat_template


def test_a_nested_text_configuration_gives_the_vocabulary(tmp_path: Path) -> None:
    """Multimodal models keep the language model's configuration one level down."""
    folder = write_model(tmp_path / "m")
    (folder / "config.json").write_text(json.dumps({"text_config": {"vocab_size": 7}}))
    (folder / "tokenizer_config.json").unlink()

    assert model.read(folder).vocabulary == 7
    assert not model.read(folder).has_chat_template
