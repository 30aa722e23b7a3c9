"""A small model behind a loopback Hub, and the command line run in this process."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from stages.__main__ import main
from stages.hub import open_client
from tests.stages.fetching import Fetch
from tests.stages.model import COMMIT, NAME, Ended, model_files
from tests.stages.pushing import Ready
from tests.support.hub import LoopbackHub
from tests.support.hub_repo import Repo
from tests.support.registry import Registry, registry
from tests.support.registry_faults import Proxy, proxy


@pytest.fixture
def files() -> dict[str, bytes | Path]:
    """Give a test its own copy of the small model's files."""
    return model_files()


@pytest.fixture
def start() -> Iterator[Callable[..., LoopbackHub]]:
    """Start Hubs that stop with the test."""
    with ExitStack() as running:

        def begin(files: dict[str, bytes | Path], **options: object) -> LoopbackHub:
            repo = Repo.of(NAME, files, commit=COMMIT)
            return running.enter_context(LoopbackHub(repo, **options))  # type: ignore[arg-type]

        yield begin


@pytest.fixture
def hub(start: Callable[..., LoopbackHub], files: dict[str, bytes | Path]) -> LoopbackHub:
    """Serve the small model, open to anybody."""
    return start(files)


@pytest.fixture
def stages(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run `python -m stages ...` in this process."""

    def run(*argv: object, environ: Mapping[str, str] | None = None) -> Ended:
        code = main([str(one) for one in argv], environ or {})
        captured = capfd.readouterr()
        return Ended(code, captured.out, captured.err)

    return run


@pytest.fixture(autouse=True)
def no_token_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no token or proxy of this machine into a test."""
    for name in list(os.environ):
        if name.startswith("HF_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """Give the program's client, with less time to wait."""
    with open_client() as client:
        client.timeout = httpx.Timeout(1.0)
        yield client


@pytest.fixture
def fetch(hub: LoopbackHub, client: httpx.Client, tmp_path: Path) -> Fetch:
    """Lock the small model and get ready to download it."""
    return Fetch(hub, client, tmp_path)


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a folder that the image's user can enter, as no folder of pytest's lets it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Registry]:
    """Run a registry."""
    with registry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def front(shelf: Registry) -> Iterator[Proxy]:
    """Run a proxy before the registry, which does as it is told and counts what it is sent."""
    with proxy(shelf.host) as running:
        yield running


@pytest.fixture
def ready(stages: Callable[..., Ended], tmp_path: Path) -> Ready:
    """Make an image with the reports that `push` demands."""
    return Ready.make(stages, tmp_path / "made")
