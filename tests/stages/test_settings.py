"""The environment is read once, and every problem is told at once."""

import pickle
from pathlib import Path

import pytest

from stages.errors import UsageError
from stages.secret import Secret
from stages.settings import HUB, parse

TOKEN = "hf_canary"


def test_empty_environment_asks_the_public_hub_as_anybody() -> None:
    """With nothing set there is no token, and the Hub is the public one."""
    found = parse({})

    assert (found.endpoint, found.token, found.colour, found.terminal) == (HUB, None, True, True)


def test_endpoint_loses_its_last_slash() -> None:
    """Addresses are joined with a slash."""
    assert parse({"HF_ENDPOINT": "https://mirror.example/hf/"}).endpoint.endswith("/hf")


@pytest.mark.parametrize("token", [f"{TOKEN}\n", f"  {TOKEN} "])
def test_token_comes_from_the_environment(token: str) -> None:
    """White space around a token is not part of it."""
    found = parse({"HF_TOKEN": token}).token

    assert found
    assert found.reveal() == TOKEN


def test_token_file_goes_before_the_environment(tmp_path: Path) -> None:
    """What is named on the command line wins, then HF_TOKEN, then HF_TOKEN_PATH."""
    file = tmp_path / "token"
    file.write_text("hf_file\n")

    by_option = parse({"HF_TOKEN": TOKEN}, token_file=file).token
    by_variable = parse({"HF_TOKEN": TOKEN, "HF_TOKEN_PATH": str(file)}).token
    by_path = parse({"HF_TOKEN": "", "HF_TOKEN_PATH": str(file)}).token

    revealed = [one.reveal() for one in (by_option, by_variable, by_path) if one]
    assert revealed == ["hf_file", TOKEN, "hf_file"]


def test_empty_token_is_no_token(tmp_path: Path) -> None:
    """An optional secret that is mounted empty asks as anybody."""
    file = tmp_path / "token"
    file.write_text("\n")

    assert parse({"HF_TOKEN": " "}).token is None
    assert parse({}, token_file=file).token is None


def test_every_problem_is_told_at_once_and_no_token_is_shown(tmp_path: Path) -> None:
    """A wrong endpoint and a wrong token are both in the message; the token is not."""
    file = tmp_path / "token"
    file.write_bytes(b"hf_canary second line\n\xff")

    with pytest.raises(UsageError) as caught:
        parse({"HF_ENDPOINT": "hub"}, token_file=file)

    assert "HF_ENDPOINT" in str(caught.value)
    assert "does not hold a token" in str(caught.value)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"HF_ENDPOINT": "https://hub.example?x"}, "query"),
        ({"HF_TOKEN_PATH": "/nowhere/token"}, "/nowhere/token cannot be read"),
        ({"HF_TOKEN": "a" * 5000}, "does not hold a token"),
        ({"HF_TOKEN": TOKEN, "HF_ENDPOINT": "http://hub.example"}, "in the clear"),
    ],
)
def test_setting_that_cannot_work_is_refused(environ: dict[str, str], message: str) -> None:
    """Each is told before anything is asked."""
    with pytest.raises(UsageError, match=message):
        parse(environ)


def test_no_color_and_dumb_terminals_are_heeded() -> None:
    """See https://no-color.org: any text that is not empty counts."""
    found = parse({"NO_COLOR": "1", "TERM": "dumb"})

    assert not found.colour
    assert not found.terminal


def test_secret_shows_a_mask() -> None:
    """Neither repr, str nor a format shows the text, and it is never pickled."""
    secret = Secret(TOKEN)

    assert TOKEN not in f"{secret} {secret!r} {[secret]}"
    assert secret.hide_in(f"echo {TOKEN}!") == "echo ***!"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
