"""What runs in the containers is the tested programs: their own parser reads every command."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stages import arguments, lockfile
from stages.command import VERBS
from tests.prewarm.calling import Module
from tests.prewarm.execution import Execution
from tests.prewarm.running import Runner
from tests.prewarm.session import Failed
from tests.stages.model import TOKEN
from tests.stages.packaging import Inputs, SmallBase
from tests.stages.pushing import passing
from tests.support.hub import LoopbackHub
from tests.support.registry import Registry, registry

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


@pytest.fixture
def local(tmp_path: Path, inputs: Inputs) -> Iterator[Registry]:
    """Run a registry that holds the lock's base."""
    with registry(tmp_path / "registry") as local:
        base = SmallBase()
        digest = base.make()
        assert digest == lockfile.read(inputs.folder / "lock").base.digest
        _fill(local, base)
        yield local


def _fill(local: Registry, base: SmallBase) -> None:
    """Push a base's blobs, then its manifests, the index last."""
    with httpx.Client(base_url=f"http://{local.host}/v2/base") as client:
        for digest, content in base.blobs.items():
            place = httpx.URL(client.post("/blobs/uploads/").headers["Location"])
            place = place.copy_merge_params({"digest": digest})
            done = client.put(place, content=content)
            assert done.status_code == httpx.codes.CREATED
        for digest, content in base.blobs.items():
            kind = _kind(content)
            if kind:
                done = client.put(
                    f"/manifests/{digest}", content=content, headers={"Content-Type": kind}
                )
                assert done.status_code == httpx.codes.CREATED


def _kind(content: bytes) -> str | None:
    try:
        found: str | None = json.loads(content).get("mediaType")
    except ValueError:
        return None
    return found


Outcome = Callable[[Execution], Failed | None]


def with_report(runner: Runner) -> Outcome:
    """Run everything but the server's test, whose report is written as it would be."""

    def outcome(one: Execution) -> Failed | None:
        if one.verb != "smoke":
            return runner.outcome(one)
        root = runner.folder / "smoke-root"
        root.mkdir()
        runner.roots[one.recipe.id] = root
        layout = runner.path(one.mounts["/layout"])
        (root / "report.json").write_text(json.dumps(passing(layout)))
        return None

    return outcome


@pytest.mark.containers
def test_publish_really_pushes(
    module: Module, inputs: Inputs, hub: LoopbackHub, local: Registry, tmp_path: Path
) -> None:
    """Every recorded program but the server's test, run in order on what the ones before left."""
    runner = Runner(tmp_path)
    module.asked.outcome = with_report(runner)
    module.asked.printed = runner.printed
    module.given(
        lock_file=module.bring("File", "lock", inputs.folder / "lock"),
        runtime=module.bring("Directory", "runtime", inputs.folder / "runtime"),
        hub=hub.endpoint,
        base=f"{local.host}/base",
    )
    token = module.bring("Secret", "env://HF_TOKEN", TOKEN)
    address = f"{local.host}/images/tiny:latest"

    reference = module.call("publish", address=address, level="CPU", hf_token=token)

    name, _, digest = reference.partition("@")
    assert name == address
    manifest = local.manifest("images/tiny", "latest")
    assert manifest == local.manifest("images/tiny", digest)
    layers: Any = manifest["layers"]
    assert all(local.has_blob("images/tiny", one["digest"]) for one in layers)
