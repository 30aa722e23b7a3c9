"""What a user reads when something fails: one line, and no traceback."""

import logging
import runpy
import sys

import dagger
import pytest

from prewarm import errors
from tests.prewarm.calling import Module
from tests.prewarm.session import Failed

# How a program ended -> what is said of it.
ENDINGS = {
    "refused": (
        Failed(code=2, stderr="a warning\nstages: HF_TOKEN is not known. Make a new one\n"),
        "HF_TOKEN is not known. Make a new one",
    ),
    "a bug": (
        Failed(code=1, stderr="Traceback (most recent call last):\n  ...\nKeyError: 'x'\n"),
        "the program ended with exit code 1: KeyError: 'x'",
    ),
    "out of memory": (Failed(code=137, stderr=""), "the program ended with exit code 137: "),
    "told on standard output": (
        Failed(code=1, stderr="", stdout="no Python here\n"),
        "the program ended with exit code 1: no Python here",
    ),
}


@pytest.mark.parametrize("case", ENDINGS)
def test_failure_is_one_line(module: Module, caplog: pytest.LogCaptureFixture, case: str) -> None:
    """Nothing is logged besides: dagger-io would log any other exception with a traceback."""
    failed, told = ENDINGS[case]
    module.asked.outcome = lambda one: failed if one.verb == "download" else None

    with caplog.at_level(logging.WARNING):
        message = module.refused("download_weights")

    assert message == f"downloading the weights: {told}"
    assert [record for record in caplog.records if record.exc_info] == []


def test_engines_own_failure_is_told(module: Module, caplog: pytest.LogCaptureFixture) -> None:
    """As when an image cannot be pulled: the engine's message, with what was being done."""
    module.asked.broken = lambda recipe: (
        "no match for platform in manifest" if recipe.name == "sync" else None
    )

    message = module.refused("download_weights")

    assert message == "downloading the weights: no match for platform in manifest"
    assert [record for record in caplog.records if record.exc_info] == []


def test_error_is_the_one_that_dagger_passes_on() -> None:
    """Any other exception is logged with a traceback first."""
    assert issubclass(errors.FunctionError, dagger.DaggerError)
    assert errors.FunctionError.__name__ == "FunctionError"


def test_release_that_hides_it_still_tells_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a private name of dagger-io: where it is gone, a plain error says the same."""
    monkeypatch.setitem(sys.modules, "dagger.mod._exceptions", None)

    found = runpy.run_path(errors.__file__)

    assert found["FunctionError"] is RuntimeError
