"""The engine's process, begun before it is spawned: real processes, no vLLM."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import ROOT

PROGRAM = """
import json, multiprocessing, os, sys, time
from pathlib import Path
from runtime import helper, spare
from tests.support import spare_work

def run():
    waiting = spare.Spare(["no.such.module", "decimal"], os.environ, record=Path(sys.argv[1]))
    spare.offer(waiting)
    os.environ.update(json.loads(sys.argv[2]))
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=spare_work.answer, args=(its, 7), name="Engine")
    process.start()
    told = ours.recv()
    told["spare"] = waiting.pid
    told["spawned"] = process.pid
    told["left"] = len(helper.running)
    told["imported"] = waiting.settle()
    ours.send("end")
    process.join(20)
    told["code"] = process.exitcode
    print(json.dumps(told))

if __name__ == "__main__":
    run()
"""


def run(tmp_path: Path, environ: dict[str, str]) -> tuple[dict[str, Any], str]:
    """Spawn a process beside a spare; return what it told and what was logged."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "modules"), json.dumps(environ)],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found, done.stderr


def test_the_next_spawned_process_is_the_spare(tmp_path: Path) -> None:
    """It has imported ahead, and gets the work, its files and the environment as it is then."""
    told, _ = run(tmp_path, {"SET_LATER": "yes"})

    assert told["pid"] == told["spare"] == told["spawned"]
    assert told["left"] == 0, "it is multiprocessing's to wait for, not ours"
    assert (told["number"], told["name"], told["code"]) == (7, "Engine", 3)
    assert told["later"] == "yes"
    assert told["ahead"], "decimal was there before the work was"


def test_a_warm_engine_names_its_modules(tmp_path: Path) -> None:
    """In the order of their imports, so that the next spare can follow it."""
    told, _ = run(tmp_path, {})

    assert "decimal" in told["imported"]
    assert "no.such.module" not in told["imported"]
    assert told["collects"] is False, "nothing is collected before the port opens"


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "LD_PRELOAD", "CUDA_VISIBLE_DEVICES"])
def test_a_spare_that_loaded_otherwise_is_not_used(tmp_path: Path, name: str) -> None:
    """A variable that libraries read when they are loaded has changed: vLLM spawns as ever."""
    told, log = run(tmp_path, {name: "2" if name == "OMP_NUM_THREADS" else ""})

    assert told["pid"] == told["spawned"] != told["spare"]
    assert told["left"] == 0, "the spare is gone"
    assert f"prewarm: the engine's process is started anew: {name} changed" in log
    assert told["imported"] == []


def test_a_spare_ends_with_its_parent(tmp_path: Path) -> None:
    """A start that ends early leaves nobody behind."""
    program = "import os; from runtime.spare import Spare; print(Spare([], os.environ).pid)"
    environ = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
    )
    pid = int(done.stdout)

    waited = subprocess.run(
        ["timeout", "20", "tail", f"--pid={pid}", "-f", "/dev/null"], check=False, cwd=tmp_path
    )

    assert waited.returncode == 0
