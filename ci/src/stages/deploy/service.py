"""A Cloud Run service: its numbers follow from the image's settings and the platform's limits.

See https://docs.cloud.google.com/run/docs/reference/yaml/v1
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stages.deploy.facts import Facts
from stages.errors import UsageError
from stages.reference import Reference

GIB = 2**30
PERIOD = 2  # seconds between two looks at the port; on average half of it is added to a start
TIMEOUT = 1  # seconds; the platform wants it below the period
MOST_START = 1800  # seconds that the platform gives a start with a GPU, at most
TERMINATION = 10  # seconds from SIGTERM to SIGKILL
MOST_REQUEST = 3600  # seconds of one request, at most
MOST_CONCURRENCY = 1000  # requests of one instance, at most
BESIDE_WEIGHTS = 8 * GIB  # bytes for Python, torch and what a start needs beside the weights' size
PREFIX = "run.googleapis.com"
_TAKEN_FROM = re.compile(r"docker\.io|([a-z0-9-]+-)?docker\.pkg\.dev|([a-z0-9-]+\.)?gcr\.io")
_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,47}[a-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU with the least of processors and memory (GiB) that it comes with, and the most."""

    cpu: int
    memory: int
    most: int


GPUS = {
    "nvidia-l4": Gpu(cpu=4, memory=16, most=32),
    "nvidia-rtx-pro-6000": Gpu(cpu=20, memory=80, most=176),
}


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the image does not say.

    Attributes:
        service: The service's name; None makes it of the model's.
        concurrency: Requests that one instance is sent at a time.
        memory: GiB; None makes it of the weights' size.
        request_timeout: Seconds for one request.
        key_secret: The Secret Manager's secret that holds VLLM_API_KEY; None sets no key.
        account: The service account it runs as; None leaves the project's default, which may do
            more than a server of models needs.
        settings: The image's settings to change, by name.
    """

    service: str | None = None
    region: str = "us-central1"
    concurrency: int = 32
    gpu: str = "nvidia-l4"
    memory: int | None = None
    least_instances: int = 0
    most_instances: int = 1
    request_timeout: int = 300
    key_secret: str | None = None
    account: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


def manifest(image: Reference, facts: Facts, wish: Wish) -> dict[str, Any]:
    """Write the service.

    Raises:
        UsageError: Wish, image and platform do not fit together; lists every problem.
    """
    name = wish.service or _name(facts.model)
    if problems := [*_problems(name, facts, wish)]:
        raise UsageError("; ".join(problems))
    cpu, memory = _size(facts, wish)
    port = facts.settings["PORT"]
    container = {
        "image": str(image),
        "ports": [{"name": "http1", "containerPort": port}],
        "resources": {"limits": {"cpu": str(cpu), "memory": f"{memory}Gi", "nvidia.com/gpu": "1"}},
        "startupProbe": {
            "tcpSocket": {"port": port},
            "periodSeconds": PERIOD,
            "timeoutSeconds": TIMEOUT,
            "failureThreshold": start_limit(facts) // PERIOD,
        },
    }
    if env := [*_env(wish)]:
        container["env"] = env
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {
            "template": {
                "metadata": {"annotations": _annotations(wish)},
                "spec": {
                    "containerConcurrency": wish.concurrency,
                    "timeoutSeconds": wish.request_timeout,
                    "nodeSelector": {f"{PREFIX}/accelerator": wish.gpu},
                    "containers": [container],
                    **({"serviceAccountName": wish.account} if wish.account else {}),
                },
            }
        },
    }


def warning(image: Reference) -> str | None:
    """Say that the platform does not fetch from the image's registry; None where it does.

    See https://docs.cloud.google.com/run/docs/deploying#images
    """
    if _TAKEN_FROM.fullmatch(image.host):
        return None
    return (
        f"Cloud Run fetches from Artifact Registry, gcr.io and Docker Hub, not from {image.host}: "
        "name the image in a remote repository of Artifact Registry, or push it there"
    )


def start_limit(facts: Facts) -> int:
    """Give the seconds until the port must be open: the image's own, or all the platform gives."""
    own = facts.settings["START_TIMEOUT"]
    if not own:
        return MOST_START
    return min(MOST_START, own + facts.settings["PREWARM_TIMEOUT"])


def _problems(name: str, facts: Facts, wish: Wish) -> Iterator[str]:
    gpu, shutdown = GPUS[wish.gpu], facts.settings["SHUTDOWN_TIMEOUT"]
    most = min(facts.settings["MAX_QUEUE"], MOST_CONCURRENCY)
    _, memory = _size(facts, wish)
    if not _NAME.fullmatch(name):
        yield f"--service: {name!a} is no service's name; expected up to 49 of a-z, 0-9 and -"
    if shutdown >= TERMINATION:
        yield (
            f"SHUTDOWN_TIMEOUT is {shutdown} seconds, Cloud Run gives {TERMINATION}: the last "
            "answers would be cut. Set it below"
        )
    if not 1 <= wish.concurrency <= most:
        yield (
            f"--concurrency is {wish.concurrency}, expected 1 to {most}: what is above the "
            "image's MAX_QUEUE would be answered with 503"
        )
    if not gpu.memory <= memory <= gpu.most:
        yield (
            f"memory is {memory} GiB, a {wish.gpu} comes with {gpu.memory} to {gpu.most}. Above, "
            "load the model from storage, or choose another --gpu"
        )
    if not 1 <= wish.request_timeout <= MOST_REQUEST:
        yield f"--request-timeout is {wish.request_timeout} seconds, expected 1 to {MOST_REQUEST}"
    if not 0 <= wish.least_instances <= wish.most_instances or wish.most_instances < 1:
        yield (
            f"--min-instances {wish.least_instances} and --max-instances {wish.most_instances} do "
            "not go together"
        )


def _size(facts: Facts, wish: Wish) -> tuple[int, int]:
    """Give processors and memory in GiB; above its least memory an L4 comes with 8 processors."""
    gpu = GPUS[wish.gpu]
    needed = math.ceil(((facts.weights or 0) + BESIDE_WEIGHTS) / GIB)
    memory = wish.memory if wish.memory is not None else max(gpu.memory, needed)
    return (gpu.cpu if memory <= gpu.memory else max(gpu.cpu, 8)), memory


def _annotations(wish: Wish) -> dict[str, str]:
    return {
        "autoscaling.knative.dev/minScale": str(wish.least_instances),
        "autoscaling.knative.dev/maxScale": str(wish.most_instances),
        f"{PREFIX}/cpu-throttling": "false",  # a GPU's instance has its processors all the time
        f"{PREFIX}/startup-cpu-boost": "true",  # imports are the largest part of a warm start
        f"{PREFIX}/gpu-zonal-redundancy-disabled": "true",  # the other kind has a quota of its own
    }


def _env(wish: Wish) -> list[dict[str, Any]]:
    """List what is set over the image; the platform itself sets PORT."""
    found: list[dict[str, Any]] = [
        {"name": name, "value": value} for name, value in wish.settings.items() if name != "PORT"
    ]
    if wish.key_secret:
        secret = {"name": wish.key_secret, "key": "latest"}
        found.append({"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": secret}})
    return found


def _name(model: str | None) -> str:
    """Make a service's name of a model's."""
    last = (model or "vllm").rpartition("/")[2].lower()
    return re.sub(r"[^a-z0-9]+", "-", last).strip("-")[:49].strip("-")
