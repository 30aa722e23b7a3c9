"""What runs in the containers is the tested programs: their own parser reads every command."""

from pathlib import Path
from typing import Any

import pytest

from stages import arguments
from stages.command import VERBS
from tests.prewarm.calling import Module
from tests.prewarm.execution import Execution
from tests.stages.packaging import Inputs

ADDRESS = "registry.localhost:5000/images/vllm:latest"
# Function and arguments -> the verbs that it runs.
CALLS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "download-weights": ("download_weights", {}, ["download"]),
    "smoke-test": ("smoke_test", {}, ["download", "image", "smoke"]),
    "smoke-test cpu": ("smoke_test", {"level": "CPU"}, ["download", "image", "smoke"]),
    "smoke-test gpu": ("smoke_test", {"level": "GPU"}, ["download", "image", "smoke"]),
    "scan": ("scan", {}, ["download", "image", "scan"]),
    "lock": ("lock", {}, ["lock"]),
    "publish": ("publish", {"address": ADDRESS}, ["build"]),
    "publish cpu": (
        "publish",
        {"address": ADDRESS, "level": "CPU"},
        ["download", "image", "smoke", "scan", "push"],
    ),
}


def everything_given(module: Module, inputs: Inputs, cache: Path) -> None:
    """Give all that adds words to a command."""
    module.given(
        base="mirror.example/vllm",
        created="0",
        source_url="https://git.example/acme/prewarm",
        source_revision="0123abcd",
        image_version="1.2.3",
        compile_cache=module.bring("Directory", "compile cache", cache),
        lock_file=module.bring("File", "lock", inputs.folder / "lock"),
    )


@pytest.mark.parametrize("given", ["defaults", "everything"])
@pytest.mark.parametrize("case", CALLS)
def test_commands_are_the_programs_own(
    module: Module, inputs: Inputs, cache: Path, case: str, given: str
) -> None:
    """Verb and options exist, and every path is one that the container has or that is made."""
    name, asked, verbs = CALLS[case]
    if given == "everything":
        everything_given(module, inputs, cache)
        verbs = verbs if verbs in (["download"], ["lock"], ["build"]) else ["verify", *verbs]

    module.call(name, **asked)

    assert module.asked.verbs() == verbs
    for one in module.asked.ran:
        if one.verb:
            assert VERBS[one.verb]
            arguments.parse(one.words)
            assert_paths_are_there(one)


def assert_paths_are_there(one: Execution) -> None:
    """Hold each absolute path of a command against what is mounted, but for what it writes."""
    there = {*one.mounts, *one.caches}
    words = iter(one.words[1:])
    for word in words:
        if word in {"--out", "--work"}:
            next(words)
        elif word.startswith("/"):
            assert word in there, f"{word} of {one.args}"
