"""Arguments after the image name: they go to vLLM, except those that move or bypass the gate."""

from collections.abc import Sequence

from runtime.vllm_refused import FORBIDDEN, FORBIDDEN_SHORT

_SHORTEST_ABBREVIATION = 3
"""Two dashes and a letter: argparse takes no less."""


def problems(arguments: Sequence[str]) -> list[str]:
    """Name each argument that this image does not pass on, and what to use instead."""
    found = [
        f"argument {flag}: {FORBIDDEN[full]}"
        for flag in map(_flag, arguments)
        if (full := _forbidden(flag))
    ]
    if arguments and not arguments[0].startswith("-"):
        found.append(f"argument {arguments[0]}: MODEL_NAME names the model; only flags may follow")
    if "--" in arguments:
        found.append("argument --: only flags may follow the image name")
    return found


def _flag(argument: str) -> str:
    """Read an argument as argparse and vLLM's parser do: `--Api_key=3` is `--Api-key`."""
    name = argument.partition("=")[0]
    return name.replace("_", "-") if name.startswith("--") else name


def _forbidden(flag: str) -> str | None:
    """Return the forbidden flag that `flag` is, or abbreviates, or None.

    argparse accepts any unambiguous prefix, and a dotted key (`--config.x`) names the same flag.
    """
    name = flag.partition(".")[0]
    if name.startswith("--") and len(name) >= _SHORTEST_ABBREVIATION:
        return next((full for full in FORBIDDEN if full.startswith(name)), None)
    if name.startswith("-") and name.strip("-"):
        return next(
            (full for alias, full in FORBIDDEN_SHORT.items() if alias.startswith(name)), None
        )
    return None
