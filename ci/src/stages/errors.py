"""What can go wrong in a stage, one class for each thing a reader would do differently.

Every message says what failed, what was seen and expected, and what to do next.
None carries a token or a signed address.
"""


class StagesError(Exception):
    """A stage refuses or fails in an expected way: the message is for the user, exit code 2."""


class UsageError(StagesError):
    """The command line or the environment must change; lists every problem found."""


class LockError(StagesError):
    """The lock cannot be read, or is not a lock: run `lock` again or restore the file."""


class AccessError(StagesError):
    """The Hub or registry wants another token or login, or a licence accepted."""


class NotFoundError(StagesError):
    """The model, revision, file or image does not exist under that name."""


class UnsafeError(StagesError):
    """A repository holds what no image should: hostile file names, or code to run."""


class UnsuitableError(StagesError):
    """A repository holds no model that can be served from safetensors, or no base to stand on."""


class IntegrityError(StagesError):
    """Bytes or facts differ from what the lock or the Hub promised."""


class LeakError(StagesError):
    """An image or a log holds what must not leave the machine: nothing of it may be pushed."""


class UnprovenError(StagesError):
    """An image's reports do not name it, or do not pass it: nothing of it is pushed."""


class SmokeError(StagesError):
    """An image, or the server that it starts, is not as it should be: it must not be pushed."""


class AnswerError(StagesError):
    """A server breaks the protocol in a way that asking again will not mend."""


class UnreachableError(StagesError):
    """A server could not be reached, or kept failing, until patience ran out."""


class StorageError(StagesError):
    """The disk is full, not writable, or a folder holds what is not ours."""


class TransientError(StagesError):
    """One attempt failed and another may succeed; never leaves the package.

    Attributes:
        wait_s: How long the server asks us to wait, in seconds; None when it does not say.
    """

    def __init__(self, message: str, *, wait_s: float | None = None) -> None:
        """Keep the message and the server's own wish for the pause, in seconds."""
        super().__init__(message)
        self.wait_s = wait_s


class StoppedError(StagesError):
    """The work was told to stop; never leaves the package."""
