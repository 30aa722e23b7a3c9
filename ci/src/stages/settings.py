"""What the environment says, read once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from stages.errors import UsageError
from stages.origin import Origin
from stages.secret import Secret

HUB = "https://huggingface.co"
LARGEST_TOKEN = 4096  # bytes
TIME = "%Y-%m-%dT%H:%M:%S"
LAST = 253402300799  # seconds; the end of the year 9999
LONGEST_TIME = 20  # digits


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The environment's part of every verb.

    Attributes:
        endpoint: The Hub's address, with no slash at its end.
        token: What proves who asks; None asks as anybody.
        colour: Whether a terminal may be sent colours.
        terminal: Whether the terminal can redraw a line.
    """

    endpoint: str
    token: Secret | None
    colour: bool
    terminal: bool


def parse(environ: Mapping[str, str], *, token_file: Path | None = None) -> Settings:
    """Read HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, NO_COLOR and TERM.

    Args:
        environ: The environment.
        token_file: A file that holds the token; goes before the environment.

    Raises:
        UsageError: Lists every problem; shows no token.
    """
    problems: list[str] = []
    endpoint = _endpoint(environ.get("HF_ENDPOINT") or HUB, problems)
    token = _token(environ, token_file, problems)
    if token and endpoint and not Origin.of(endpoint).keeps_secrets:
        problems.append(
            f"HF_ENDPOINT is {endpoint}, where the token would travel in the clear: "
            "use https, or take the token away"
        )
    if problems:
        raise UsageError("; ".join(problems))
    return Settings(
        endpoint=endpoint,
        token=token,
        colour=not environ.get("NO_COLOR"),
        terminal=environ.get("TERM") != "dumb",
    )


def key(environ: Mapping[str, str], *, key_file: Path | None) -> Secret | None:
    """Take the key of the server under test from --key-file, else VLLM_API_KEY; None for none.

    Raises:
        UsageError: It cannot be read or sent; shows no key.
    """
    problems: list[str] = []
    if key_file is not None:
        found = _read(key_file, "--key-file", problems)
    else:
        text = environ.get("VLLM_API_KEY", "").strip()
        found = _checked(text, "VLLM_API_KEY", problems) if text else None
    if problems:
        raise UsageError("; ".join(problems))
    return found


def created(environ: Mapping[str, str], argument: str | None) -> int:
    """Read when an image shall say that it was made, in seconds since 1970; 0 when nobody says.

    Args:
        environ: May hold SOURCE_DATE_EPOCH. See https://reproducible-builds.org/specs/source-date-epoch/
        argument: Goes before the environment: seconds, or a time like 2026-01-31T12:00:00Z.

    Raises:
        UsageError: It is neither.
    """
    name = "--created" if argument is not None else "SOURCE_DATE_EPOCH"
    text = argument if argument is not None else environ.get("SOURCE_DATE_EPOCH") or "0"
    try:
        if text.isascii() and text.isdigit():
            seconds = int(text[:LONGEST_TIME])
        else:
            seconds = int(datetime.strptime(text, f"{TIME}%z").timestamp())
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= LAST:
        raise UsageError(
            f"{name} is {text[:100]!a}, expected seconds since 1970 or a time like "
            "2026-01-31T12:00:00Z"
        )
    return seconds


def _endpoint(text: str, problems: list[str]) -> str:
    """Check the Hub's address; the empty text stands for one with a problem."""
    try:
        Origin.of(text)
    except ValueError as error:
        problems.append(f"HF_ENDPOINT: {error}; expected something like {HUB}")
        return ""
    if "?" in text or "#" in text:
        problems.append(f"HF_ENDPOINT has a query or fragment; expected something like {HUB}")
        return ""
    return text.rstrip("/")


def _token(
    environ: Mapping[str, str], token_file: Path | None, problems: list[str]
) -> Secret | None:
    """Take the token from --token-file, else HF_TOKEN, else the file HF_TOKEN_PATH names."""
    if token_file is not None:
        return _read(token_file, "--token-file", problems)
    if text := environ.get("HF_TOKEN", "").strip():
        return _checked(text, "HF_TOKEN", problems)
    if path := environ.get("HF_TOKEN_PATH"):
        return _read(Path(path), "HF_TOKEN_PATH", problems)
    return None


def _read(path: Path, name: str, problems: list[str]) -> Secret | None:
    """Read a mounted token; an empty file is no token, as when a secret is optional."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(LARGEST_TOKEN + 1)
    except OSError as error:
        problems.append(f"{name}: {path} cannot be read: {error.strerror}")
        return None
    text = content.decode("ascii", errors="replace").strip()
    return _checked(text, f"{name} ({path})", problems) if text else None


def _checked(text: str, name: str, problems: list[str]) -> Secret | None:
    """Refuse what cannot stand in a header; never shows it."""
    if len(text) > LARGEST_TOKEN or not (text.isascii() and text.isprintable()) or " " in text:
        problems.append(
            f"{name} does not hold a token: expected one line without spaces, like hf_..."
        )
        return None
    return Secret(text)
