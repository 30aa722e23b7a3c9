"""lock and scan: the smaller functions."""

from stages.lock import DEFAULT_BASE
from tests.prewarm.calling import Module
from tests.prewarm.session import Failed
from tests.stages.packaging import Inputs
from tests.support.server import ROOT


def test_lock_asks_hub_and_registry_each_time(module: Module) -> None:
    """A branch moves; what the present lock knows of layers is kept."""
    made = module.call_for("lock")
    found = module.asked.only("lock")

    wanted = ["google/gemma-3-1b-it", "--revision", "main", "--base", DEFAULT_BASE]
    assert found.words[1:] == [*wanted, "--out", "/out/model.lock.json"]
    assert found.mounts["/out/model.lock.json"].given == ROOT / "model.lock.json"
    assert made.args == {"path": "/out/model.lock.json"}
    assert "PREWARM_RUN" in found.env


def test_lock_takes_the_digests_from_weights(module: Module, inputs: Inputs) -> None:
    """Only who has the bytes can know them."""
    weights = module.bring("Directory", "weights", inputs.folder / "weights")
    module.call("lock", model="acme/tiny-it", revision="v1", weights=weights)
    found = module.asked.only("lock")

    assert found.words[1:4] == ["acme/tiny-it", "--revision", "v1"]
    assert found.args[-2:] == ["--weights", "/weights"]
    assert found.mounts["/weights"] == module.session.find(weights)


def test_a_private_base_can_be_locked(module: Module) -> None:
    """With the base's own login."""
    secret = module.bring("Secret", "env://BASE", "canary")
    module.given(base_username="reader", base_password=secret)
    module.call("lock")
    found = module.asked.only("lock")

    assert found.env["BASE_REGISTRY_USERNAME"] == "reader"
    assert found.secrets["BASE_REGISTRY_PASSWORD"] == module.session.find(secret)


def test_lock_shows_the_token_to_the_program_alone(module: Module) -> None:
    """As a secret."""
    secret = module.bring("Secret", "env://HF_TOKEN", "canary")
    module.call("lock", hf_token=secret)

    assert module.asked.only("lock").secrets == {"HF_TOKEN": module.session.find(secret)}


def test_scan_looks_for_the_token_itself(module: Module) -> None:
    """Besides what it always looks for, in all that would be pushed."""
    secret = module.bring("Secret", "env://HF_TOKEN", "canary")
    report = module.call_for("scan", hf_token=secret)
    found = module.asked.only("scan")

    assert found.args[-2:] == ["--secret-env", "HF_TOKEN"]
    assert found.mounts["/layout"].calls("withExec")[-1] == module.asked.only("image").recipe
    assert report.args == {"path": "/scan.json"}


def test_finding_is_told(module: Module) -> None:
    """By the program's last line, which shows no secret."""
    module.asked.outcome = lambda one: (
        Failed(code=2, stdout="a finding\n", stderr="stages: 1 findings in sha256:a\n")
        if one.verb == "scan"
        else None
    )

    assert module.refused("scan") == "scanning the image: 1 findings in sha256:a"
