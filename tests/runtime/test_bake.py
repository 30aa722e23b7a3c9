"""What `bake` refuses before it starts anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import ROOT


def bake(tmp_path: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the verb as users do."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "runtime", "bake", *words],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PREWARM_CACHE_ROOT": str(tmp_path / "root"),
            "HOME": str(tmp_path),
            **environ,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value"), [("VLLM_API_KEY", "canary"), ("HF_TOKEN", "hf_canary"), ("HF_TOKEN", "")]
)
def test_a_credential_is_refused(tmp_path: Path, name: str, value: str) -> None:
    """None can be in a cache that none was near; the message does not show it."""
    done = bake(tmp_path, "--out", str(tmp_path / "out"), **{name: value})

    assert done.returncode == 2
    assert f"{name} is set" in done.stderr
    assert "canary" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_every_problem_is_in_one_message(tmp_path: Path) -> None:
    """A folder with files, a place with files, no warm-up and a secret argument."""
    (tmp_path / "root" / "triton").mkdir(parents=True)
    (tmp_path / "root" / "triton" / "kernel").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").touch()

    words = ["--out", str(tmp_path / "out"), "--", "--some-token=canary"]
    done = bake(tmp_path, *words, SKIP_PREWARM="1", VLLM_TORCH_COMPILE_LEVEL="0")

    assert done.returncode == 2
    assert f"{tmp_path}/out is not an empty folder" in done.stderr
    assert f"{tmp_path}/root/triton is not empty" in done.stderr
    assert "SKIP_PREWARM is set" in done.stderr
    assert "VLLM_TORCH_COMPILE_LEVEL=0 compiles nothing" in done.stderr
    assert "argument --some-token holds a secret" in done.stderr
    assert "canary" not in done.stderr


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """Before minutes of a GPU are spent on what could not be kept."""
    done = bake(tmp_path, "--out", "/proc/self/out")

    assert done.returncode == 2
    assert "/proc/self/out cannot be written" in done.stderr


def test_the_folder_must_be_named(tmp_path: Path) -> None:
    """Usage, exit 2."""
    done = bake(tmp_path)

    assert done.returncode == 2
    assert "--out" in done.stderr


def test_a_start_that_fails_fails_the_bake(tmp_path: Path) -> None:
    """There is no model here; the child says why, and nothing is left behind."""
    done = bake(tmp_path, "--out", str(tmp_path / "out"), HF_HOME=str(tmp_path))

    assert done.returncode == 70
    assert "no model folder at" in done.stderr
    assert "start 1 of the bake ended with 2" in done.stderr
    assert not (tmp_path / "out").exists()
