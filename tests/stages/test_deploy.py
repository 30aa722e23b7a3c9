"""A service's manifest is Google's Service, and its numbers follow from image and platform."""

import pytest

from runtime.settings import Settings
from stages.deploy import service
from stages.deploy.facts import DEFAULTS, Facts
from stages.deploy.service import GIB, Wish
from stages.errors import UsageError
from stages.reference import parse
from tests.stages.deploying import ACCOUNT, DIGEST, IMAGE, container
from tests.stages.model import NAME
from tests.support import discovery

FACTS = Facts(model="google/gemma-3-1b-it", weights=2 * 10**9, settings=DEFAULTS)


def with_settings(**values: int) -> Facts:
    """Give the facts of an image with other settings."""
    return Facts(model=FACTS.model, weights=FACTS.weights, settings={**DEFAULTS, **values})


@pytest.mark.parametrize(
    "wish",
    [
        Wish(),
        Wish(key_secret="key", settings={"MAX_MODEL_LEN": "4096"}, memory=32, least_instances=1),
        Wish(gpu="nvidia-rtx-pro-6000", service="mine", account=ACCOUNT),
    ],
    ids=["defaults", "everything", "other GPU"],
)
def test_manifest_is_googles_service(wish: Wish) -> None:
    """Every field of it is one of the Service in Google's own description of the API."""
    made = service.manifest(IMAGE, FACTS, wish)

    assert discovery.problems(made, api="run.v1", schema="Service") == []


def test_service_of_the_default_image() -> None:
    """By digest, on an L4, open when warm, private, and gone when nobody asks."""
    made = service.manifest(IMAGE, FACTS, Wish())

    spec = made["spec"]["template"]["spec"]
    annotations = made["spec"]["template"]["metadata"]["annotations"]
    assert made["metadata"] == {"name": "gemma-3-1b-it"}
    assert spec["containerConcurrency"] == 32
    assert spec["nodeSelector"] == {"run.googleapis.com/accelerator": "nvidia-l4"}
    assert container(made) == {
        "image": str(IMAGE),
        "ports": [{"name": "http1", "containerPort": 8000}],
        "resources": {"limits": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}},
        "startupProbe": {
            "tcpSocket": {"port": 8000},
            "periodSeconds": 2,
            "timeoutSeconds": 1,
            "failureThreshold": 900,
        },
    }
    assert annotations["run.googleapis.com/startup-cpu-boost"] == "true"
    assert annotations["run.googleapis.com/cpu-throttling"] == "false"
    assert annotations["autoscaling.knative.dev/minScale"] == "0"


@pytest.mark.parametrize("account", [None, ACCOUNT])
def test_it_runs_as_whom_it_is_told(account: str | None) -> None:
    """Unless told, the platform takes the project's default: the manifest says nothing."""
    made = service.manifest(IMAGE, FACTS, Wish(account=account))

    assert made["spec"]["template"]["spec"].get("serviceAccountName") == account


@pytest.mark.parametrize(
    ("host", "fetched"),
    [
        ("us-central1-docker.pkg.dev", True),
        ("gcr.io", True),
        ("eu.gcr.io", True),
        ("docker.io", True),
        ("ghcr.io", False),
        ("docker.pkg.dev.example", False),
    ],
)
def test_a_registry_that_the_platform_does_not_fetch_from_is_told(
    *, host: str, fetched: bool
) -> None:
    """A warning, since what the platform takes may grow; it names the way that there is."""
    told = service.warning(parse(f"{host}/acme/gemma@{DIGEST}"))

    assert (told is None) == fetched
    assert fetched or (host in str(told) and "remote repository" in str(told))


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({}, 1800),
        ({"START_TIMEOUT": 240}, 540),
        ({"START_TIMEOUT": 100, "PREWARM_TIMEOUT": 20}, 120),
        ({"START_TIMEOUT": 9000}, 1800),
    ],
)
def test_probe_waits_as_long_as_the_image(settings: dict[str, int], seconds: int) -> None:
    """Its own limits of start and warm-up, within what the platform gives a GPU."""
    found = with_settings(**settings)

    probe = container(service.manifest(IMAGE, found, Wish()))["startupProbe"]

    assert service.start_limit(found) == seconds
    assert probe["failureThreshold"] * probe["periodSeconds"] == seconds
    assert probe["timeoutSeconds"] < probe["periodSeconds"]


def test_port_is_the_images() -> None:
    """For traffic and probe; the platform sets PORT itself, so that it is not set again."""
    made = service.manifest(IMAGE, with_settings(PORT=9000), Wish(settings={"PORT": "9000"}))

    assert container(made)["ports"][0]["containerPort"] == 9000
    assert container(made)["startupProbe"]["tcpSocket"] == {"port": 9000}
    assert "env" not in container(made)


@pytest.mark.parametrize(
    ("weights", "memory", "limits"),
    [
        (None, None, ("4", "16Gi")),
        (2 * GIB, None, ("4", "16Gi")),
        (9 * GIB, None, ("8", "17Gi")),
        (2 * GIB, 32, ("8", "32Gi")),
    ],
)
def test_memory_follows_from_the_weights(
    weights: int | None, memory: int | None, limits: tuple[str, str]
) -> None:
    """Their size and 8 GiB, at least what the GPU comes with; more needs more processors."""
    found = Facts(model=NAME, weights=weights, settings=DEFAULTS)

    made = container(service.manifest(IMAGE, found, Wish(memory=memory)))

    assert (made["resources"]["limits"]["cpu"], made["resources"]["limits"]["memory"]) == limits


def test_key_comes_from_secret_manager() -> None:
    """By name; its value is in no manifest."""
    made = service.manifest(IMAGE, FACTS, Wish(key_secret="vllm-key", settings={"MAX_N": "4"}))

    assert container(made)["env"] == [
        {"name": "MAX_N", "value": "4"},
        {
            "name": "VLLM_API_KEY",
            "valueFrom": {"secretKeyRef": {"name": "vllm-key", "key": "latest"}},
        },
    ]


@pytest.mark.parametrize(
    ("found", "wish", "message"),
    [
        (with_settings(SHUTDOWN_TIMEOUT=10), Wish(), "SHUTDOWN_TIMEOUT is 10 seconds"),
        (with_settings(MAX_QUEUE=16), Wish(), "--concurrency is 32, expected 1 to 16"),
        (FACTS, Wish(concurrency=0), "--concurrency is 0"),
        (FACTS, Wish(memory=8), "memory is 8 GiB, a nvidia-l4 comes with 16 to 32"),
        (Facts(model=NAME, weights=40 * GIB, settings=DEFAULTS), Wish(), "memory is 48 GiB"),
        (FACTS, Wish(request_timeout=3601), "--request-timeout is 3601"),
        (FACTS, Wish(least_instances=2), "--min-instances 2 and --max-instances 1"),
        (FACTS, Wish(service="No_Name"), "'No_Name' is no service's name"),
    ],
)
def test_what_does_not_fit_is_refused(found: Facts, wish: Wish, message: str) -> None:
    """The message says what the platform or the image gives."""
    with pytest.raises(UsageError) as refused:
        service.manifest(IMAGE, found, wish)

    assert message in str(refused.value)


def test_defaults_are_the_runtimes() -> None:
    """What an image does not set is what its server takes."""
    own = Settings()

    assert {name: getattr(own, name.lower()) for name in DEFAULTS} == DEFAULTS
