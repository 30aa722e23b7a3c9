"""The module, loaded as Dagger's runtime loads it, and a session that it speaks to."""

import os
from collections.abc import Iterator

import pytest

# Read by dagger-io when it is imported, so set before anything here imports it.
os.environ["DAGGER_MAIN_OBJECT"] = "Prewarm"
os.environ["DAGGER_MODULE"] = "prewarm"

from tests.prewarm.calling import Module
from tests.prewarm.session import TOKEN, Session


@pytest.fixture(scope="session")
def session() -> Iterator[Session]:
    """Run one session for all tests: the client keeps the address that it saw first."""
    with Session() as session:
        os.environ["DAGGER_SESSION_PORT"] = str(session.port)
        os.environ["DAGGER_SESSION_TOKEN"] = TOKEN
        yield session
        del os.environ["DAGGER_SESSION_PORT"], os.environ["DAGGER_SESSION_TOKEN"]


@pytest.fixture
def module(session: Session) -> Iterator[Module]:
    """Give the module, of which nothing has been asked; every query must fit the schema."""
    module = Module(session)
    yield module
    assert module.asked.problems == []
