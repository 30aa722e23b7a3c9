"""The installed release's own parser, given what users might write after the image name."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.server import ROOT

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]

CASES = {
    # arguments, as a user gives them: what the refusal says, or "" where they pass
    "": "",
    "--enforce-eager": "",
    "--middleware mine.Middleware": "",
    "--hf-overrides.x": "the last argument lacks its value: --hf-overrides.x",
    "--limit-mm-per-prompt.image": "the last argument lacks its value: --limit-mm-per-prompt.image",
    "--generation-config.a": "the last argument lacks its value: --generation-config.a",
    "--enforce-eager org/other-model": "the arguments set model-tag",
    "--no-such-flag": "has no flag --no-such-flag",
}

PROGRAM = """
import json, sys
from pathlib import Path
from runtime import vllm
from runtime.errors import PrewarmError
from runtime.settings import Settings

settings = Settings(model_name="tiny", hf_home=Path("/home"))
for text in json.loads(sys.argv[1]):
    line = vllm.command_line(settings, text.split(), release=(0, 32, 0), dtype="auto", cpu=True)
    try:
        vllm.parse(line, settings)
        print(json.dumps(""))
    except PrewarmError as error:
        print(json.dumps(str(error)))
"""


def test_nothing_moves_the_server_or_swallows_the_gate(vllm_python: Path) -> None:
    """A flag without value takes the next argument; ours must not be taken unnoticed."""
    done = subprocess.run(
        [str(vllm_python), "-c", PROGRAM, json.dumps(list(CASES))],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(x) for x in done.stdout.splitlines() if x.startswith('"')]

    for (arguments, expected), answer in zip(CASES.items(), answers, strict=True):
        assert expected in answer, arguments
        assert bool(expected) == bool(answer), arguments
