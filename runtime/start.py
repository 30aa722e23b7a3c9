"""Everything between the first line of `__main__` and vLLM's own server."""

import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import MutableMapping, Sequence
from types import FrameType
from typing import NoReturn

from runtime import (
    arguments,
    compile_cache,
    credentials,
    device,
    helper,
    launch,
    prefetch,
    signals,
    spare,
    vllm,
    vllm_cache,
    vllm_engine,
    vllm_order,
)
from runtime import model as models
from runtime import settings as configuration
from runtime.device import Gpu
from runtime.drain import UNWIND_SECONDS, Drain, end_after
from runtime.engine_log import EngineLog
from runtime.errors import EXIT_FAILED, PrewarmError, RefusedError
from runtime.launch import Launch
from runtime.progress import Progress
from runtime.report import Report, redacted
from runtime.settings import Settings
from runtime.spare import Spare

BAKE = "bake"
"""The one verb: everything else after the module's name goes to vLLM."""

_REPLACED = "PREWARM_COMPATIBILITY"
"""Set in the environment of a process that was started again with the compat libraries."""


def main() -> NoReturn:
    """Become vLLM's server; leave with the exit code that says how it ended."""
    signals.hold(signals.exit_at_once)
    gc.disable()  # imports make much and drop little; the gate switches it on again
    try:
        _run(sys.argv[1:])
    except PrewarmError as error:
        signals.say(f"prewarm: {error}")
        _leave(error.exit_code)
    except SystemExit as stop:
        if isinstance(stop.code, str):
            signals.say(stop.code)
        _leave(_exit_code(stop.code if isinstance(stop.code, int) else int(bool(stop.code))))
    except BaseException:  # noqa: BLE001 - whatever ends vLLM ends this process, with our code
        sys.excepthook(*sys.exc_info())
        _leave(_exit_code(EXIT_FAILED))
    _leave(_exit_code(EXIT_FAILED))


def _run(words: Sequence[str]) -> None:
    if words[:1] == [BAKE]:
        from runtime import bake  # noqa: PLC0415 - a start does not wait for what it does not use

        bake.main(words[1:], os.environ)
        sys.exit(0)
    _start(words, os.environ)


def _start(extra: Sequence[str], environ: MutableMapping[str, str]) -> None:
    withdrawn = credentials.withdraw(environ)
    kept, extra = compile_cache.find(environ, extra)
    wanted = _check({**environ, **withdrawn}, extra)
    release = vllm.installed()
    gpu = device.gpu(environ)
    cpu = vllm.is_cpu_build(release)
    if not cpu:
        _match_driver(gpu, release, withdrawn)
    dtype = device.dtype(wanted.dtype, gpu, device.cpuinfo())
    line = vllm.command_line(
        wanted, extra, release=vllm.parse_version(release), dtype=dtype, cpu=cpu
    )
    started = _launch(wanted, release=release, dtype=dtype, gpu=gpu, line=line)
    launch.begin(started)
    ours_to_start = vllm_engine.leaves_start_to_us(environ, cpu=cpu)
    vllm.prepare(environ, cpu=cpu, level=wanted.compile_level)
    if wanted.compile_level:
        _prepare_cache(environ, release, cpu=cpu)
    started.cache = compile_cache.begin(kept, environ)
    if ours_to_start:
        started.spare = _begin_engine(started, environ, cpu=cpu, extra=extra)
    _limit_start(wanted.start_timeout, started)
    started.report.end_phase("settings")
    started.progress.phase("importing vLLM")
    vllm.load()
    parsed = vllm.parse(line, wanted)
    started.max_logprobs = vllm.max_logprobs(parsed)
    started.chat_template = started.model.has_chat_template or vllm.brings_template(parsed)
    started.request_templates = vllm.trusts_request_templates(parsed)
    if started.cache:
        start = compile_cache.Start(
            settings=wanted,
            parsed=parsed,
            release=release,
            number=vllm.parse_version(release),
            dtype=dtype,
            gpu=gpu,
            environ=environ,
        )
        compile_cache.expect(started.cache, start)
    gc.freeze()  # vLLM collects once more before it serves, and need not look at these
    started.report.end_phase("imports")
    started.progress.phase("starting the engine")
    if started.spare:
        spare.offer(started.spare)
    vllm_order.engine_first()
    vllm.serve(parsed)


def _begin_engine(
    started: Launch, environ: MutableMapping[str, str], *, cpu: bool, extra: Sequence[str]
) -> Spare:
    """Begin the engine's process now: its imports and ours then go on at once."""
    cache = started.cache
    baked = cache.kept.recorded.get(compile_cache.MODULES, ()) if cache and cache.kept else ()
    return Spare(
        [*vllm_engine.ENGINE_MODULES, *map(str, baked)],
        environ,
        device=not cpu and vllm_engine.is_one_process(extra),
        tokenizer="" if vllm_engine.names_tokenizer(extra) else str(started.settings.model_path),
        record=cache.facts.with_suffix(".modules") if cache and cache.facts else None,
    )


def _prepare_cache(environ: MutableMapping[str, str], release: str, *, cpu: bool) -> None:
    """Let the release reuse what it compiles, and say what that took."""
    if said := vllm_cache.prepare(environ, release=vllm.parse_version(release), cpu=cpu):
        signals.say(f"prewarm: {said}")


def _check(environ: MutableMapping[str, str], extra: Sequence[str]) -> Settings:
    """Read the settings and name every problem in one message."""
    problems: list[str] = []
    wanted = None
    try:
        wanted = configuration.parse(environ)
    except RefusedError as error:
        problems += error.problems
    problems += arguments.problems(extra) + vllm.problems(environ)
    if wanted:
        problems += models.problems(wanted.model_path) + _port_problems(wanted)
    if problems or wanted is None:
        raise RefusedError(problems)
    return wanted


def _port_problems(wanted: Settings) -> list[str]:
    """Try to bind the port: later, vLLM would only find out after its imports."""
    family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((wanted.host, wanted.port))
        except OSError as error:
            return [f"PORT={wanted.port} cannot be bound: {error.strerror}"]
    return []


def _match_driver(gpu: Gpu | None, release: str, withdrawn: dict[str, str]) -> None:
    """Start over with NVIDIA's compatibility libraries where the driver needs them."""
    if gpu is None:
        raise RefusedError(
            [
                (
                    f"no NVIDIA GPU is visible, and vLLM {release} needs one:"
                    " run the container with --gpus all, or build on vLLM's CPU image"
                )
            ]
        )
    image = device.torch_cuda()
    if not device.needs_compatibility(gpu, image):
        return
    libraries = vllm.compatibility_libraries()
    seen = f"the driver {gpu.driver} runs CUDA {gpu.cuda[0]}.{gpu.cuda[1]}, the image needs {image}"
    if os.environ.pop(_REPLACED, ""):
        raise RefusedError([f"{seen}, and {libraries} did not help: use a newer driver"])
    if not libraries.is_dir():
        raise RefusedError([f"{seen}, and there is no {libraries}: use a newer driver"])
    signals.say(f"prewarm: {seen}: starting over with {libraries}")
    os.environ[_REPLACED] = "1"
    paths = [str(libraries), os.environ.get("LD_LIBRARY_PATH", "")]
    os.environ["LD_LIBRARY_PATH"] = ":".join(path for path in paths if path)
    credentials.start_over(withdrawn)


def _launch(
    wanted: Settings, *, release: str, dtype: str, gpu: Gpu | None, line: list[str]
) -> Launch:
    """Gather the start's facts and begin what runs beside it."""
    found = models.read(wanted.model_path)
    report = Report(
        model=wanted.model_name,
        vllm=release,
        device=gpu.name if gpu else "cpu",
        driver=gpu.driver if gpu else None,
        dtype=dtype,
        compile_level=wanted.compile_level,
        arguments=redacted(line),
    )
    signals.say(
        f"prewarm: {wanted.model_name} on vLLM {release}, {dtype} on"
        f" {gpu.name if gpu else 'the CPU'}, compile level {wanted.compile_level},"
        f" port {wanted.port}, {'a key is' if wanted.api_key else 'no key'} set"
    )
    if prefetch.fits(found.weights, prefetch.available_bytes()):
        helper.fork(lambda: prefetch.read(found.weights))
    return Launch(
        settings=wanted,
        model=found,
        report=report,
        progress=Progress(),
        engine_log=EngineLog(os.environ),
        drain=Drain(wanted.shutdown_timeout),
    )


def _limit_start(seconds: float, started: Launch) -> None:
    """End the start with 70 if the port is not about to open after `seconds`; 0 is no limit."""

    def give_up(_number: int, _frame: FrameType | None) -> None:
        if started.engine_ready:
            return
        signals.say(f"prewarm: the engine did not start within START_TIMEOUT={seconds:g} s")
        signals.end_children()
        os._exit(EXIT_FAILED)

    if seconds:
        signal.signal(signal.SIGALRM, give_up)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _exit_code(vllms_own: int) -> int:
    """Decide how this process ends, now that the server has returned or exited.

    A server that nobody stopped has failed, whatever code it returned; before there was an engine
    the code is vLLM's own (2 for an unknown argument, 0 after --help).
    """
    with contextlib.suppress(IndexError):
        started = launch.current()
        if started.drain.begun:
            return 0
        if started.failure or started.engine_ready:
            return EXIT_FAILED
    return vllms_own


def _leave(code: int) -> NoReturn:
    """End this process in order, and within a bounded time."""
    signals.ignore()
    end_after(UNWIND_SECONDS, exit_code=code)
    sys.exit(code)
