"""What Dagger is told of the module: what a user sees who has only `dagger call --help`."""

import json

import pytest

from prewarm.given import CPU_BASE, HUB, TOOL_IMAGE
from prewarm.level import Level
from stages.reference import parse
from tests.prewarm.calling import Function, module_recipe, registered
from tests.prewarm.session import Session

# Function -> how long its result is kept; None as Dagger does by itself, for 7 days at most.
POLICIES = {
    "assemble_image": None,
    "bake": "Never",
    "build": "Never",
    "download_weights": None,
    "lint": None,
    "lock": "Never",
    "publish": "Never",
    "scan": None,
    "serve": None,
    "smoke_test": "Never",
    "test": None,
}
CHECKS = {"lint", "test"}
# Flags that `dagger call` has itself; an argument of that name could not be given.
TAKEN = {
    "allow-llm", "auto-apply", "cloud", "debug", "help", "interactive", "json", "lock", "mod",
    "no-exit", "no-mod", "output", "progress", "quiet", "silent", "verbose", "web", "workdir",
}  # fmt: skip


def everything(session: Session) -> dict[str, Function]:
    """Give the constructor, whose name is empty, and every function."""
    constructor, functions = registered(session)
    return {"": constructor, **functions}


def test_every_function_is_registered(session: Session) -> None:
    """With the policy that its result needs: what asks or changes the outside is never kept."""
    _, functions = registered(session)

    assert {name: one.policy for name, one in functions.items()} == POLICIES


def test_checks_need_no_argument(session: Session) -> None:
    """`dagger check` runs them as they are."""
    _, functions = registered(session)
    checks = {name: one for name, one in functions.items() if one.is_check}

    assert set(checks) == CHECKS
    assert not any(arg.required for one in checks.values() for arg in one.arguments.values())


def test_everything_is_described(session: Session) -> None:
    """The module, its object, each function and each argument."""
    described = module_recipe(session)
    (main,) = (call.args["object"] for call in described.calls("withObject"))

    assert described.calls("withDescription")
    assert main.calls("withObject")[0].args["description"]
    for name, one in everything(session).items():
        assert name == "" or one.description, name
        for argument in one.arguments.values():
            assert argument.said["description"], f"{name} {argument.name}"


def test_only_the_address_must_be_given(session: Session) -> None:
    """Everything else has a default, the constructor's arguments included."""
    required = {
        (name, argument.name)
        for name, one in everything(session).items()
        for argument in one.arguments.values()
        if argument.required
    }

    assert required == {("publish", "address")}


def test_every_address_outside_is_an_argument(session: Session) -> None:
    """Images, index, Hub and registries can be others, also on this machine."""
    constructor, functions = registered(session)
    said = {
        name: json.loads(one.said["defaultValue"])
        for name, one in constructor.arguments.items()
        if one.said.get("defaultValue")
    }

    addresses = {
        "tool_image": TOOL_IMAGE,
        "cpu_base": CPU_BASE,
        "hub": HUB,
        "index": "",
        "base": "",
    }
    assert {name: said[name] for name in addresses} == addresses
    services = {name for name in said if name.endswith("_service")}
    assert services == {"hub_service", "index_service", "registry_service"}
    assert "base_image" in functions["lock"].arguments


def test_tool_image_is_pinned(session: Session) -> None:
    """What runs the stages is an image by digest."""
    constructor, _ = registered(session)
    image = json.loads(constructor.arguments["tool_image"].said["defaultValue"])

    assert parse(image).digest


def test_files_of_the_repository_are_the_defaults(session: Session) -> None:
    """By absolute path, the same for every folder that `dagger call` is started in."""
    found = {
        (name, argument.name): argument.default_path
        for name, one in everything(session).items()
        for argument in one.arguments.values()
        if argument.default_path
    }

    assert found == {
        ("", "lock_file"): "/model.lock.json",
        ("", "runtime"): "/runtime",
        ("", "stages"): "/ci/src/stages",
        ("", "tool_lock"): "/requirements/tool.lock",
        ("", "smoke_lock"): "/requirements/smoke.lock",
        ("lint", "source"): "/",
        ("test", "source"): "/",
    }


def test_secrets_are_secrets(session: Session) -> None:
    """Whatever is called a token, key or password is of Dagger's type that hides its value."""
    found = {
        argument.kind
        for one in everything(session).values()
        for argument in one.arguments.values()
        if argument.name.endswith(("token", "key", "password"))
    }

    assert found == {"Secret"}


def test_no_argument_is_one_of_daggers_own(session: Session) -> None:
    """Its flags come first, and would take the value."""
    names = {
        argument.name.replace("_", "-")
        for one in everything(session).values()
        for argument in one.arguments.values()
    }

    assert names.isdisjoint(TAKEN)


def test_levels_are_explained(session: Session) -> None:
    """Each by its own sentence, beside the flag."""
    (enum,) = (call.args["enum"] for call in module_recipe(session).calls("withEnum"))
    members = {call.args["name"]: call.args for call in enum.calls("withEnumMember")}

    assert set(members) == {level.name for level in Level}
    assert all(said["description"] for said in members.values())


@pytest.mark.parametrize("name", ["publish", "smoke_test", "build"])
def test_default_level_starts_no_server(session: Session, name: str) -> None:
    """So it can run everywhere."""
    _, functions = registered(session)
    level = functions[name].arguments["level"]

    assert json.loads(level.said["defaultValue"]) == Level.STATIC.name
