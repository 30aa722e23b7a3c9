"""The one start that this process is making, shared by `start`, the gate and the guard.

vLLM makes its middleware with no arguments of ours, in this same process; so what they need lies
here instead of in the environment, where every child process would see it.
"""

import asyncio
import dataclasses

from runtime.compile_cache import CompileCache
from runtime.drain import Drain
from runtime.engine_log import EngineLog
from runtime.model import Model
from runtime.progress import Progress
from runtime.report import Report
from runtime.settings import Settings
from runtime.spare import Spare


@dataclasses.dataclass(kw_only=True)
class Launch:
    """What is known of the start so far, and how it ends."""

    settings: Settings
    model: Model
    report: Report
    progress: Progress
    drain: Drain
    engine_log: EngineLog
    spare: Spare | None = None
    """What becomes the engine's process; None where vLLM starts it alone."""
    cache: CompileCache | None = None
    """What is known of the compile cache; None where there is none."""
    max_logprobs: int = 20
    """What vLLM understood of its own argument; below 0 is no limit."""
    chat_template: bool = False
    """Whether there is a chat template, the model's or an argument's."""
    request_templates: bool = False
    """Whether an argument lets requests bring their own."""
    failure: str = ""
    """Why the start or the service failed; empty while it has not."""
    engine_ready: bool = False
    """Whether engine and application stand, and the warm-up may begin."""
    serving: bool = False
    """Whether the warm-up is over and the port may open."""
    watch: asyncio.Task[None] | None = None
    """Waits for the death of the engine while serving."""


_current: list[Launch] = []


def begin(launch: Launch) -> None:
    """Make `launch` this process's start."""
    _current[:] = [launch]


def current() -> Launch:
    """Return this process's start."""
    return _current[0]
