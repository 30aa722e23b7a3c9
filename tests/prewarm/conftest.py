"""The module, loaded as Dagger's runtime loads it, and a session that it speaks to."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stages.model import COMMIT, NAME, TOKEN
from tests.stages.packaging import FILES, Inputs, sha256
from tests.support.hub import LoopbackHub
from tests.support.hub_repo import Repo

# Read by dagger-io when it is imported, so set before anything here imports it.
os.environ["DAGGER_MAIN_OBJECT"] = "Prewarm"
os.environ["DAGGER_MODULE"] = "prewarm"

from tests.prewarm import session as sessions
from tests.prewarm.calling import Module, connected
from tests.prewarm.session import Session


@pytest.fixture(scope="session")
def session() -> Iterator[Session]:
    """Run one session for all tests: the client keeps the address that it saw first."""
    with Session() as session:
        os.environ["DAGGER_SESSION_PORT"] = str(session.port)
        os.environ["DAGGER_SESSION_TOKEN"] = sessions.TOKEN
        with connected(session):
            yield session
        del os.environ["DAGGER_SESSION_PORT"], os.environ["DAGGER_SESSION_TOKEN"]


@pytest.fixture
def module(session: Session) -> Iterator[Module]:
    """Give the module, of which nothing has been asked; every query must fit the schema."""
    session.problems.clear()
    yield Module(session)
    assert session.problems == []


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """Write a small model, a lock of it, and a small runtime."""
    (tmp_path / "given").mkdir()
    return Inputs.write(tmp_path / "given")


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    """Serve the small model to who has the token."""
    repo = Repo.of(NAME, dict(FILES), commit=COMMIT)
    with LoopbackHub(repo, gated=True, token=TOKEN) as hub:
        yield hub


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Write a compile cache of one file."""
    folder = tmp_path / "compile-cache"
    folder.mkdir()
    (folder / "kernel").write_bytes(b"code")
    listed = [{"path": "kernel", "size": 4, "sha256": sha256(b"code")}]
    (folder / "cache.json").write_text(json.dumps({"files": listed}))
    return folder
