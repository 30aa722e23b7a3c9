"""download-weights: what it runs, what makes it run again, and what it really fetches."""

import shutil
import subprocess
import sys
from pathlib import Path

from prewarm import download, program
from prewarm.given import TOOL_IMAGE
from tests.prewarm.calling import Module
from tests.prewarm.execution import Execution
from tests.prewarm.running import Runner
from tests.stages.model import TOKEN
from tests.stages.packaging import FILES, Inputs
from tests.support.hub import LoopbackHub
from tests.support.server import ROOT

URI = "env://HF_TOKEN?cacheKey=hf-token"
STAGES = ROOT / "ci" / "src" / "stages"
_IMPORTED = (
    "import sys, importlib; sys.path.insert(0, {!r}); import stages.__main__; "
    "importlib.import_module('stages.command.download'); "
    "print(*(m.__file__ for n, m in sys.modules.items() if n.partition('.')[0] == 'stages'))"
)


def downloaded(module: Module, **arguments: object) -> Execution:
    """Call download-weights, and give the program that it ran."""
    module.call("download_weights", **arguments)
    return module.asked.only("download")


def test_it_runs_the_stage(module: Module) -> None:
    """In the tool container, with the lock, the Hub's address and a volume that keeps bytes."""
    found = downloaded(module)

    assert found.image == TOOL_IMAGE
    assert found.env["HF_ENDPOINT"] == "https://huggingface.co"
    assert found.mounts["/model.lock.json"].given == ROOT / "model.lock.json"
    assert found.caches["/cache"].args["sharing"] == "LOCKED"
    assert found.caches["/cache"].args["cache"].args["key"] == download.VOLUME


def test_packages_are_installed_by_hash(module: Module) -> None:
    """From the tool's lock, in the pinned image, before any stage runs."""
    downloaded(module)
    pip = module.asked.ran[0]

    assert pip.image == TOOL_IMAGE
    assert {"--require-hashes", "--no-deps", "/packages.lock"} <= set(pip.args)
    assert pip.mounts["/packages.lock"].given == ROOT / "requirements" / "tool.lock"


def test_program_is_what_it_imports_and_no_more() -> None:
    """The list of its files is exactly what Python reads of the package for this verb."""
    command = [sys.executable, "-c", _IMPORTED.format(str(STAGES.parent))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {Path(file).relative_to(STAGES).as_posix() for file in done.stdout.split()}

    assert set(program.DOWNLOAD) == imported


def test_key_holds_lock_and_program_only(module: Module, tmp_path: Path) -> None:
    """A change of the runtime, of another stage or of the compile cache downloads nothing again."""
    before = downloaded(module)
    runtime = module.bring("Directory", "other runtime", tmp_path)
    module.given(runtime=runtime, compile_cache=module.bring("Directory", "cache", tmp_path))

    again = Module(module.session).given(**module.outside)
    assert downloaded(again).recipe.id == before.recipe.id
    stages = before.mounts["/stages/stages"]
    assert stages.name == "filter"
    assert stages.args["include"] == list(program.DOWNLOAD)


def test_other_lock_downloads(module: Module, inputs: Inputs) -> None:
    """What is fetched follows from the lock."""
    before = downloaded(module)
    again = Module(module.session)
    again.given(lock_file=again.bring("File", "other lock", inputs.folder / "lock"))

    assert downloaded(again).recipe.id != before.recipe.id


def test_token_is_only_ever_a_secret(module: Module) -> None:
    """The one variable that holds it is given by id; no argument and no text of ours does."""
    secret = module.bring("Secret", URI, TOKEN)
    found = downloaded(module, hf_token=secret)

    assert found.secrets == {"HF_TOKEN": module.session.find(secret)}
    assert "HF_TOKEN" not in found.env
    assert not [text for text in module.asked.texts() if TOKEN in text]
    assert not [one for one in module.asked.recipes if one.name in {"plaintext", "setSecret"}]


def test_weights_at_hand_are_checked_and_not_fetched(module: Module, inputs: Inputs) -> None:
    """--weights asks no Hub; what goes on has been through the check."""
    weights = module.bring("Directory", "weights", inputs.folder / "weights")
    module.given(lock_file=module.bring("File", "lock", inputs.folder / "lock"))
    image = module.call_for("assemble_image", weights=weights)
    check = module.asked.only("verify")

    assert module.asked.verbs() == ["verify"]
    assert check.mounts["/weights"] == module.session.find(weights)
    (mounted,) = [one for one in check.recipe.chain() if one.args.get("path") == "/weights"]
    assert "readOnly" not in mounted.args
    sources = {call.args["source"] for call in image.calls("withDirectory")[:3]}
    (source,) = sources
    assert source.calls("withExec")[-1] == check.recipe


def test_weights_come_with_the_listed_files_alone(
    module: Module, inputs: Inputs, hub: LoopbackHub, tmp_path: Path
) -> None:
    """The recorded program, run with exactly the files that its container would hold."""
    runner = Runner(tmp_path)
    module.asked.outcome = runner.outcome
    module.given(lock_file=module.bring("File", "lock", inputs.folder / "lock"), hub=hub.endpoint)
    weights = module.call_for("download_weights", hf_token=module.bring("Secret", URI, TOKEN))

    folder = runner.path(weights)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    (root,) = runner.roots.values()
    assert {
        path.relative_to(root / "stages/stages").as_posix()
        for path in (root / "stages/stages").rglob("*.py")
    } == set(program.DOWNLOAD)


def test_second_download_asks_for_nothing(
    module: Module, inputs: Inputs, hub: LoopbackHub, tmp_path: Path
) -> None:
    """The volume keeps the bytes, whatever became of the container."""
    runner = Runner(tmp_path)
    module.asked.outcome = runner.outcome
    module.given(lock_file=module.bring("File", "lock", inputs.folder / "lock"), hub=hub.endpoint)
    secret = module.bring("Secret", URI, TOKEN)
    module.call("download_weights", hf_token=secret)
    hub.storage.log.clear()
    runner.roots.clear()
    shutil.rmtree(tmp_path / "root-0")
    module.asked.ran.clear()

    module.call("download_weights", hf_token=secret)

    assert hub.storage.log == []


def test_missing_token_is_told_in_one_line(
    module: Module, inputs: Inputs, hub: LoopbackHub, tmp_path: Path
) -> None:
    """A gated model and no token: the program's own message, with what was being done."""
    module.asked.outcome = Runner(tmp_path).outcome
    module.given(lock_file=module.bring("File", "lock", inputs.folder / "lock"), hub=hub.endpoint)

    message = module.refused("download_weights")

    assert message.startswith("downloading the weights: ")
    assert "token" in message
    assert "\n" not in message


def test_service_on_this_machine_is_reached_by_name(module: Module) -> None:
    """A Hub that only this machine has is bound to the one container that asks it."""
    service = module.bring("Service", "tcp://127.0.0.1:8080")
    found = downloaded(module.given(hub_service=service, hub="http://hub.localhost:8080"))

    assert found.services == {"hub.localhost": module.session.find(service)}
    assert found.env["HF_ENDPOINT"] == "http://hub.localhost:8080"
