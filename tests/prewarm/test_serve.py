"""serve and bake: the image itself, run by the engine."""

from pathlib import Path

from prewarm.given import CPU_BASE
from stages import lockfile
from tests.prewarm.calling import Module
from tests.prewarm.recipe import Recipe
from tests.prewarm.session import Failed
from tests.support.server import ROOT


def variables(made: Recipe) -> dict[str, str]:
    """Give the container's variables."""
    return {call.args["name"]: call.args["value"] for call in made.calls("withEnvVariable")}


def test_server_is_the_images_entrypoint(module: Module) -> None:
    """Its own entrypoint and health check, on vLLM's CPU build."""
    service = module.call_for("serve")

    assert service.name == "asService"
    assert service.args == {"useEntrypoint": True}
    assert service.calls("from")[0].args == {"address": CPU_BASE}
    assert service.calls("withDockerHealthcheck")
    assert not service.calls("experimentalWithAllGPUs")


def test_a_cpu_compiles_nothing_unless_told_to(module: Module) -> None:
    """There it takes a compiler and minutes; on a GPU the image's own level stays."""
    level = "VLLM_TORCH_COMPILE_LEVEL"

    assert variables(module.call_for("serve"))[level] == "0"
    assert variables(module.call_for("serve", settings=[f"{level}=2"]))[level] == "2"
    assert level not in variables(module.call_for("serve", gpu=True))


def test_gpu_is_used_when_asked_for(module: Module) -> None:
    """Then the image stands on its own base."""
    service = module.call_for("serve", gpu=True)
    base = lockfile.read(ROOT / "model.lock.json").base

    assert service.calls("from")[0].args == {"address": f"{base.image}@{base.digest}"}
    assert service.calls("experimentalWithAllGPUs")


def test_settings_go_over_the_images(module: Module) -> None:
    """As NAME=VALUE; the key is a secret."""
    key = module.bring("Secret", "env://KEY", "canary")
    settings = ["MAX_MODEL_LEN=2048", "PREWARM_LENGTHS=128,256"]
    service = module.call_for("serve", settings=settings, api_key=key)

    assert variables(service)["MAX_MODEL_LEN"] == "2048"
    assert variables(service)["PREWARM_LENGTHS"] == "128,256"
    (secret,) = service.calls("withSecretVariable")
    assert secret.args == {"name": "VLLM_API_KEY", "secret": module.session.find(key)}


def test_setting_without_a_value_is_refused(module: Module) -> None:
    """With what was given, before anything is fetched."""
    message = module.refused("serve", settings=["MAX_MODEL_LEN"])

    assert message == "--settings: 'MAX_MODEL_LEN' is not NAME=VALUE"
    assert module.asked.ran == []


def test_bake_runs_the_image_on_the_gpu(module: Module, cache: Path) -> None:
    """Each time, without a cache of an earlier bake, as the image's own user."""
    module.given(compile_cache=module.bring("Directory", "cache", cache))
    folder = module.call_for("bake")
    (one,) = [one for one in module.asked.ran if one.args[:4] == ["python3", "-P", "-m", "runtime"]]

    assert one.args[4:] == ["bake", "--out", folder.args["path"]]
    assert folder.calls("withExec")[-1] == one.recipe
    assert one.user == "2000:0"
    assert one.recipe.calls("experimentalWithAllGPUs")
    assert "PREWARM_RUN" in one.env
    assert "/opt/prewarm/compile-cache" not in one.mounts


def test_engine_without_gpu_is_told(module: Module) -> None:
    """In the engine's words, with what was being done."""
    module.asked.outcome = lambda one: (
        Failed(code=1, stderr="no device") if "bake" in one.args else None
    )

    message = module.refused("bake")

    assert message == "baking the compile cache: the program ended with exit code 1: no device"
