"""Docker's configuration: logins kept in config.json, or asked of a credential helper.

See https://docs.docker.com/reference/cli/docker/login/#credential-stores and, for what a helper
is asked, https://github.com/docker/docker-credential-helpers
"""

import base64
import binascii
import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.errors import UsageError
from stages.reference import DOCKER_HUB

LARGEST = 2**20  # bytes of the configuration or of a helper's answer
TIMEOUT = 30.0  # seconds for a helper to answer
HUB = "https://index.docker.io/v1/"  # what Docker calls its Hub here
IDENTITY = "<token>"  # the user that a helper names when the secret is an identity token
_HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NOT_FOUND = b"credentials not found"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A login as it is kept; with `identity` the secret is a token to be exchanged."""

    username: str
    secret: str = field(repr=False)
    identity: bool = False


def find(environ: Mapping[str, str], host: str) -> Kept | None:
    """Find what Docker would show to a registry; None is nothing.

    Raises:
        UsageError: The configuration cannot be read, or its helper fails; shows no secret.
    """
    if (path := _path(environ)) is None:
        return None
    config = _read(path)
    helper = _for_host(config.get("credHelpers"), host) or config.get("credsStore")
    if helper:
        found = _ask(helper, host, environ, path)
        if found or _for_host(config.get("credHelpers"), host):
            return found
    entry = _for_host(config.get("auths"), host)
    return _entry(entry, path) if isinstance(entry, dict) else None


def _path(environ: Mapping[str, str]) -> Path | None:
    folder, home = environ.get("DOCKER_CONFIG"), environ.get("HOME")
    if not folder and not home:
        return None
    path = Path(folder) if folder else Path(home or "") / ".docker"
    return path / "config.json" if (path / "config.json").exists() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        value = json.loads(content[:LARGEST])
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UsageError(f"{path} is not Docker's configuration: expected a JSON object")
    return value


def _for_host(table: object, host: str) -> Any:
    """Look a registry up, whichever way its name is written: with a scheme or a path too."""
    if not isinstance(table, dict):
        return None
    for name, value in table.items():
        plain = name.removeprefix("https://").removeprefix("http://").partition("/")[0]
        if plain == host or {plain, host} <= _HUB_NAMES:
            return value
    return None


def _entry(entry: dict[str, Any], path: Path) -> Kept | None:
    """Read a login that is kept in the configuration itself."""
    username, secret = entry.get("username"), entry.get("password")
    token = entry.get("identitytoken")
    try:
        if packed := entry.get("auth"):
            pair = base64.b64decode(packed, validate=True).decode()
            username, _, secret = pair.partition(":")
            secret = secret.rstrip("\0")
    except (binascii.Error, ValueError, TypeError):
        raise UsageError(f"{path} holds a login that cannot be read: log in again") from None
    if isinstance(token, str) and token:
        return Kept(username=str(username or ""), secret=token, identity=True)
    if not (isinstance(username, str) and isinstance(secret, str) and username and secret):
        return None
    return Kept(username=username, secret=secret)


def _ask(helper: object, host: str, environ: Mapping[str, str], path: Path) -> Kept | None:
    """Ask a credential helper for a login; None where it keeps none."""
    if not isinstance(helper, str) or not _HELPER.fullmatch(helper):
        raise UsageError(f"{path} names a credential helper that cannot be one")
    program = f"docker-credential-{helper}"
    server = HUB if host in _HUB_NAMES else host
    try:
        ended = subprocess.run(
            [program, "get"],
            input=server.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT,
            env=dict(environ),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"{program} did not answer within {TIMEOUT:.0f} s") from None
    except OSError as error:
        raise UsageError(
            f"{program}, which {path} names, cannot be run: {error.strerror}. Install it, or give "
            "user and password by the environment"
        ) from error
    if ended.returncode and _NOT_FOUND in ended.stdout:
        return None
    try:
        answer = json.loads(ended.stdout[:LARGEST])
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError, RecursionError):
        username = secret = ""
    if ended.returncode or not secret:
        raise UsageError(
            f"{program} gives no login for {server} (exit code {ended.returncode}): log in again"
        )
    return Kept(username=username, secret=secret, identity=username == IDENTITY)
