"""`lock` writes down a model to the byte, and refuses what no image should hold."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages import lockfile
from tests.stages.model import COMMIT, NAME, Ended, content
from tests.support.hub import Fault, LoopbackHub
from tests.support.hub_repo import Content

Run = Callable[..., Ended]
Files = dict[str, bytes | Path]

KEPT = [
    "LICENSE",
    "USE_POLICY.md",
    "additional_chat_templates/tool.jinja",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
]


def locked(stages: Run, hub: LoopbackHub, out: Path, *options: object) -> Ended:
    """Run `lock` on the small model."""
    return stages("lock", NAME, "--out", out, *options, environ={"HF_ENDPOINT": hub.endpoint})


def test_lock_lists_each_file_to_the_byte(
    stages: Run, hub: LoopbackHub, files: Files, tmp_path: Path
) -> None:
    """The commit, and path, size and sha256 of what serving needs, are those of the bytes."""
    ended = locked(stages, hub, tmp_path / "lock")

    lock = lockfile.read(tmp_path / "lock")
    assert (ended.code, ended.err) == (0, "")
    assert (lock.model.name, lock.model.revision, lock.model.commit) == (NAME, "main", COMMIT)
    assert [file.path for file in lock.model.files] == KEPT
    for file in lock.model.files:
        expected = content(files, file.path)
        assert (file.size, file.sha256) == (len(expected), hashlib.sha256(expected).hexdigest())


def test_what_is_left_out_is_told(stages: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    """A reader learns which files are not packaged, and why."""
    out = locked(stages, hub, tmp_path / "lock").out

    assert "left out: pytorch_model.bin (PyTorch's pickle format)" in out
    assert "left out: onnx/model.onnx (ONNX format)" in out
    assert "left out: README.md (not needed to serve)" in out


def test_big_files_are_not_fetched(stages: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    """The Hub tells an LFS file's sha256: its bytes are not asked for."""
    locked(stages, hub, tmp_path / "lock")

    assert hub.storage.log == []


def test_revision_is_resolved(stages: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    """A branch, a tag and a commit each end at a commit."""
    other = "f" * 40
    hub.repo.commits[other] = dict(hub.repo.commits[COMMIT])
    hub.repo.refs["refs/pr/1"] = other

    locked(stages, hub, tmp_path / "pr", "--revision", "refs/pr/1")
    locked(stages, hub, tmp_path / "commit", "--revision", COMMIT)

    assert lockfile.read(tmp_path / "pr").model.commit == other
    assert lockfile.read(tmp_path / "commit").model.commit == COMMIT


def test_same_facts_give_the_same_text(stages: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    """Two locks of one commit are equal to the byte."""
    for name in ("one", "two"):
        locked(stages, hub, tmp_path / name)

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_layer_digests_come_from_the_weights_and_are_kept(
    stages: Run, hub: LoopbackHub, tmp_path: Path
) -> None:
    """Null from the Hub alone, known with the bytes, and kept by a later lock of the same bytes."""
    lock, weights = tmp_path / "lock", tmp_path / "weights"
    environ = {"HF_ENDPOINT": hub.endpoint}
    locked(stages, hub, lock)
    before = lockfile.read(lock).model
    stages("download", "--lock", lock, "--cache", tmp_path / "c", "--out", weights, environ=environ)

    locked(stages, hub, lock, "--weights", weights)
    known = lockfile.read(lock).model
    locked(stages, hub, lock)

    assert [one.digest for one in before.layers] == [None, None]
    assert all(one.digest for one in known.layers)
    assert lockfile.read(lock).model == known


def test_digests_of_other_bytes_are_not_kept(stages: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    """A layer whose files changed has no known digest; its neighbour keeps its own."""
    lock = tmp_path / "lock"
    locked(stages, hub, lock)
    text = json.loads(lock.read_text())
    for one in text["model"]["layers"]:
        one["digest"] = f"sha256:{'d' * 64}"
    lock.write_text(json.dumps(text))
    hub.repo.commits[COMMIT]["LICENSE"] = Content(b"Other terms.\n")

    locked(stages, hub, lock)

    assert [bool(one.digest) for one in lockfile.read(lock).model.layers] == [True, False]


def test_weights_of_another_model_are_refused(
    stages: Run, hub: LoopbackHub, tmp_path: Path
) -> None:
    """--weights must hold exactly the bytes that the Hub lists."""
    for path, content_of in hub.repo.commits[COMMIT].items():
        (tmp_path / "w" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "w" / path).write_bytes(content_of.read(0, content_of.size))
    (tmp_path / "w" / "model.safetensors").write_bytes(b"other")

    ended = locked(stages, hub, tmp_path / "lock", "--weights", tmp_path / "w")
    (tmp_path / "w" / "config.json").unlink()
    absent = locked(stages, hub, tmp_path / "lock", "--weights", tmp_path / "w")

    assert ended.code == absent.code == 2
    assert "model.safetensors has sha256" in ended.err
    assert "config.json cannot be read" in absent.err
    assert not (tmp_path / "lock").exists()


def test_what_was_no_lock_is_replaced(stages: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    """An unreadable file at --out is said to be none, and a lock takes its place."""
    (tmp_path / "lock").write_text("{}")

    ended = locked(stages, hub, tmp_path / "lock")

    assert ended.code == 0
    assert "replacing what was no lock" in ended.err
    assert lockfile.read(tmp_path / "lock").model.name == NAME


def test_shards_of_the_index_are_kept(
    start: Callable[..., LoopbackHub], stages: Run, files: Files, tmp_path: Path
) -> None:
    """The index names the weights; what lies beside them is left out."""
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = {"weight_map": {"a": names[0], "b": names[1]}}
    hub = start(files | dict.fromkeys(names, b"w") | {
        "model.safetensors.index.json": json.dumps(index).encode()
    })  # fmt: skip

    locked(stages, hub, tmp_path / "lock")

    model = lockfile.read(tmp_path / "lock").model
    weights = [file.path for file in model.files if file.path.endswith(".safetensors")]
    assert weights == names
    assert [one.files for one in model.layers][:2] == [(names[0],), (names[1],)]


def test_moved_model_is_locked_under_its_present_name(
    stages: Run, hub: LoopbackHub, tmp_path: Path
) -> None:
    """The Hub says what a model is called now; the lock holds that name."""
    hub.facts = lambda facts: facts | {"id": NAME}

    ended = locked(stages, hub, tmp_path / "lock")

    assert ended.code == 0


def refused_files() -> dict[str, tuple[Files, str]]:
    """List changes to the small model that make it unacceptable, with the message."""
    config = "config.json"
    return {
        "auto_map": ({config: b'{"auto_map": {"AutoModel": "x.Y"}}'}, "config.json holds auto_map"),
        "nested auto_map": ({config: b'{"a": [{"auto_map": {}}]}'}, "config.json holds auto_map"),
        "tokenizer auto_map": ({"tokenizer_config.json": b'{"auto_map": 1}'}, "runs code"),
        "broken config": ({config: b"{"}, "not sound JSON"),
        "twin by case": ({"CONFIG.json": b"{}"}, "are one on some file systems"),
        "parent folder": ({"../x.json": b"{}"}, "leaves its folder"),
        "absolute": ({"/etc/x.json": b"{}"}, "absolute"),
        "backslash": ({"a\\b.json": b"{}"}, "backslash"),
        "control character": ({"a\x1b[2J.json": b"{}"}, "control characters"),
        "hostile name left out": ({"../x.bin": b""}, "leaves its folder"),
        "index of nothing": ({"model.safetensors.index.json": b"{}"}, "not an index"),
        "index of a list": ({"model.safetensors.index.json": b'{"weight_map": [1]}'}, "not an"),
        "absent shard": (
            {"model.safetensors.index.json": b'{"weight_map": {"a": "../b.safetensors"}}'},
            "'../b.safetensors', which is not there",
        ),
    }


@pytest.mark.parametrize("case", refused_files())
def test_unacceptable_repository_is_refused(
    start: Callable[..., LoopbackHub], stages: Run, files: Files, tmp_path: Path, case: str
) -> None:
    """Code, hostile names and half models are refused with exit code 2, and no lock is written."""
    change, message = refused_files()[case]
    hub = start(files | change)

    ended = locked(stages, hub, tmp_path / "lock")

    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.rstrip("\n").isprintable()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("absent", ["config.json", "model.safetensors"])
def test_model_that_cannot_be_served_is_refused(
    start: Callable[..., LoopbackHub], stages: Run, files: Files, tmp_path: Path, absent: str
) -> None:
    """Without a configuration or safetensors weights there is nothing to serve."""
    del files[absent]

    ended = locked(stages, start(files), tmp_path / "lock")

    assert ended.code == 2
    assert "cannot be served" in ended.err


def set_facts(key: str, value: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Replace one value of the model info."""
    return lambda facts: facts | {key: value}


def set_sibling(key: str, value: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Replace one value of the first file of the model info."""
    return lambda facts: facts | {"siblings": [facts["siblings"][1] | {key: value}]}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(set_facts("sha", "main"), id="commit is a branch"),
        pytest.param(set_facts("sha", None), id="no commit"),
        pytest.param(set_facts("id", "../x"), id="name leaves"),
        pytest.param(set_facts("siblings", None), id="no files"),
        pytest.param(set_facts("siblings", ["x"]), id="file is a text"),
        pytest.param(set_sibling("rfilename", None), id="no path"),
        pytest.param(set_sibling("size", -1), id="size below 0"),
        pytest.param(set_sibling("size", None), id="no size"),
        pytest.param(set_sibling("blobId", "x"), id="no blob"),
        pytest.param(set_sibling("lfs", {}), id="empty lfs"),
        pytest.param(set_sibling("lfs", {"size": 1, "sha256": "x"}), id="sha256"),
        pytest.param(lambda _: [], id="a list"),
    ],
)
def test_answer_of_another_form_is_refused(
    stages: Run, hub: LoopbackHub, tmp_path: Path, change: Callable[[Any], Any]
) -> None:
    """What is not the documented form of model info is refused, without a traceback."""
    hub.facts = change

    ended = locked(stages, hub, tmp_path / "lock")

    assert ended.code == 2
    assert "not of the known form" in ended.err


def test_file_listed_twice_is_refused(stages: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    """Two entries with one path could differ."""
    hub.facts = lambda facts: facts | {"siblings": facts["siblings"] * 2}  # type: ignore[operator]

    ended = locked(stages, hub, tmp_path / "lock")

    assert ended.code == 2
    assert "lists a file twice" in ended.err


def test_small_file_with_other_bytes_is_refused(
    stages: Run, hub: LoopbackHub, tmp_path: Path
) -> None:
    """A small file is checked by its git SHA-1 before it is believed."""

    def flip(answer: Any) -> Any:
        answer.flipped = True
        return answer

    hub.faults.append(Fault(flip, path="resolve-cache", where="hub"))

    ended = locked(stages, hub, tmp_path / "lock")

    assert ended.code == 2
    assert "LICENSE: the Hub sent 14 bytes that are not the 14 bytes it lists" in ended.err
