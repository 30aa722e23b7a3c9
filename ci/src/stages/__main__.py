"""`python -m stages VERB`: every stage as a program of its own.

Exit codes: 0 done; 2 an expected failure, with a message only; 1 a bug, with a traceback. A stop by
signal ends the process by that signal.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence

import anyio

from stages.arguments import parse
from stages.command.options import Verb
from stages.companion import accompanied
from stages.errors import StagesError
from stages.stop import Stop

EXPECTED = 2  # exit code of a failure that its message explains


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one verb and give the exit code."""
    stop = Stop()
    try:
        verb = parse(argv).prepare(environ, stop)
        received = anyio.run(_until_signalled, verb, stop)
    except StagesError as error:
        sys.stderr.write(f"stages: {error}\n")
        return EXPECTED
    if received is not None:
        sys.stderr.write("stages: stopped\n")
        signal.signal(received, signal.SIG_DFL)
        os.kill(os.getpid(), received)
    return 0


async def _until_signalled(verb: Verb, stop: Stop) -> signal.Signals | None:
    """Run a verb; on SIGINT or SIGTERM stop it, and give the signal."""
    received: list[signal.Signals] = []

    async def watch() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                received.append(number)
                stop.set()
                return

    try:
        await accompanied(verb, by=watch)
    except StagesError:
        if not received:
            raise
    return received[0] if received else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
