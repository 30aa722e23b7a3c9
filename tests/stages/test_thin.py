"""A thin image has our blobs, says all that others need, and is the same wherever it is made."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stages import configuration, lockfile, thin
from stages.lock import with_digests
from tests.stages.model import NAME, Ended
from tests.stages.packaging import (
    DOCKER,
    FILES,
    MODULES,
    OCI,
    Inputs,
    SmallBase,
    blob,
    config_of,
    manifest_of,
    sha256,
    spoil,
)

Run = Callable[..., Ended]
SOURCES = Path(__file__).parents[2] / "ci" / "src"


@pytest.fixture
def inputs(stages: Run, tmp_path: Path) -> Inputs:
    """Write the inputs and their tree."""
    made = Inputs.write(tmp_path)
    assert stages(*made.rootfs()).code == 0
    return made


def test_layout_holds_our_blobs_only_and_each_is_what_its_name_says(
    stages: Run, inputs: Inputs
) -> None:
    """The base's layers are in the manifest and not in the layout; the digest is printed."""
    ended = stages(*inputs.image("--ref-name=example.com/a/b:c"))

    layout = inputs.folder / "image"
    manifest = manifest_of(layout)
    held = {
        f"sha256:{path.name}": path.read_bytes() for path in (layout / "blobs/sha256").iterdir()
    }
    base, *ours = [one["digest"] for one in manifest["layers"]]
    assert ended.code == 0, ended.err
    assert all(f"sha256:{sha256(content)}" == digest for digest, content in held.items())
    assert set(held) == {*ours, manifest["config"]["digest"], ended.out.strip()}
    assert base not in held
    assert [one["size"] for one in manifest["layers"][1:]] == [len(held[one]) for one in ours]
    assert (
        b'"org.opencontainers.image.ref.name":"example.com/a/b:c"'
        in (layout / "index.json").read_bytes()
    )


def test_layers_hold_the_locked_bytes_and_no_folder_of_the_base(
    stages: Run, inputs: Inputs
) -> None:
    """All entries belong to root, are plain and dated 0; /opt is the base's and is left alone."""
    stages(*inputs.image())

    layout = inputs.folder / "image"
    found: dict[str, bytes] = {}
    for one in manifest_of(layout)["layers"][1:]:
        with tarfile.open(blob(layout, one["digest"])) as tar:
            for member in tar:
                mode = 0o755 if member.isdir() else 0o644
                owner = (member.uid, member.gid, member.uname, member.gname)
                assert (member.mode, member.mtime, owner) == (mode, 0, (0, 0, "", ""))
                assert member.name != "opt"
                if file := tar.extractfile(member):
                    found[member.name] = file.read()
    expected = {f"model-cache/models/{NAME}/{path}": content for path, content in FILES.items()}
    expected |= {f"opt/prewarm/runtime/{path}": content for path, content in MODULES.items()}
    assert found == expected


def test_configuration_is_ours_over_the_base(stages: Run, inputs: Inputs) -> None:
    """Environment by name, Cmd cleared, history and diff_ids appended, one for each layer."""
    stages(*inputs.image("--created=2026-01-31T12:00:00Z", "--revision=abc"))

    layout = inputs.folder / "image"
    manifest, config = manifest_of(layout), config_of(layout)
    run = config["config"]
    told = [one for one in config["history"] if not one.get("empty_layer")]
    assert run["Env"][:3] == ["PATH=/usr/bin:/bin", "PORT=8000", f"MODEL_NAME={NAME}"]
    assert "Cmd" not in run
    assert run["Entrypoint"] == ["python3", "-P", "-m", "runtime"]
    assert (run["User"], run["WorkingDir"], run["StopSignal"]) == ("2000:0", "/", "SIGTERM")
    assert run["ExposedPorts"] == {"8000/tcp": {}}
    assert run["Healthcheck"]["StartPeriod"] == 1800 * 10**9
    assert run["Labels"] == manifest["annotations"]
    assert run["Labels"]["org.opencontainers.image.revision"] == "abc"
    assert config["created"] == "2026-01-31T12:00:00Z"
    assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"]) == len(told) == 5
    assert config["rootfs"]["diff_ids"][1:] == [one["digest"] for one in manifest["layers"][1:]]
    assert told[1]["created_by"] == (
        "prewarm: weights: model-00001-of-00002.safetensors in /model-cache/models/acme/tiny-it"
    )


def test_layers_do_not_depend_on_the_kind_of_base(stages: Run, tmp_path: Path) -> None:
    """Docker's schema 2 and OCI give the same layers of ours, and OCI's names for the base's."""
    seen = {}
    for name, kinds in (("oci", OCI), ("docker", DOCKER)):
        (tmp_path / name).mkdir()
        made = Inputs.write(tmp_path / name, SmallBase(kinds=kinds))
        stages(*made.rootfs())
        assert stages(*made.image()).code == 0
        seen[name] = manifest_of(made.folder / "image")["layers"]

    assert seen["docker"] == seen["oci"]
    assert seen["oci"][0]["mediaType"] == OCI["layer"]
    assert {one["mediaType"] for one in seen["oci"][1:]} == {OCI["layer"].removesuffix("+gzip")}


def build_elsewhere(inputs: Inputs, folder: Path, *, umask: int, user: int | None) -> str:
    """Make tree and image in a folder of their own, in processes of their own."""
    shutil.copytree(inputs.folder, folder, ignore=shutil.ignore_patterns("tree", "image"))
    if user is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, user)
        folder.parent.chmod(0o755)
    elsewhere = Inputs(folder, inputs.digest)
    environ = {"PYTHONPATH": str(SOURCES), "PYTHONDONTWRITEBYTECODE": "1"}
    for words in (elsewhere.rootfs(), elsewhere.image()):
        ended = subprocess.run(
            [sys.executable, "-m", "stages", *words],
            env=environ,
            umask=umask,
            user=user,
            extra_groups=None if user is None else [],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_another_folder_time_and_umask_give_the_same_digest(
    stages: Run, inputs: Inputs, tmp_path_factory: pytest.TempPathFactory, umask: int
) -> None:
    """Nothing of the machine or the moment reaches the image."""
    first = stages(*inputs.image())
    time.sleep(1.1)  # times in tars and JSON count whole seconds: let one pass

    other = build_elsewhere(
        inputs, tmp_path_factory.mktemp("elsewhere") / "x", umask=umask, user=None
    )

    assert other == first.out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_gives_the_same_digest(stages: Run, inputs: Inputs, shared: Path) -> None:
    """The files' owner is not the layers' owner."""
    first = stages(*inputs.image())

    other = build_elsewhere(inputs, shared / "x", umask=0o027, user=65534)

    assert other == first.out


@pytest.fixture
def shared() -> Iterator[Path]:
    """Give a folder that every user can reach, unlike those that pytest makes."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_time_comes_from_the_environment_or_is_0(stages: Run, inputs: Inputs) -> None:
    """SOURCE_DATE_EPOCH is heeded, and --created goes before it."""
    environ = {"SOURCE_DATE_EPOCH": "86400"}
    stages(*inputs.image(out="a"), environ=environ)
    stages(*inputs.image("--created=0", out="b"), environ=environ)
    stages(*inputs.image(out="c"))

    dates = [config_of(inputs.folder / out)["created"] for out in "abc"]
    assert dates == ["1970-01-02T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"]


def test_known_layer_digests_are_held_against_the_layers(stages: Run, inputs: Inputs) -> None:
    """A lock that knows its layers gives the same image; one that knows others is refused."""
    path = inputs.folder / "lock"
    known = with_digests(lockfile.read(path), inputs.folder / "weights")
    first = stages(*inputs.image())
    path.write_text(lockfile.dump(known))

    same = stages(*inputs.image(out="same"))
    path.write_text(lockfile.dump(known).replace(known.model.layers[0].digest or "", DIGEST))
    other = stages(*inputs.image(out="other"))

    assert same.out == first.out
    assert other.code == 2
    assert f"the lock says {DIGEST}" in other.err
    assert not (inputs.folder / "other").exists()


DIGEST = f"sha256:{'d' * 64}"
# What is spoilt in the inputs, what is asked for, and what the message says.
REFUSED: dict[str, tuple[tuple[str, bytes | None] | None, tuple[str, ...], str]] = {
    "no lock": (("lock", None), (), "lock cannot be read"),
    "no tree": (None, ("--rootfs=none",), "LICENSE is absent, the lock says"),
    "weights changed": (
        (f"tree/model-cache/models/{NAME}/config.json", b"x" * 40), (), "40 bytes and sha256"
    ),
    "weights shorter": (
        (f"tree/model-cache/models/{NAME}/config.json", b"x"), (), "is 1 bytes long, the lock says"
    ),
    "file too many": (("tree/opt/x", b""), (), "holds opt/x, which no image should"),
    "no runtime": (
        ("tree/opt/prewarm/runtime/__main__.py", None), (), "holds no opt/prewarm/runtime/__main__"
    ),
    "no such base": (None, ("--base=oci:none",), "oci:none: there is no OCI image layout"),
    "another base": (None, (f"--base=a/b@{DIGEST}",), "is not the lock's base sha256:"),
    "base that is no name": (None, ("--base=A:B",), "--base: 'A:B' is not an image's name"),
    "output not empty": (("image/x", b""), (), "image is not empty, it holds x"),
    "output is a file": (("image", b""), (), "image is not a folder"),
    "time that is none": (None, ("--created=now",), "--created is 'now', expected seconds since"),
    "time before 1970": (None, ("--created=-1",), "--created is '-1', expected seconds since 1970"),
    "time without a zone": (None, ("--created=2026-01-31T12:00:00",), "expected seconds since"),
    "time past all": (None, (f"--created={10**30}",), "expected seconds since 1970"),
    "revision of two lines": (None, ("--revision=a\nb",), r"--revision is 'a\nb', expected one"),
    "empty name": (None, ("--ref-name=",), "--ref-name is '', expected one line of text"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused(stages: Run, inputs: Inputs, case: str) -> None:
    """Each case has exit code 2, a message of one line, and leaves the output as it was."""
    spoilt, words, message = REFUSED[case]
    if spoilt:
        spoil(inputs.folder / spoilt[0], spoilt[1])
    before = sorted(inputs.folder.rglob("*"))

    ended = stages(*inputs.image(*words))

    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.startswith("stages: ")
    assert ended.err.count("\n") == 1
    assert sorted(inputs.folder.rglob("*")) == before


def test_time_of_the_environment_is_checked(stages: Run, inputs: Inputs) -> None:
    """The message names the variable."""
    ended = stages(*inputs.image(), environ={"SOURCE_DATE_EPOCH": "soon"})

    assert ended.code == 2
    assert "SOURCE_DATE_EPOCH is 'soon'" in ended.err


def test_too_many_layers_are_refused(stages: Run, tmp_path: Path) -> None:
    """An image that cannot be mounted is not made."""
    layer = {"mediaType": OCI["layer"], "digest": DIGEST, "size": 1}
    many = SmallBase(
        manifest={"layers": [layer] * 124},
        config={"rootfs": {"type": "layers", "diff_ids": [DIGEST] * 124}},
    )
    made = Inputs.write(tmp_path, many)
    stages(*made.rootfs())

    ended = stages(*made.image())

    assert ended.code == 2
    assert "the image would have 128 layers, at most 127" in ended.err


def test_large_model_is_warned_about(
    stages: Run, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image is made all the same."""
    monkeypatch.setattr(thin, "MOST_FOR_SERVERLESS", 10**6)

    ended = stages(*inputs.image())

    assert ended.code == 0
    assert "load a model from storage" in ended.err


def test_json_has_one_form() -> None:
    """Its bytes follow from the value, in whatever order that was put together."""
    assert configuration.text({"b": "ü", "a": 1}) == '{"a":1,"b":"ü"}'.encode()
    assert configuration.text({"a": 1, "b": "ü"}) == '{"a":1,"b":"ü"}'.encode()
