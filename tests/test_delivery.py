"""What Cloud Build and GitHub run: valid, pinned, one call of the module with no secret in it."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stages.model import TOKEN
from tests.support import discovery
from tests.support.publishing import GCLOUD, PUSHED, Workspace, program
from tests.support.server import ROOT

PROJECT = "acme-project"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Lay out scripts and stand-ins."""
    return Workspace.make(tmp_path)


def cloudbuild() -> dict[str, Any]:
    """Read cloudbuild.yaml."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())
    return found


def substituted(text: str, **values: str) -> str:
    """Put substitutions in, as Cloud Build does: ${NAME}, and $$ for a dollar of the shell's."""
    known = {"PROJECT_ID": PROJECT, **cloudbuild()["substitutions"], **values}
    for _ in range(2):  # _IMAGE itself names the project
        text = re.sub(r"\$\{(_?[A-Z_]+)\}", lambda found: known[found[1]], text)
    return text.replace("$$", "$")


def publish_step(**values: str) -> tuple[list[str], dict[str, str]]:
    """Give the last step's command and environment."""
    step = cloudbuild()["steps"][-1]
    command = [step["entrypoint"], *(substituted(one, **values) for one in step["args"])]
    pairs = [substituted(one, **values).split("=", 1) for one in step["env"]]
    return command, dict(pairs)


def test_linters_find_nothing() -> None:
    """Shell, Dockerfile, Cloud Build's and GitHub's schemas, workflows' holes, YAML."""
    done = subprocess.run(
        [ROOT / "scripts/lint-delivery"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_cloud_build_is_googles() -> None:
    """Every field of it is one of the Build in Google's own description of the API."""
    assert discovery.problems(cloudbuild(), api="cloudbuild.v1", schema="Build") == []


def test_a_wrong_build_is_found() -> None:
    """The description refuses what it should."""
    wrong = {"steps": [{"name": 1, "entrypont": "sh"}], "options": {"machineType": "E2_TINY"}}

    found = discovery.problems(wrong, api="cloudbuild.v1", schema="Build")

    assert found[:2] == [
        "Build.steps[0].name is 1, expected string",
        "Build.steps[0] has no entrypont",
    ]
    assert found[2].startswith("Build.options.machineType is 'E2_TINY', expected one of")


def test_cloud_build_publishes(workspace: Workspace) -> None:
    """One call: the place that was asked for, level static, the registry's token by gcloud."""
    command, environ = publish_step()

    ran = workspace.run(command, environ | {"HF_TOKEN": TOKEN})

    assert ran.code == 0, ran.err
    assert ran.out == f"{PUSHED}\n"
    assert ran.call["words"][:4] == ["--progress", "plain", "call", "publish"]
    assert ran.flags == {
        "--address": f"us-central1-docker.pkg.dev/{PROJECT}/vllm-gemma-3-1b-it-repo/"
        "vllm-gemma-3-1b-it:latest",
        "--level": "static",
        "--hf-token": "env://HF_TOKEN?cacheKey=hf-token",
        "--username": "oauth2accesstoken",
        "--password": "cmd://gcloud auth print-access-token",
    }
    assert "gcloud auth print-access-token" in ran.record
    assert "installer DAGGER_VERSION=1.2.3" in ran.record


def test_no_secret_on_a_command_line(workspace: Workspace) -> None:
    """Programs get tokens by their environment alone; none is written anywhere."""
    command, environ = publish_step()

    ran = workspace.run(command, environ | {"HF_TOKEN": TOKEN})

    assert ran.call["token"] == TOKEN
    assert GCLOUD in ran.call["secret"]
    shown = ran.out + ran.err + " ".join(ran.call["words"]) + " ".join(command)
    assert TOKEN not in shown
    assert GCLOUD not in shown


def test_cloud_build_settings_are_used(workspace: Workspace) -> None:
    """Another tag and level by --substitutions."""
    (workspace.folder / "meminfo").write_text("MemTotal:       32000000 kB\n")
    command, environ = publish_step(_TAG="v2", _SMOKE="cpu")

    ran = workspace.run(command, environ | {"MEMINFO": str(workspace.folder / "meminfo")})

    assert ran.code == 0, ran.err
    assert (ran.flags["--address"].rpartition(":")[2], ran.flags["--level"]) == ("v2", "cpu")


def test_cloud_build_has_room_and_time() -> None:
    """The machine that is asked for, and limits of its own."""
    build = cloudbuild()

    assert build["options"]["machineType"] == "E2_HIGHCPU_8"
    assert build["options"]["diskSizeGb"] >= 50
    assert int(build["steps"][-1]["timeout"][:-1]) < int(build["timeout"][:-1]) == 7200
    (secret,) = build["availableSecrets"]["secretManager"]
    assert secret["env"] == "HF_TOKEN"


def test_docker_client_is_on_the_path() -> None:
    """It is copied out of Docker's own image to the folder that the next step looks in first."""
    client, publish = cloudbuild()["steps"]

    assert re.search(r"@sha256:[0-9a-f]{64}$", client["name"])
    assert client["args"][-1] == "/tools/docker"
    assert client["volumes"] == publish["volumes"] == [{"name": "tools", "path": "/tools"}]
    assert publish_step()[0][-1].startswith("PATH=/tools:$PATH ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"ADDRESS": ""}, "publish: ADDRESS is not set", id="no address"),
        pytest.param({"LEVEL": "gpu"}, "LEVEL is 'gpu', expected static or cpu", id="level"),
        pytest.param({"LEVEL": "cpu"}, "--machine-type=e2-highcpu-32", id="too little memory"),
    ],
)
def test_publish_refuses_before_it_fetches(
    changes: dict[str, str], message: str, workspace: Workspace
) -> None:
    """One message, exit code 2, and no program was run."""
    (workspace.folder / "meminfo").write_text("MemTotal:       8150000 kB\n")
    _, environ = publish_step()
    small = {"MEMINFO": str(workspace.folder / "meminfo")}

    ran = workspace.run(["scripts/publish"], environ | small | changes)

    assert (ran.code, ran.record) == (2, [])
    assert message in ran.err


def test_failed_publish_is_a_failed_step(workspace: Workspace) -> None:
    """The build fails with it, and nothing is printed that looks like a reference."""
    program(workspace.folder / "standin-dagger", "#!/bin/sh\necho refused >&2\nexit 3\n")
    command, environ = publish_step()

    ran = workspace.run(command, environ)

    assert (ran.code, ran.out) == (3, "")


def workflow_step(workspace: Workspace, **changed: str) -> tuple[list[str], dict[str, str]]:
    """Give GitHub's command and environment, as its runner makes them of the step."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text())
    step = workflow["jobs"]["publish"]["steps"][-1]
    values = {
        "github.token": GCLOUD,
        "github.actor": "octocat",
        "github.event.repository.visibility": changed.get("visibility", "private"),
        "secrets.HF_TOKEN": "",
        "inputs.tag": "v1",
        "inputs.level": "static",
        "inputs.public": changed.get("public", "false"),
    }
    environ = {
        name: re.sub(r"\$\{\{ (\S+) \}\}", lambda found: values[found[1]], text)
        for name, text in step["env"].items()
    }
    runner = {
        "GITHUB_REPOSITORY": "Acme/Prewarm",
        "GITHUB_STEP_SUMMARY": str(workspace.folder / "summary"),
    }
    assert step["shell"] == "bash"  # GitHub's name for bash -eo pipefail
    return ["bash", "-eo", "pipefail", "-c", step["run"]], environ | runner


def test_workflow_publishes_the_same_way(workspace: Workspace) -> None:
    """GitHub's step runs the same script, with its own token for its own registry."""
    command, environ = workflow_step(workspace)

    ran = workspace.run(command, environ)

    assert ran.code == 0, ran.err
    assert ran.flags["--address"] == "ghcr.io/acme/prewarm:v1"
    assert ran.flags["--password"] == "env://REGISTRY_TOKEN"
    assert ran.call["secret"] == GCLOUD
    assert (workspace.folder / "summary").read_text() == f"{PUSHED}\n"


@pytest.mark.parametrize(("public", "code"), [("false", 2), ("true", 0)])
def test_workflow_of_a_public_repository_asks_first(
    workspace: Workspace, public: str, code: int
) -> None:
    """Its package would be public too, and hand the weights on."""
    command, environ = workflow_step(workspace, visibility="public", public=public)

    ran = workspace.run(command, environ)

    assert ran.code == code


def test_failed_publish_fails_the_workflow(workspace: Workspace) -> None:
    """Though its output goes through a pipe."""
    program(workspace.folder / "standin-dagger", "#!/bin/sh\necho refused >&2\nexit 3\n")
    command, environ = workflow_step(workspace)

    ran = workspace.run(command, environ)

    assert ran.code == 3


@pytest.mark.parametrize("name", ["ci", "publish"])
def test_workflows_are_pinned_and_modest(name: str) -> None:
    """Actions by commit with their tag beside, no right but those a job names."""
    text = (ROOT / f".github/workflows/{name}.yml").read_text()
    workflow = yaml.safe_load(text)

    used = re.findall(r"uses: (.*)", text)
    assert used
    assert all(re.fullmatch(r"\S+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", one) for one in used)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"]["contents"] == "read"
        assert job["timeout-minutes"] <= 120
        assert job["steps"][0]["with"] == {"persist-credentials": False}


def test_hooks_run_what_the_check_runs() -> None:
    """A commit is held to the same programs, in the same versions."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    check = (ROOT / "scripts/check").read_text().replace('"$bin/', '".venvs/check/bin/')

    hooks = [one for repo in config["repos"] for one in repo["hooks"]]
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    for hook in hooks:
        assert hook["entry"].split()[0] in check.replace('"', "")
        assert (ROOT / hook["entry"].split()[0]).is_file()
