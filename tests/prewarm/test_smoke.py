"""smoke-test: what it runs on, what it may do, and that it runs each time."""

import pytest

from prewarm.given import CPU_BASE, TOOL_IMAGE
from stages import lockfile
from tests.prewarm.calling import Module
from tests.prewarm.execution import Execution
from tests.prewarm.session import Failed
from tests.support.server import ROOT


def tried(module: Module, level: str) -> Execution:
    """Call smoke-test, and give the program that tried the image."""
    report = module.call_for("smoke_test", level=level)
    found = module.asked.only("smoke")
    assert report.args == {"path": "/report.json"}
    assert report.calls("withExec")[-1] == found.recipe
    return found


def test_static_reads_in_the_tool_container(module: Module) -> None:
    """No server, no capabilities; the weights beside the image."""
    found = tried(module, "STATIC")

    assert found.image == TOOL_IMAGE
    assert not found.unconfined
    assert found.words[:3] == ["smoke", "--level", "static"]
    assert found.args[-2:] == ["--weights", "/weights"]


def test_tokenizers_are_read_where_no_vllm_does(module: Module) -> None:
    """At level static alone, with packages of their own: the download's stay as they are."""
    found = tried(module, "STATIC")

    readers = found.mounts["/readers"].calls("withExec")[-1]
    assert readers.calls("withMountedFile")[-1].args["source"].given == (
        ROOT / "requirements" / "smoke.lock"
    )
    assert found.env["PYTHONPATH"] == "/stages:/packages:/readers"
    assert "/readers" not in module.asked.only("download").mounts
    assert "/readers" not in tried(Module(module.session), "CPU").mounts


def test_cpu_runs_server_and_client_in_one_container(module: Module) -> None:
    """On vLLM's CPU build, with the capabilities that a network of its own takes."""
    found = tried(module, "CPU")

    assert found.image == CPU_BASE
    assert found.unconfined
    assert found.user == "0:0"
    assert found.words[:3] == ["smoke", "--level", "cpu"]
    assert found.args[-4:] == ["--serve", "/tree", "--python", "python3"]
    assert found.services == {}


def test_gpu_runs_on_the_locks_base(module: Module) -> None:
    """The image's own base with the engine's GPUs."""
    found = tried(module, "GPU")
    base = lockfile.read(ROOT / "model.lock.json").base

    assert found.image == f"{base.image}@{base.digest}"
    assert found.recipe.calls("experimentalWithAllGPUs")
    assert found.words[:3] == ["smoke", "--level", "gpu"]


@pytest.mark.parametrize("level", ["CPU", "GPU"])
def test_tree_holds_what_the_image_does(module: Module, level: str) -> None:
    """The same weights and runtime, by second names, where the image has them."""
    found = tried(module, level)
    tree = found.mounts["/tree"]

    assert [call.args["path"] for call in tree.calls("withDirectory")] == [
        "model-cache/models/google/gemma-3-1b-it",
        "opt/prewarm/runtime",
    ]
    assert all(set(call.args) <= {"path", "source", "include"} for call in tree.chain()[1:])
    weights = tree.calls("withDirectory")[0].args["source"]
    assert weights.calls("withExec")[-1] == module.asked.only("download").recipe


@pytest.mark.parametrize("level", ["STATIC", "CPU", "GPU"])
def test_report_is_of_the_thin_image(module: Module, level: str) -> None:
    """The layout is made by the same stage that makes it for a push; its base is not fetched."""
    found = tried(module, level)
    image = module.asked.only("image")

    assert found.mounts["/layout"].calls("withExec")[-1] == image.recipe
    assert image.image == TOOL_IMAGE
    assert image.mounts["/tree"].calls("withDirectory")


@pytest.mark.parametrize("level", ["STATIC", "CPU", "GPU"])
def test_each_run_is_fresh(module: Module, level: str) -> None:
    """Dagger would show an earlier run's result for the same image; everything else is kept."""
    first = tried(module, level)
    again = Module(module.session)
    second = tried(again, level)

    assert first.recipe != second.recipe
    assert again.asked.only("image").recipe == first.mounts["/layout"].calls("withExec")[-1]
    runs = {one.env["PREWARM_RUN"] for one in (first, second)}
    assert len(runs) == 2


def test_secrets_stay_with_the_download(module: Module) -> None:
    """No token is where a server runs."""
    secret = module.bring("Secret", "env://HF_TOKEN", "canary")
    module.call("smoke_test", level="CPU", hf_token=secret)

    assert [one.verb for one in module.asked.ran if one.secrets] == ["download"]


def test_failed_check_is_told(module: Module) -> None:
    """By the program's own last line, and no report is given."""
    module.asked.outcome = lambda one: (
        Failed(code=2, stderr="10 s: warming up\nstages: 1 of 9 checks failed (chat)\n")
        if one.verb == "smoke"
        else None
    )

    message = module.refused("smoke_test", level="CPU")

    assert message == "smoke test, level cpu: 1 of 9 checks failed (chat)"


def test_build_gives_the_image_that_passed(module: Module) -> None:
    """The container of assemble-image, once its smoke test has run."""
    made = module.call_for("build")
    assert module.asked.verbs() == ["download", "image", "smoke"]

    again = Module(module.session)
    assert made == again.call_for("assemble_image")


def test_build_gives_nothing_that_failed(module: Module) -> None:
    """No container comes out of a build whose smoke test fails."""
    module.asked.outcome = lambda one: (
        Failed(code=2, stderr="stages: no\n") if one.verb == "smoke" else None
    )

    assert module.refused("build") == "smoke test, level static: no"
