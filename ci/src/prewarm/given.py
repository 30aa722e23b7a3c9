"""What every function stands on: the constructor's arguments, and the paths they lie at."""

from dataclasses import dataclass

import dagger

TOOL_IMAGE = (
    "docker.io/library/python:3.14-slim"
    "@sha256:486b8092bfb12997e10d4920897213a06563449c951c5506c2a2cfaf591c599f"
)
CPU_BASE = "docker.io/vllm/vllm-openai-cpu:v0.28.0-x86_64"
HUB = "https://huggingface.co"
PLATFORM = dagger.Platform("linux/amd64")  # of the image, whatever the engine runs on

# What services are called in the containers. Under `localhost`, plain HTTP is allowed to them.
HUB_HOST = "hub.localhost"
INDEX = "index.localhost"
REGISTRY = "registry.localhost"

# Where things lie in the containers that the stages run in.
LOCK = "/model.lock.json"
RUNTIME = "/runtime"
COMPILE_CACHE = "/compile-cache"
WEIGHTS = "/weights"
TREE = "/tree"
LAYOUT = "/layout"
SMOKE = "/report.json"
SCAN = "/scan.json"


@dataclass(frozen=True, kw_only=True)
class Given:
    """The constructor's arguments; an empty text stands for what was left out.

    Attributes:
        stages: The package of that name, whose programs do the work.
        tool_lock: What the stages need, with hashes.
        smoke_lock: What a smoke test without vLLM needs besides.
        base: Where the lock's base is read; empty where the lock says.
        created: When the image says that it was made, as the `image` stage reads it.
        source_url: What the image says of its sources' address; and so on.
        compile_cache: What `bake` kept; None without one.
        hub_service: A Hub that containers reach as `hub.localhost`, and so on; None without one.
    """

    lock_file: dagger.File
    runtime: dagger.Directory
    stages: dagger.Directory
    tool_lock: dagger.File
    smoke_lock: dagger.File
    tool_image: str
    index: str
    hub: str
    base: str
    base_username: str
    base_password: dagger.Secret | None
    cpu_base: str
    created: str
    source_url: str
    source_revision: str
    image_version: str
    compile_cache: dagger.Directory | None
    hub_service: dagger.Service | None
    index_service: dagger.Service | None
    registry_service: dagger.Service | None
