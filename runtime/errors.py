"""What can go wrong, one class for each thing that the reader of the log would do differently."""

EXIT_REFUSED = 2
"""Settings, arguments or the model folder are wrong: change them, a restart cannot help."""

EXIT_FAILED = 70
"""The engine or the warm-up failed (EX_SOFTWARE): the port never opened, or is closed again."""


class PrewarmError(Exception):
    """Base of every expected failure; its text is the whole message, no traceback is shown."""

    exit_code = EXIT_FAILED


class RefusedError(PrewarmError):
    """The start was refused before anything heavy was imported."""

    exit_code = EXIT_REFUSED

    def __init__(self, problems: list[str]) -> None:
        """Keep every problem, so that one message names them all.

        Args:
            problems: one sentence each, in the words of the settings.
        """
        self.problems = problems
        super().__init__("\n  - ".join(["the start is refused:", *problems]))


class WarmupError(PrewarmError):
    """A warm-up request failed or the plan outlasted its limit."""


class EngineError(PrewarmError):
    """The engine did not start, or its process ended."""
