"""A login comes from the environment, or as Docker keeps it; what it holds is never shown."""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from stages import credentials, docker_config
from stages.credentials import Login, Whose
from stages.errors import UsageError

HOST = "registry.example:5000"
WORD = "canary:pass word"
PACKED = base64.b64encode(f"ada:{WORD}".encode()).decode()


def find(environ: Mapping[str, str], host: str = HOST) -> Login | None:
    """Find the target's login."""
    return credentials.find(environ, host, whose=Whose.TARGET)


def config(folder: Path, value: object) -> dict[str, str]:
    """Write Docker's configuration, and give the environment that names it."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return {"DOCKER_CONFIG": str(folder), "PATH": f"{folder}:{os.environ['PATH']}"}


def helper(folder: Path, script: str) -> None:
    """Write a credential helper named `test`, which tells what it was asked on its way."""
    path = folder / "docker-credential-test"
    path.write_text(f'#!/bin/sh\nserver=$(cat)\necho "$1 $server" >> {folder}/asked\n{script}\n')
    path.chmod(0o755)


def test_nobody_is_known_at_first() -> None:
    """With neither variables nor a configuration, a registry is asked as anybody."""
    assert find({}) is None
    assert find({"HOME": "/nonexistent", "REGISTRY_PASSWORD": ""}) is None


def test_environment_names_user_and_password() -> None:
    """The login is for the one registry, and shows its password to no reader."""
    login = find({"REGISTRY_USERNAME": "ada", "REGISTRY_PASSWORD": WORD})

    assert login
    assert (login.host, login.username, login.password.reveal()) == (HOST, "ada", WORD)
    assert login.basic.reveal() == f"Basic {PACKED}"
    assert WORD not in repr(login) + str(login)
    assert PACKED not in repr(login.basic)


def test_password_may_lie_in_a_file(tmp_path: Path) -> None:
    """As a mounted secret; the line's end is not part of it, lines within are."""
    (tmp_path / "word").write_bytes(b'{\n"key": 1}\r\n')
    environ = {"REGISTRY_USERNAME": "_json_key", "REGISTRY_PASSWORD_FILE": str(tmp_path / "word")}

    login = find(environ)

    assert login
    assert login.password.reveal() == '{\n"key": 1}'


def test_base_has_variables_of_its_own() -> None:
    """Target and base never share one by accident."""
    environ = {"REGISTRY_USERNAME": "ada", "REGISTRY_PASSWORD": "x"}

    assert credentials.find(environ, HOST, whose=Whose.BASE) is None
    base = {f"BASE_{name}": text for name, text in environ.items()}
    assert credentials.find(base, HOST, whose=Whose.BASE)
    assert find(base) is None


def test_a_programs_line_end_is_no_part_of_a_password() -> None:
    """As in `cmd://gcloud auth print-access-token`, whose output comes as it is."""
    login = find({"REGISTRY_USERNAME": "ada", "REGISTRY_PASSWORD": f"{WORD}\n"})

    assert login
    assert login.password.reveal() == WORD


BAD: dict[str, tuple[dict[str, str], str]] = {
    "no user": ({"REGISTRY_PASSWORD": WORD}, "REGISTRY_USERNAME is not set, its password is"),
    "no password": ({"REGISTRY_USERNAME": "ada"}, "REGISTRY_PASSWORD is not set, REGISTRY_USER"),
    "two passwords": (
        {"REGISTRY_USERNAME": "a", "REGISTRY_PASSWORD": WORD, "REGISTRY_PASSWORD_FILE": "x"},
        "REGISTRY_PASSWORD and REGISTRY_PASSWORD_FILE are both set: keep one",
    ),
    "user of two": (
        {"REGISTRY_USERNAME": "a:b", "REGISTRY_PASSWORD": WORD}, "does not hold a user's name"
    ),
    "user of two lines": (
        {"REGISTRY_USERNAME": "a\nb", "REGISTRY_PASSWORD": WORD}, "does not hold a user's name"
    ),
    "long user": (
        {"REGISTRY_USERNAME": "a" * 600, "REGISTRY_PASSWORD": WORD}, "does not hold a user's name"
    ),
    "long password": (
        {"REGISTRY_USERNAME": "a", "REGISTRY_PASSWORD": WORD * 2000}, "is longer than 16384 bytes"
    ),
    "no file": (
        {"REGISTRY_USERNAME": "a", "REGISTRY_PASSWORD_FILE": "none"}, "(none) cannot be read: No s"
    ),
    "file of bytes": (
        {"REGISTRY_USERNAME": "a", "REGISTRY_PASSWORD_FILE": "bytes"}, "it is not UTF-8 text"
    ),
    "empty file": (
        {"REGISTRY_USERNAME": "a", "REGISTRY_PASSWORD_FILE": "empty"}, "_FILE (empty) is empty"
    ),
    "two problems": (
        {"REGISTRY_PASSWORD_FILE": "none"}, "No such file or directory; REGISTRY_USERNAME is not"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_half_a_login_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """Every problem is listed, and no password is shown."""
    environ, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    Path("bytes").write_bytes(b"\xff")
    Path("empty").write_bytes(b"\n")

    with pytest.raises(UsageError) as caught:
        find(environ)
    assert message in str(caught.value)
    assert "canary" not in str(caught.value)


HUB = "https://index.docker.io/v1/"
# What auths holds, who is asked about, and the login: user, secret, whether it is exchanged.
KEPT: dict[str, tuple[object, str, tuple[str, str, bool] | None]] = {
    "packed": ({HOST: {"auth": PACKED}}, HOST, ("ada", WORD, False)),
    "plain": ({HOST: {"username": "ada", "password": WORD}}, HOST, ("ada", WORD, False)),
    "with a scheme": ({f"https://{HOST}": {"auth": PACKED}}, HOST, ("ada", WORD, False)),
    "with a path": ({f"http://{HOST}/v2/": {"auth": PACKED}}, HOST, ("ada", WORD, False)),
    "Docker Hub": ({HUB: {"auth": PACKED}}, "docker.io", ("ada", WORD, False)),
    "identity": ({HOST: {"identitytoken": "t"}}, HOST, ("", "t", True)),
    "identity with a user": (
        {HOST: {"auth": PACKED, "identitytoken": "t"}}, HOST, ("ada", "t", True)
    ),
    "another host": ({"other.example": {"auth": PACKED}}, HOST, None),
    "a longer host": ({f"x.{HOST}": {"auth": PACKED}}, HOST, None),
    "empty entry": ({HOST: {}}, HOST, None),
    "entry that is none": ({HOST: "x"}, HOST, None),
    "user alone": ({HOST: {"username": "ada"}}, HOST, None),
    "password that is a number": ({HOST: {"username": "ada", "password": 1}}, HOST, None),
    "no table": (["x"], HOST, None),
}  # fmt: skip


@pytest.mark.parametrize("case", KEPT)
def test_docker_keeps_logins_in_its_configuration(tmp_path: Path, case: str) -> None:
    """Whichever way the registry's name is written there."""
    auths, host, expected = KEPT[case]

    login = find(config(tmp_path, {"auths": auths}), host)

    seen = (login.username, login.password.reveal(), login.identity) if login else None
    assert seen == expected


def test_configuration_lies_in_the_home_folder(tmp_path: Path) -> None:
    """Unless DOCKER_CONFIG says otherwise."""
    config(tmp_path / ".docker", {"auths": {HOST: {"auth": PACKED}}})

    assert find({"HOME": str(tmp_path)})
    assert find({"HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "none")}) is None


def test_environment_goes_before_the_configuration(tmp_path: Path) -> None:
    """So one call can use another login."""
    environ = config(tmp_path, {"auths": {HOST: {"auth": PACKED}}})

    login = find(environ | {"REGISTRY_USERNAME": "bob", "REGISTRY_PASSWORD": "x"})

    assert login
    assert login.username == "bob"


ANSWER = f"echo '{json.dumps({'ServerURL': HOST, 'Username': 'ada', 'Secret': WORD})}'"


@pytest.mark.parametrize(
    ("host", "server"), [(HOST, HOST), ("docker.io", HUB)], ids=["registry", "Docker Hub"]
)
def test_helper_is_asked_for_the_registry(tmp_path: Path, host: str, server: str) -> None:
    """On its standard input, as Docker asks it."""
    environ = config(tmp_path, {"credsStore": "test"})
    helper(tmp_path, ANSWER)

    login = find(environ, host)

    assert login
    assert (login.username, login.password.reveal(), login.identity) == ("ada", WORD, False)
    assert (tmp_path / "asked").read_text() == f"get {server}\n"


def test_helper_of_one_registry_goes_before_the_store(tmp_path: Path) -> None:
    """And before what the configuration itself holds."""
    auths = {HOST: {"username": "bob", "password": "x"}}
    helpers = {"credHelpers": {HOST: "test"}, "credsStore": "none", "auths": auths}
    environ = config(tmp_path, helpers)
    helper(tmp_path, ANSWER)

    login = find(environ)

    assert login
    assert login.username == "ada"


def test_helper_may_give_an_identity(tmp_path: Path) -> None:
    """By the name that stands for no user."""
    environ = config(tmp_path, {"credsStore": "test"})
    helper(tmp_path, ANSWER.replace('"ada"', '"<token>"'))

    login = find(environ)

    assert login
    assert login.identity


NOT_FOUND = "echo credentials not found in native keychain; exit 1"


def test_helper_may_know_nobody(tmp_path: Path) -> None:
    """Then the configuration itself is looked at, unless the helper is this registry's own."""
    auths = {HOST: {"auth": PACKED}}
    helper_of_all = config(tmp_path, {"credsStore": "test", "auths": auths})
    helper(tmp_path, NOT_FOUND)
    assert find(helper_of_all)

    own = config(tmp_path, {"credHelpers": {HOST: "test"}, "auths": auths})
    assert find(own) is None


@pytest.mark.parametrize(
    ("value", "script", "message"),
    [
        ("{", "", "is not Docker's configuration: expected a JSON object"),
        ("[" * 100_000, "", "is not Docker's configuration"),
        ({"auths": {HOST: {"auth": "canary!"}}}, "", "holds a login that cannot be read"),
        ({"auths": {HOST: {"auth": 7}}}, "", "holds a login that cannot be read"),
        ({"credsStore": "../canary"}, "", "names a credential helper that cannot be one"),
        ({"credsStore": ["canary"]}, "", "names a credential helper that cannot be one"),
        ({"credsStore": "absent"}, "", "docker-credential-absent, which "),
        ({"credsStore": "test"}, "echo canary; exit 3", "(exit code 3): log in again"),
        ({"credsStore": "test"}, "echo canary", "gives no login for registry.example:5000"),
        ({"credsStore": "test"}, 'echo \'{"Username": "canary"}\'', "gives no login for"),
        ({"credsStore": "test"}, "exec sleep 60", "did not answer within 1 s"),
    ],
    ids=[
        "no JSON",
        "deep",
        "no base64",
        "a number",
        "a path",
        "a list",
        "no program",
        "fails",
        "says nothing",
        "no secret",
        "hangs",
    ],
)
def test_configuration_that_cannot_be_used_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    value: object,
    script: str,
    message: str,
) -> None:
    """With the file or the program, and never with what they hold."""
    monkeypatch.setattr(docker_config, "TIMEOUT", 1.0)
    environ = config(tmp_path, value)
    helper(tmp_path, script)

    with pytest.raises(UsageError) as caught:
        find(environ)
    assert message in str(caught.value)
    assert "canary" not in str(caught.value)


def test_configuration_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A folder in its place, for one."""
    (tmp_path / "config.json").mkdir()

    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        find({"DOCKER_CONFIG": str(tmp_path)})
