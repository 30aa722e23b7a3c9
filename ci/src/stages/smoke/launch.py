"""How the image's server is started out of a tree: command, environment and user. Decides only."""

import re
from collections.abc import Mapping
from pathlib import Path

from stages.errors import UsageError
from stages.image import HF_HOME, PREWARM
from stages.secret import Secret
from stages.smoke.report import Arguments, Level

ROOT = Path("/")
START_S = 300  # seconds until the port must be open
KEY = "VLLM_API_KEY"
# What finds programs and libraries belongs to the machine: the base's own may lie elsewhere.
OF_THE_MACHINE = ("PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "LANG", "LC_ALL")
# Compiling for the CPU takes a C++ compiler and minutes, and shows nothing of a GPU's code.
ON_THE_CPU = {"VLLM_TORCH_COMPILE_LEVEL": "0"}
_SETTING = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_USER = re.compile(r"(\d{1,9}):(\d{1,9})")


def command(arguments: Arguments, python: str) -> list[str]:
    """Give the image's own command line, run by another interpreter.

    Raises:
        UsageError: The image does not start with an interpreter.
    """
    first, *rest = arguments.entrypoint or ("",)
    if not re.fullmatch(r"(.*/)?python[0-9.]*", first):
        raise UsageError(f"the image starts with {first!a}, which no --python can stand for")
    return [python, *rest, *arguments.cmd]


def changes(level: Level, given: Mapping[str, str]) -> dict[str, str]:
    """Give the settings that differ from the image's: those of the level, then those given."""
    return {**(ON_THE_CPU if level is Level.CPU else {}), **given}


def environment(
    env: Mapping[str, str],
    *,
    tree: Path,
    machine: Mapping[str, str],
    scratch: Path,
    more: Mapping[str, str],
    key: Secret | None,
) -> dict[str, str]:
    """Give the server's environment: the image's, with its paths in the tree.

    Args:
        env: The image's.
        tree: The image's root.
        machine: Whose paths to programs and libraries are taken.
        scratch: Stands for /tmp, which a container has to itself; not needed where the tree is /.
        more: Settings over the image's.
        key: What the server shall ask for.
    """
    found = {name: _placed(value, tree) for name, value in env.items()}
    found = {name: value for name, value in found.items() if name not in OF_THE_MACHINE}
    found |= {name: machine[name] for name in OF_THE_MACHINE if machine.get(name)}
    if tree != ROOT:
        found |= {"HOME": str(scratch), "TMPDIR": str(scratch)}
    found |= {"START_TIMEOUT": str(START_S), **more}
    return found | ({KEY: key.reveal()} if key else {})


def user(text: object) -> tuple[int, int] | None:
    """Read the image's user and group; None where they are no numbers."""
    found = _USER.fullmatch(text) if isinstance(text, str) else None
    return (int(found[1]), int(found[2])) if found else None


def settings(given: list[str], problems: list[str]) -> dict[str, str]:
    """Read settings like NAME=VALUE."""
    found: dict[str, str] = {}
    for text in given:
        parts = _SETTING.fullmatch(text)
        if not parts or parts[1] == KEY:
            problems.append(f"--env takes NAME=VALUE, and no {KEY}, for which there is --key-file")
        else:
            found[parts[1]] = parts[2]
    return found


def _placed(value: str, tree: Path) -> str:
    """Place a path of ours below the tree."""
    ours = any(f"{value}/".startswith(f"/{home}/") for home in (HF_HOME, PREWARM))
    return f"{tree}{value}" if ours and tree != ROOT else value
