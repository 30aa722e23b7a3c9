"""Bad input ends with a message and exit code 2, before anything is asked."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stages import __main__ as program
from tests.stages.model import NAME, Ended
from tests.support.hub import LoopbackHub

Run = Callable[..., Ended]
ROOT = Path(__file__).parents[2]

# What is asked, in what environment, and what the message says.
CASES: dict[str, tuple[str, dict[str, str], str]] = {
    "no verb": ("", {}, "VERB"),
    "unknown verb": ("fetch", {}, "invalid choice: 'fetch'"),
    "unknown option": (f"lock {NAME} --force", {}, "unrecognized arguments: --force"),
    "short option": (f"lock {NAME} --rev main", {}, "unrecognized arguments"),
    "no model": ("lock", {}, "required: MODEL"),
    "model with a path": ("lock ../x", {}, "'../x' is not a model's name"),
    "model as an address": ("lock https://hub.example/a/b", {}, "is not a model's name"),
    "two problems": (
        "lock a/b/c --revision ..", {}, "as google/gemma-3-1b-it; '..' is not a branch"
    ),
    "empty revision": (f"lock {NAME} --revision=", {}, "'' is not a branch, tag or commit"),
    "bad base": (f"lock {NAME} --base A:B", {}, "--base: 'A:B' is not an image's name"),
    "no cache": ("download --out o", {}, "required: --cache"),
    "no out": ("download --cache c", {}, "required: --out"),
    "unknown progress": ("download --cache c --out o --progress x", {}, "invalid choice: 'x'"),
    "no lock": (
        "download --cache c --out o --lock none.json", {}, "none.json cannot be read: No such file"
    ),
    "lock is a folder": (
        "download --cache c --out o --lock .", {}, "cannot be read: Is a directory"
    ),
    "lock is no lock": (
        "download --cache c --out o --lock bad.json", {}, "bad.json: the lock must be"
    ),
    "cache is a file": (
        "download --cache bad.json --out o --lock good.json", {}, "bad.json cannot be written"
    ),
    "bad endpoint": (f"lock {NAME}", {"HF_ENDPOINT": "hub"}, "HF_ENDPOINT: not an http"),
    "bad token": (f"lock {NAME}", {"HF_TOKEN": "a b"}, "HF_TOKEN does not hold a token"),
    "no token file": (f"lock {NAME} --token-file none", {}, "--token-file: none cannot be read"),
    "token in the clear": (
        f"lock {NAME}", {"HF_ENDPOINT": "http://hub.example", "HF_TOKEN": "hf_x"}, "in the clear"
    ),
    "unknown revision": (
        f"lock {NAME} --revision v9", {}, f"{NAME} has no branch, tag or commit v9"
    ),
    "unknown model": ("lock acme/none", {}, "acme/none is private or does not exist"),
    "unwritable out": (f"lock {NAME} --out none/lock", {}, "none/lock cannot be written"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused(
    stages: Run,
    hub: LoopbackHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
) -> None:
    """Each case has exit code 2 and a message of one line, and leaves no file."""
    line, environ, message = CASES[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("{}")
    (tmp_path / "good.json").write_bytes((ROOT / "model.lock.json").read_bytes())
    before = sorted(tmp_path.iterdir())

    ended = stages(*line.split(), environ={"HF_ENDPOINT": hub.endpoint} | environ)

    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.startswith("stages: ")
    assert ended.err.count("\n") == 1
    assert "Traceback" not in ended.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_hub_that_is_not_there_is_told(stages: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """After bounded tries, with the origin that was asked."""
    monkeypatch.setattr("stages.retry.Attempts._pause", lambda *_: 0.0)

    ended = stages("lock", NAME, environ={"HF_ENDPOINT": "http://127.0.0.1:9"})

    assert ended.code == 2
    assert "http://127.0.0.1:9: " in ended.err
    assert "gave up after 6 tries" in ended.err


def test_a_bug_is_not_an_expected_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not dressed as a message: Python shows the traceback and exits with 1."""

    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(program, "parse", broken)

    with pytest.raises(ZeroDivisionError):
        program.main([], {})


def test_program_runs_by_its_name() -> None:
    """`python -m stages VERB --help` explains the verb, with exit code 0."""
    command = [sys.executable, "-m", "stages", "download", "--help"]
    environ = os.environ | {"PYTHONPATH": str(ROOT / "ci" / "src")}

    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)

    assert "--cache DIR" in ended.stdout
    assert "goes on where it ended" in ended.stdout
