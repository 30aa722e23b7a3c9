"""The tree holds what the image will, verified, and changes nothing that it was made from."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stages.model import NAME, Ended
from tests.stages.packaging import FILES, MODULES, Inputs, sha256, spoil

Run = Callable[..., Ended]
HOME = f"model-cache/models/{NAME}"


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """Write what a tree is made from."""
    return Inputs.write(tmp_path)


def write_cache(folder: Path) -> Path:
    """Write a compile cache as `bake` leaves it."""
    contents = {"torch/kernel.so": b"\x7fELF", "triton/a.json": b"{}", "py/a.pyc": b"\xa7"}
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    files = [
        {"path": path, "size": len(content), "sha256": sha256(content)}
        for path, content in contents.items()
    ]
    (folder / "cache.json").write_text(json.dumps({"gpu": "NVIDIA L4", "files": files}))
    return folder


def test_tree_holds_weights_runtime_and_cache(stages: Run, inputs: Inputs) -> None:
    """Each below its folder, with plain modes and times, and no module's compiled form."""
    (inputs.folder / "runtime" / "__pycache__").mkdir()
    (inputs.folder / "runtime" / "__pycache__" / "x.pyc").write_bytes(b"pyc")
    cache = write_cache(inputs.folder / "cache")

    ended = stages(*inputs.rootfs(f"--compile-cache={cache}"))

    tree = inputs.folder / "tree"
    expected = {f"{HOME}/{path}": content for path, content in FILES.items()}
    expected |= {f"opt/prewarm/runtime/{path}": content for path, content in MODULES.items()}
    there = {path.relative_to(tree).as_posix(): path for path in tree.rglob("*")}
    found = {name: path.read_bytes() for name, path in there.items() if path.is_file()}
    cached = {name for name in found if name.startswith("opt/prewarm/compile-cache/")}
    assert ended.code == 0, ended.err
    assert f"5 files of {NAME}, 3 of the runtime, 4 of compile cache" in ended.out
    assert {name: found[name] for name in found.keys() - cached} == expected
    assert len(cached) == 4
    for path in there.values():
        mode = 0o755 if path.is_dir() else 0o644
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_mtime) == (mode, 0)


def test_plain_weights_get_a_second_name(stages: Run, inputs: Inputs) -> None:
    """What `download` wrote is not copied; what has another mode or time is, and stays as it is."""
    plain = inputs.folder / "weights" / "model-00001-of-00002.safetensors"
    other = inputs.folder / "weights" / "config.json"
    plain.chmod(0o644)
    os.utime(plain, (0, 0))
    other.chmod(0o600)

    stages(*inputs.rootfs())

    tree = inputs.folder / "tree" / HOME
    assert plain.samefile(tree / plain.name)
    assert not other.samefile(tree / other.name)
    assert stat.S_IMODE(other.stat().st_mode) == 0o600


def test_links_to_weights_become_files(stages: Run, inputs: Inputs) -> None:
    """A folder whose files are links, as other programs lay them out, is read through them."""
    config = inputs.folder / "weights" / "config.json"
    config.rename(inputs.folder / "blob")
    config.symlink_to(inputs.folder / "blob")

    stages(*inputs.rootfs())

    assert not (inputs.folder / "tree" / HOME / "config.json").is_symlink()


# What is spoilt: a file that is written or, for None, missing; and what the message says.
REFUSED: dict[str, tuple[str, bytes | None, str]] = {
    "no lock": ("lock", None, "lock cannot be read: No such file"),
    "no weights": (
        "weights/config.json", None, "config.json cannot be read: No such file or directory. --wei"
    ),
    "other weights": ("weights/config.json", b"x" * 40, "config.json has 40 bytes and sha256"),
    "shorter weights": ("weights/tokenizer.json", b"x", "sha256 not looked at, expected 300000 b"),
    "no runtime": ("runtime/__main__.py", None, "holds no __main__.py; expected the runtime pack"),
    "hostile name": ("runtime/a\nb.py", b"", "is empty or holds control characters"),
    "output not empty": ("tree/x", b"", "tree is not empty, it holds x: choose an empty folder"),
    "output is a file": ("tree", b"", "tree is not a folder"),
    "cache without facts": ("cache/cache.json", None, "cache.json cannot be read"),
    "cache with unsound facts": (
        "cache/cache.json", b'{"files": [{"path": "../x"}]}', "does not list the cache's files"
    ),
    "cache with another file": ("cache/more.so", b"", "cache holds more.so, against its cache.j"),
    "cache lacks a file": ("cache/triton/a.json", None, "cache lacks triton/a.json, against its"),
    "cache changed": ("cache/triton/a.json", b"[]!", "a.json has 3 bytes and sha256"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused(stages: Run, inputs: Inputs, case: str) -> None:
    """Each case has exit code 2, a message of one line, and leaves the output as it was."""
    path, content, message = REFUSED[case]
    write_cache(inputs.folder / "cache")
    spoil(inputs.folder / path, content)
    tree = inputs.folder / "tree"
    before = tree.exists() and sorted(tree.parent.rglob("tree*/*"))

    ended = stages(*inputs.rootfs(f"--compile-cache={inputs.folder / 'cache'}"))

    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.startswith("stages: ")
    assert ended.err.count("\n") == 1
    assert (tree.exists() and sorted(tree.parent.rglob("tree*/*"))) == before


def test_link_in_the_runtime_is_refused(stages: Run, inputs: Inputs) -> None:
    """What a link leads to may be anything of this machine's."""
    (inputs.folder / "runtime" / "x.py").symlink_to("/etc/passwd")

    ended = stages(*inputs.rootfs())

    assert ended.code == 2
    assert "x.py is neither a plain file nor a folder" in ended.err


def test_the_runtime_of_this_repository_starts_from_the_tree(stages: Run, inputs: Inputs) -> None:
    """`python3 -P -m runtime` finds itself by PYTHONPATH alone, and refuses a bad setting."""
    runtime = Path(__file__).parents[2] / "runtime"
    stages(*inputs.rootfs(f"--runtime={runtime}"))
    environ = {"PYTHONPATH": str(inputs.folder / "tree/opt/prewarm"), "PORT": "none"}

    ended = subprocess.run(
        [sys.executable, "-P", "-m", "runtime"],
        env=environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        cwd=inputs.folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 2
    assert "PORT='none'" in ended.stderr
