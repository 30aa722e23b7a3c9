"""The one error that a caller sees: a message, and no traceback."""

import dagger

try:
    # Not exported by dagger-io, but what its runtime passes on as it is; any other exception is
    # logged with a traceback first.
    from dagger.mod._exceptions import FunctionError
except ImportError:  # a release that keeps it elsewhere
    FunctionError = RuntimeError  # type: ignore[assignment, misc]

EXPECTED = 2  # exit code of a stage that refuses, whose last line says why
PREFIX = "stages: "

__all__ = ["FunctionError", "refused"]


def refused(doing: str, error: dagger.QueryError) -> FunctionError:
    """Say in one line what failed and why.

    Args:
        doing: What was being done, to begin the message with.
        error: What the engine answered.
    """
    if not isinstance(error, dagger.ExecError):
        return FunctionError(f"{doing}: {error}")
    last = (error.stderr.strip() or error.stdout.strip()).rpartition("\n")[2]
    if error.exit_code == EXPECTED and last.startswith(PREFIX):
        return FunctionError(f"{doing}: {last.removeprefix(PREFIX)}")
    return FunctionError(f"{doing}: the program ended with exit code {error.exit_code}: {last}")
