"""What Dagger reads before it runs anything of the module: names, versions, locks."""

import json
import re
import tomllib
from importlib.metadata import requires, version
from typing import Any

import pytest

from prewarm.given import TOOL_IMAGE
from stages.reference import parse
from tests.support.server import ROOT

LOCKS = {
    "ci/requirements.lock": "what the module is loaded with",
    "requirements/tool.lock": "what the stages run with",
}


def project() -> dict[str, Any]:
    """Read the package's own description."""
    return tomllib.loads((ROOT / "ci" / "pyproject.toml").read_text())


def name_of(requirement: str) -> str:
    """Give the distribution that a requirement names."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def locked(path: str) -> dict[str, str]:
    """Read a lock: distribution -> version."""
    text = (ROOT / path).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", text, re.MULTILINE))


def test_module_is_found() -> None:
    """By the name that the main object and the package have too."""
    found = json.loads((ROOT / "dagger.json").read_text())

    assert (found["name"], found["source"]) == ("prewarm", "ci")
    assert found["sdk"] == {"source": "python"}
    assert project()["project"]["name"] == found["name"]


def test_engine_is_the_release_that_is_tested() -> None:
    """The client in the tests and the engine that is asked for are of one release."""
    found = json.loads((ROOT / "dagger.json").read_text())

    assert found["engineVersion"] == f"v{version('dagger-io')}"
    assert f"dagger-io=={version('dagger-io')}" in project()["dependency-groups"]["dagger"]


def test_image_of_the_module_is_pinned() -> None:
    """By digest; a version in a file of its own would make it a tag."""
    image = project()["tool"]["dagger"]["base-image"]

    assert parse(image).digest
    assert image == TOOL_IMAGE
    assert not (ROOT / "ci" / ".python-version").exists()
    assert not (ROOT / "ci" / "uv.lock").exists()


@pytest.mark.parametrize("path", [*LOCKS, "requirements/smoke.lock"])
def test_lock_holds_hashes_and_no_address(path: str) -> None:
    """So a package is the same from every index."""
    text = (ROOT / path).read_text()
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]

    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert "index" not in text


@pytest.mark.parametrize("path", LOCKS)
def test_lock_holds_what_the_stages_need(path: str) -> None:
    """Every dependency of the package, and of these."""
    wanted = {name_of(one) for one in project()["project"]["dependencies"]}

    assert wanted <= set(locked(path))


def test_lock_of_the_smoke_test_is_its_list_alone() -> None:
    """What these would bring along is not needed to read a file."""
    wanted = {name_of(one) for one in project()["dependency-groups"]["smoke"]}

    assert set(locked("requirements/smoke.lock")) == wanted


def test_lock_of_the_module_holds_what_the_client_needs() -> None:
    """Dagger installs its own copy of the client, and for the rest asks the lock alone."""
    needs = {name_of(one) for one in requires("dagger-io") or () if "extra ==" not in one}

    found = locked("ci/requirements.lock")
    assert needs <= set(found)
    assert "dagger-io" not in found


def test_tests_run_on_what_the_module_is_loaded_with() -> None:
    """The client and its GraphQL libraries, version for version."""
    module, check = locked("ci/requirements.lock"), locked("requirements/check.lock")

    for name in ("gql", "graphql-core", "cattrs", "beartype", "httpx", "anyio"):
        assert check[name] == module[name], name
