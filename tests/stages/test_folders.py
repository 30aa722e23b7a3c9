"""A folder for each kind of layer: what a Dockerfile copies is what the layers would hold."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stages.model import NAME, Ended
from tests.stages.packaging import FILES, MODULES, Inputs
from tests.stages.test_rootfs import write_cache

Run = Callable[..., Ended]
HOME = f"model-cache/models/{NAME}"


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """Write what folders are made from."""
    return Inputs.write(tmp_path)


def words(inputs: Inputs, *parts: str) -> list[str]:
    """Give the words of a `layers` that writes `layers`."""
    named = [f"--{part}={inputs.folder / part}" for part in parts]
    return [
        "layers",
        f"--lock={inputs.folder / 'lock'}",
        *named,
        f"--out={inputs.folder / 'layers'}",
    ]


def test_each_kind_has_a_folder(stages: Run, inputs: Inputs) -> None:
    """Weights apart from small files, both below the model's home; modes and times are plain."""
    write_cache(inputs.folder / "compile-cache")

    ended = stages(*words(inputs, "weights", "runtime", "compile-cache"))

    out = inputs.folder / "layers"
    there = {path.relative_to(out).as_posix(): path for path in out.rglob("*")}
    found = {name: path.read_bytes() for name, path in there.items() if path.is_file()}
    kinds = {name: "weights" if name.endswith(".safetensors") else "model-files" for name in FILES}
    expected = {f"{kinds[name]}/{HOME}/{name}": content for name, content in FILES.items()}
    expected |= {f"runtime/opt/prewarm/runtime/{name}": text for name, text in MODULES.items()}
    cached = {name for name in found if name.startswith("compile-cache/opt/prewarm/compile-cache/")}
    assert ended.code == 0, ended.err
    assert ended.out == f"wrote {out}: compile-cache, model-files, runtime, weights\n"
    assert {name: found[name] for name in found.keys() - cached} == expected
    assert len(cached) == 4
    for path in there.values():
        mode = 0o755 if path.is_dir() else 0o644
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_mtime) == (mode, 0)


def test_only_what_is_named_is_laid_out(stages: Run, inputs: Inputs) -> None:
    """A Dockerfile lays out runtime and weights in stages of their own."""
    ended = stages(*words(inputs, "runtime"))

    assert ended.code == 0, ended.err
    assert [path.name for path in (inputs.folder / "layers").iterdir()] == ["runtime"]


def test_naming_nothing_is_refused(stages: Run, inputs: Inputs) -> None:
    """An empty folder would make an empty layer."""
    ended = stages(*words(inputs))

    assert ended.code == 2
    assert "name at least one of --weights, --runtime and --compile-cache" in ended.err


def test_wrong_weights_leave_nothing(stages: Run, inputs: Inputs) -> None:
    """A file that is not the lock's ends the run, and the folder is taken back."""
    (inputs.folder / "weights/config.json").write_bytes(b"{}")

    ended = stages(*words(inputs, "weights"))

    assert ended.code == 2
    assert "config.json has 2 bytes" in ended.err
    assert not (inputs.folder / "layers").exists()
