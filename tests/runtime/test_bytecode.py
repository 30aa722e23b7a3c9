"""Compiled modules are read from the kept cache, and nothing is written there."""

import subprocess
import sys
from pathlib import Path

import pytest

from runtime import bytecode
from tests.runtime import kept as caches


@pytest.fixture(autouse=True)
def prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put Python's own prefix back afterwards."""
    monkeypatch.setattr(sys, "pycache_prefix", None)


def test_kept_modules_are_used_here_and_in_processes_to_come(tmp_path: Path) -> None:
    """Python looks into the folder for each module that it imports from now on."""
    kept = caches.make(tmp_path, {"pyc/usr/lib/x.cpython-312.pyc": b"a"})
    environ: dict[str, str] = {}

    assert bytecode.use(kept, environ)
    assert environ == {"PYTHONPYCACHEPREFIX": f"{tmp_path}/pyc"}
    assert sys.pycache_prefix == f"{tmp_path}/pyc"


def test_a_cache_without_modules_changes_nothing(tmp_path: Path) -> None:
    """Led to an empty folder, Python would compile all that the image has compiled."""
    environ: dict[str, str] = {}

    assert not bytecode.use(caches.make(tmp_path), environ)
    assert environ == {}
    assert sys.pycache_prefix is None


def test_a_prefix_that_is_set_stays(tmp_path: Path) -> None:
    """A user's own folder goes before ours."""
    kept = caches.make(tmp_path, {"pyc/x.pyc": b"a"})
    environ = {"PYTHONPYCACHEPREFIX": "/mine"}

    assert not bytecode.use(kept, environ)
    assert environ == {"PYTHONPYCACHEPREFIX": "/mine"}


def test_python_reads_a_module_from_a_prefix_set_while_it_runs(tmp_path: Path) -> None:
    """It takes the compiled module of the kept folder, which it cannot write, and says so."""
    source, folder = tmp_path / "src", tmp_path / "pyc"
    source.mkdir()
    (source / "module.py").write_text("x = 1\n")
    environ = {"PYTHONPATH": str(source), "PYTHONPYCACHEPREFIX": str(folder)}
    subprocess.run([sys.executable, "-c", "import module"], env=environ, check=True)
    folder.chmod(0o500)
    program = f"import sys; sys.pycache_prefix = {str(folder)!r}; import module"

    done = subprocess.run(
        [sys.executable, "-v", "-c", program],
        env={"PYTHONPATH": str(source)},
        check=True,
        capture_output=True,
        text=True,
    )

    assert f"matches {source}/module.py" in done.stderr
