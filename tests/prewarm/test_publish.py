"""publish: what must pass first, what travels, and who knows which password."""

import pytest

from prewarm import download
from prewarm.given import CPU_BASE, TOOL_IMAGE
from stages import lockfile
from tests.prewarm.calling import Module
from tests.prewarm.execution import Execution
from tests.prewarm.session import Failed
from tests.stages.packaging import Inputs
from tests.support.server import ROOT

ADDRESS = "europe-docker.pkg.dev/acme/images/vllm:latest"
REFERENCE = f"{ADDRESS}@sha256:{'a' * 64}"
LOCK = lockfile.read(ROOT / "model.lock.json")
BASE, COMMIT = LOCK.base.image, LOCK.model.commit


def published(module: Module, **arguments: object) -> Execution:
    """Call publish, which must succeed, and give the program that pushed."""
    module.asked.printed = lambda _: f"{REFERENCE}\n"
    assert module.call("publish", address=ADDRESS, **arguments) == REFERENCE
    return module.asked.ran[-1]


def test_static_is_one_program(module: Module) -> None:
    """It asks the registry before the Hub: what Dagger mounts would be fetched in any case."""
    found = published(module)

    assert module.asked.verbs() == ["build"]
    assert found.image == TOOL_IMAGE
    assert found.words[1] == ADDRESS
    assert found.caches["/cache"].args["cache"].args["key"] == download.VOLUME
    assert found.caches["/cache"].args["sharing"] == "LOCKED"
    assert found.caches["/work"].args["cache"].args["key"] == f"prewarm-work-{COMMIT}"
    assert "/weights" not in found.mounts
    assert found.mounts["/runtime"].given == ROOT / "runtime"


def test_static_takes_weights_and_cache_at_hand(module: Module, inputs: Inputs) -> None:
    """Then the program has no reason to ask the Hub."""
    weights = module.bring("Directory", "weights", inputs.folder / "weights")
    module.given(compile_cache=module.bring("Directory", "cache", inputs.folder))
    found = published(module, weights=weights)

    assert found.mounts["/weights"] == module.session.find(weights)
    assert found.args[-4:] == ["--weights", "/weights", "--compile-cache", "/compile-cache"]


def test_cpu_tests_and_scans_before_it_pushes(module: Module) -> None:
    """Each in its own container, the reports of both handed on."""
    found = published(module, level="CPU")

    assert module.asked.verbs() == ["download", "image", "smoke", "scan", "push"]
    assert found.verb == "push"
    assert found.image == TOOL_IMAGE
    for path, verb in (("/report.json", "smoke"), ("/scan.json", "scan"), ("/layout", "image")):
        assert Execution(found.mounts[path].calls("withExec")[-1]).verb == verb
    assert module.asked.only("smoke").image == CPU_BASE
    assert "--known" not in module.asked.only("image").args


def test_more_names_are_given_together(module: Module) -> None:
    """One push, several tags."""
    other = ADDRESS.replace("latest", "v1")
    found = published(module, also=[other], level="CPU")

    assert found.words[:4] == ["push", "/layout", ADDRESS, other]


@pytest.mark.parametrize("failing", ["download", "image", "smoke", "scan"])
def test_nothing_is_pushed_after_a_failure(module: Module, failing: str) -> None:
    """The program that knows the registry's password is not even started."""
    module.asked.outcome = lambda one: (
        Failed(code=2, stderr="stages: refused\n") if one.verb == failing else None
    )
    secret = module.bring("Secret", "env://PASSWORD", "canary")

    message = module.refused("publish", address=ADDRESS, level="CPU", password=secret)

    assert message.endswith(": refused")
    assert module.asked.verbs()[-1] == failing
    assert not [one for one in module.asked.ran if secret in _secrets(one)]


@pytest.mark.parametrize("level", ["STATIC", "CPU"])
def test_gpu_base_is_never_pulled(module: Module, level: str) -> None:
    """Not even lazily: nothing in the whole call stands on it."""
    published(module, level=level)

    images = {one.args["address"] for one in module.asked.recipes if one.name == "from"}
    assert not [image for image in images if image.startswith(BASE.partition(":")[0] + ":")]
    assert images <= {TOOL_IMAGE, CPU_BASE}


@pytest.mark.parametrize("level", ["STATIC", "CPU"])
def test_nothing_is_compressed_or_pushed_by_the_engine(module: Module, level: str) -> None:
    """The engine's own publish would compress the base's 10 GB again."""
    published(module, level=level)

    asked = {one.name for one in module.asked.recipes}
    assert asked.isdisjoint({"publish", "export", "asTarball", "exportImage"})
    given = {name for one in module.asked.recipes for name in one.args}
    assert "forcedCompression" not in given


@pytest.mark.parametrize("level", ["STATIC", "CPU"])
def test_two_publishes_are_two_recipes(module: Module, level: str) -> None:
    """The second one really asks the registry, though nothing has changed here."""
    first = published(module, level=level)
    second = published(Module(module.session), level=level)

    assert first.recipe != second.recipe
    assert first.args == second.args


def test_passwords_are_known_to_the_push_alone(module: Module) -> None:
    """And only as secrets; the Hub's token only to download and scan, which looks for it."""
    token = module.bring("Secret", "env://HF_TOKEN", "canary-1")
    password = module.bring("Secret", "cmd://gcloud auth print-access-token", "canary-2")
    found = published(
        module, level="CPU", hf_token=token, username="oauth2accesstoken", password=password
    )

    known = {one.verb: _secrets(one) for one in module.asked.ran if one.secrets}
    assert known == {"download": {token}, "scan": {token}, "push": {password}}
    assert found.env["REGISTRY_USERNAME"] == "oauth2accesstoken"
    assert set(found.secrets) == {"REGISTRY_PASSWORD"}
    assert not [text for text in module.asked.texts() if "canary" in text]


def test_base_has_a_login_of_its_own(module: Module) -> None:
    """For the programs that read the base: its manifest, and its blobs on their way."""
    secret = module.bring("Secret", "env://BASE", "canary")
    module.given(base="mirror.example/vllm", base_username="reader", base_password=secret)
    found = published(module, level="CPU")

    assert found.args[-2:] == ["--base", "mirror.example/vllm"]
    for one in (found, module.asked.only("image")):
        assert one.env["BASE_REGISTRY_USERNAME"] == "reader"
        assert _secrets(one) == {secret}


def test_report_made_elsewhere_is_taken(module: Module) -> None:
    """A GPU engine has tested this very image; no smoke test runs here."""
    report = module.bring("File", "report.json", ROOT / "model.lock.json")
    found = published(module, report=report)

    assert module.asked.verbs() == ["download", "image", "scan", "push"]
    assert found.mounts["/report.json"] == module.session.find(report)


def test_level_gpu_is_refused(module: Module) -> None:
    """It would fetch and run the base; the message says what to do instead."""
    message = module.refused("publish", address=ADDRESS, level="GPU")

    assert "smoke-test --level gpu" in message
    assert "--report" in message
    assert module.asked.ran == []


# Addresses that cannot be pushed to -> what is said of them.
ADDRESSES = {
    "no tag": (["host.example/vllm"], "needs a tag"),
    "a digest": ([REFERENCE], "needs a tag, and no digest"),
    "no name": (["HOST/UPPER:x"], "is not an image's name"),
    "two repositories": (["a.example/b:c", "a.example/d:e"], "must be tags of one repository"),
}


@pytest.mark.parametrize("case", ADDRESSES)
def test_address_is_judged_first(module: Module, case: str) -> None:
    """By the parser of the program that pushes, before anything is fetched."""
    (address, *also), told = ADDRESSES[case]

    message = module.refused("publish", address=address, also=also, level="CPU")

    assert message.startswith("publishing: ")
    assert told in message
    assert module.asked.ran == []


def test_registry_on_this_machine_is_reached_by_name(module: Module) -> None:
    """A plain-HTTP registry is a service, which the programs that ask it know as loopback."""
    service = module.bring("Service", "tcp://127.0.0.1:5000")
    module.given(registry_service=service)
    published(module, level="CPU")

    reached = {one.verb for one in module.asked.ran if "registry.localhost" in one.services}
    assert reached == {"image", "push"}


def _secrets(one: Execution) -> set[str]:
    return {secret.id for secret in one.secrets.values()}
