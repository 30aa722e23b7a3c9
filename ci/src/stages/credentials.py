"""Who we are to a registry: what the environment says, or else Docker's own configuration."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from stages import docker_config
from stages.errors import UsageError
from stages.secret import Secret

LARGEST = 16 * 2**10  # bytes of a password; a service account's key in JSON has about 2,400
LONGEST_NAME = 512  # characters


class Whose(StrEnum):
    """What the variables that hold a user and a password begin with."""

    TARGET = "REGISTRY"
    BASE = "BASE_REGISTRY"


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user of one registry.

    Attributes:
        host: The registry as a reference names it; the login is shown to no other.
        identity: The password is a token that a token service exchanges for others.
    """

    host: str
    username: str
    password: Secret
    identity: bool = False

    @property
    def basic(self) -> Secret:
        """The value of an Authorization header with user and password."""
        pair = f"{self.username}:{self.password.reveal()}".encode()
        return Secret(f"Basic {base64.b64encode(pair).decode()}")


def find(environ: Mapping[str, str], host: str, *, whose: Whose) -> Login | None:
    """Find the login for a registry; None asks as anybody.

    Args:
        environ: Holds NAME_USERNAME with NAME_PASSWORD or NAME_PASSWORD_FILE; else DOCKER_CONFIG
            or HOME say where Docker's configuration lies.
        host: The registry as a reference names it.
        whose: Which names the variables have.

    Raises:
        UsageError: Lists every problem; shows no password.
    """
    problems: list[str] = []
    username = environ.get(f"{whose}_USERNAME", "")
    password = _password(environ, whose, problems)
    if (password or problems) and not username:
        problems.append(f"{whose}_USERNAME is not set, its password is")
    if username and not (password or problems):
        problems.append(f"{whose}_PASSWORD is not set, {whose}_USERNAME is")
    if ":" in username or not username.isprintable() or len(username) > LONGEST_NAME:
        problems.append(f"{whose}_USERNAME does not hold a user's name")
    if problems:
        raise UsageError("; ".join(problems))
    if password:
        return Login(host=host, username=username, password=password)
    kept = docker_config.find(environ, host)
    if kept is None:
        return None
    return Login(
        host=host, username=kept.username, password=Secret(kept.secret), identity=kept.identity
    )


def _password(environ: Mapping[str, str], whose: Whose, problems: list[str]) -> Secret | None:
    """Take the password from its variable, or from the file that its variable names."""
    text, path = environ.get(f"{whose}_PASSWORD"), environ.get(f"{whose}_PASSWORD_FILE")
    if text and path:
        problems.append(f"{whose}_PASSWORD and {whose}_PASSWORD_FILE are both set: keep one")
        return None
    name = f"{whose}_PASSWORD"
    if path:
        name = f"{name}_FILE ({path})"
        try:
            with Path(path).open("rb") as file:
                text = file.read(LARGEST + 1).decode()
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            problems.append(f"{name} cannot be read: {said}")
            return None
        if not text.strip("\r\n"):
            problems.append(f"{name} is empty")
    # A program that prints a token ends its line, and so does an editor.
    text = (text or "").removesuffix("\n").removesuffix("\r")
    if text and len(text) > LARGEST:
        problems.append(f"{name} is longer than {LARGEST} bytes: this is no password")
        return None
    return Secret(text) if text else None
