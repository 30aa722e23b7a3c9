"""assemble-image: the container is what `stages/image.py` describes, and costs no copy."""

from dataclasses import replace
from pathlib import Path

import pytest

from prewarm.given import PLATFORM
from stages import image, lockfile
from stages.image import Image, Provenance
from stages.lockfile import File
from tests.prewarm.calling import Module
from tests.prewarm.recipe import Recipe
from tests.stages.packaging import Inputs, sha256, spoil
from tests.support.server import ROOT


def described() -> Image:
    """Describe the image of the committed lock, as every maker of images does."""
    lock = lockfile.read(ROOT / "model.lock.json")
    return image.describe(lock, runtime=(), provenance=Provenance())


def pairs(made: Recipe, name: str) -> dict[str, str]:
    """Give what was set by name and value."""
    return {call.args["name"]: call.args["value"] for call in made.calls(name)}


def layers(made: Recipe) -> list[tuple[str, list[str]]]:
    """List the layers in order: the folder, and which files of the source it takes."""
    return [
        (call.args["path"], call.args.get("include", [])) for call in made.calls("withDirectory")
    ]


def test_base_is_the_locks(module: Module) -> None:
    """By digest, for the one platform that bases are made for."""
    made = module.call_for("assemble_image")
    lock = lockfile.read(ROOT / "model.lock.json")

    assert made.chain()[0].args == {"platform": str(PLATFORM)}
    (base,) = made.calls("from")
    assert base.args == {"address": f"{lock.base.image}@{lock.base.digest}"}


def test_base_can_lie_in_the_local_registry(module: Module) -> None:
    """The engine reaches it through the service that the programs reach it by."""
    service = module.bring("Service", "tcp://127.0.0.1:5000")
    module.given(base="registry.localhost:5000/vllm", registry_service=service)
    made = module.call_for("assemble_image")

    (base,) = made.calls("from")
    assert base.args["registryService"] == module.session.find(service)


def test_base_can_lie_elsewhere(module: Module) -> None:
    """In a mirror: the same digest at another address, with a login of its own."""
    secret = module.bring("Secret", "env://BASE", "canary")
    module.given(base="mirror.example/vllm", base_username="reader", base_password=secret)
    made = module.call_for("assemble_image")

    digest = described().base.digest
    assert made.calls("from")[0].args == {"address": f"mirror.example/vllm@{digest}"}
    (login,) = made.calls("withRegistryAuth")
    assert login.args == {
        "address": "mirror.example/vllm",
        "username": "reader",
        "secret": module.session.find(secret),
    }


def test_layers_are_in_order(module: Module) -> None:
    """Each big weight file, then the model's other files, the runtime last."""
    made = module.call_for("assemble_image")

    model = [
        (f"/{one.home}", [entry.path for entry in one.entries]) for one in described().layers[:-1]
    ]
    assert layers(made) == [*model, ("/opt/prewarm/runtime", ["**/*.py"])]
    assert made.calls("withDirectory")[-1].args["source"].given == ROOT / "runtime"


def test_weights_get_second_names(module: Module) -> None:
    """No owner and no permissions: with either, every byte would be copied."""
    made = module.call_for("assemble_image")

    for call in made.calls("withDirectory"):
        assert set(call.args) == {"path", "source", "include"}


def test_file_names_are_no_patterns(module: Module, tmp_path: Path) -> None:
    """A model may call a file anything; the layer takes this one file."""
    odd = b"odd"
    file = File(path="a[1]*.json", size=len(odd), sha256=sha256(odd))
    lock = lockfile.read(ROOT / "model.lock.json")
    files = tuple(sorted((*lock.model.files, file), key=lambda one: one.path))
    model = replace(lock.model, files=files, layers=lockfile.layers(lock.model.name, files))
    (tmp_path / "lock").write_text(lockfile.dump(replace(lock, model=model)))
    module.given(lock_file=module.bring("File", "odd lock", tmp_path / "lock"))

    made = module.call_for("assemble_image")

    assert r"a\[1]\*.json" in layers(made)[1][1]


def test_runtime_edit_keeps_the_weight_layers(module: Module, tmp_path: Path) -> None:
    """All calls up to the last layer are the same ones, so nothing of them runs again."""
    before = module.call_for("assemble_image")
    again = Module(module.session)
    again.given(runtime=again.bring("Directory", "edited", tmp_path))
    after = again.call_for("assemble_image")

    assert after != before
    weights = before.calls("withDirectory")[:-1]
    assert after.calls("withDirectory")[:-1] == weights
    assert len(weights) == 2


def test_settings_are_those_described(module: Module) -> None:
    """Environment, labels, annotations, user, folder, entrypoint, port and health check."""
    made = module.call_for("assemble_image")
    wanted = described()

    assert pairs(made, "withEnvVariable") == wanted.env
    assert pairs(made, "withLabel") == wanted.labels
    assert pairs(made, "withAnnotation") == wanted.annotations
    assert made.calls("withUser")[0].args == {"name": wanted.user}
    assert made.calls("withWorkdir")[0].args == {"path": wanted.working_dir}
    assert made.calls("withEntrypoint")[0].args == {"args": list(wanted.entrypoint)}
    assert made.calls("withDefaultArgs")[0].args == {"args": list(wanted.command)}
    assert [call.args for call in made.calls("withExposedPort")] == [{"port": 8000}]
    health = wanted.health
    assert made.calls("withDockerHealthcheck")[0].args == {
        "args": list(health.command),
        "interval": f"{health.interval}s",
        "timeout": f"{health.timeout}s",
        "startPeriod": f"{health.start_period}s",
        "retries": health.retries,
    }


NAMES = ("created", "source", "revision", "version")  # of labels and of options
SAID = {
    "created": "2026-01-31T12:00:00Z",
    "source_url": "https://git.example/acme/prewarm",
    "source_revision": "0123abcd",
    "image_version": "1.2.3",
}


def test_image_says_what_it_is_told_of_its_making(module: Module) -> None:
    """The container and the thin image the same; without it they say nothing, on any machine."""
    made = module.given(**SAID).call_for("assemble_image")
    module.call("scan")

    labels = pairs(made, "withLabel")
    assert {labels[f"org.opencontainers.image.{name}"] for name in NAMES} == set(SAID.values())
    words = module.asked.only("image").words
    told = [words[words.index(f"--{name}") + 1] for name in NAMES]
    assert told == [SAID["created"], *list(SAID.values())[1:]]


def test_time_that_is_none_is_refused(module: Module) -> None:
    """With what was given."""
    message = module.given(created="yesterday").refused("assemble_image")

    assert message.startswith("assembling the image: --created is 'yesterday'")


def test_nothing_is_evaluated_but_the_weights(module: Module) -> None:
    """The base's layers are not fetched before somebody runs or exports the image."""
    module.call("assemble_image")

    assert module.asked.verbs() == ["download"]
    assert not [one for one in module.asked.recipes if one.name in {"publish", "export"}]


def test_compile_cache_is_checked_and_belongs_to_root(module: Module, cache: Path) -> None:
    """It is code; it lies between the weights and the runtime."""
    folder = module.bring("Directory", "compile cache", cache)
    made = module.given(compile_cache=folder).call_for("assemble_image")
    call = made.calls("withDirectory")[-2]

    assert call.args == {
        "path": "/opt/prewarm/compile-cache",
        "source": module.session.find(folder),
        "owner": "0:0",
    }
    assert module.asked.only("verify").mounts["/compile-cache"] == module.session.find(folder)
    assert "dev.prewarm.compile-cache.digest" in pairs(made, "withLabel")


@pytest.mark.parametrize("content", [b"{}", b"no JSON"])
def test_cache_that_lists_nothing_is_refused(module: Module, cache: Path, content: bytes) -> None:
    """Before anything of it lies in an image."""
    spoil(cache / "cache.json", content)
    module.given(compile_cache=module.bring("Directory", "spoilt cache", cache))

    assert "does not list the cache's files" in module.refused("assemble_image")


def test_lock_that_is_none_is_refused(module: Module, inputs: Inputs) -> None:
    """With the reason, before anything runs."""
    spoil(inputs.folder / "lock", b"{}")
    module.given(lock_file=module.bring("File", "no lock", inputs.folder / "lock"))

    message = module.refused("assemble_image")

    assert message.startswith("reading the lock: the lock must be an object")
    assert module.asked.ran == []
