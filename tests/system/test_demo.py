"""The demo, as a user runs it, with real weights."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.server import ROOT


@pytest.fixture
def real_model() -> Path:
    """Folder of the real Gemma 3 270M that scripts/check --all makes."""
    folder = os.environ.get("PREWARM_REAL_MODEL", "")
    assert folder, "set PREWARM_REAL_MODEL, or run scripts/check --all, which makes the model"
    return Path(folder)


@pytest.mark.real
@pytest.mark.timeout(300)
def test_the_demo_continues_a_sentence_with_sense(real_model: Path) -> None:
    """Real weights through gate, guard and the OpenAI client answer about France's capital."""
    done = subprocess.run(
        [ROOT / "scripts" / "demo", "--model", real_model],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    (completion,) = [x for x in done.stdout.splitlines() if x.startswith("completion ")]
    assert "capital" in completion or "Paris" in completion
    assert "SIGTERM ended the server with exit code 0" in done.stdout
