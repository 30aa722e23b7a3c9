"""`python3 -m runtime bake --out DIR`: start, warm up, stop, keep the cache, and prove it is hit.

The starts are this very server, as a child process. Each start after the first one uses what was
kept so far, in folders emptied before; the bake is over when one has compiled nothing.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime import bytecode, cache_copy, credentials, kept_cache, signals
from runtime.cache_verdict import Word
from runtime.compile_cache import FACTS_VARIABLE
from runtime.errors import EngineError, RefusedError
from runtime.kept_cache import Kept
from runtime.report import redacted
from runtime.vllm_cache import FLASHINFER, passing

VERB = "bake"
MOST_STARTS = 4
"""A second start may take another way than the first and write what that one did not."""

_POLL_SECONDS = 0.1
_SHOWN_FILES = 20
_SETTINGS = ("DTYPE", "GPU_MEMORY_UTILIZATION", "MAX_NUM_SEQS", "VLLM_TORCH_COMPILE_LEVEL")


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    """Bake into the folder that the arguments name.

    Raises:
        RefusedError: a credential is set, or the folder is not empty.
        EngineError: a start failed, or the cache is not hit.
    """
    parser = argparse.ArgumentParser(prog=f"python3 -m runtime {VERB}", allow_abbrev=False)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="an empty folder")
    parser.add_argument("--pyc", action="store_true", help="keep Python's compiled modules too")
    found, extra = parser.parse_known_args(list(arguments))
    extra = extra[1:] if extra[:1] == ["--"] else extra
    with tempfile.TemporaryDirectory(prefix="prewarm-bake-") as work:
        bake = _Bake(Path(work), extra, environ, pyc=found.pyc)
        if problems := _problems(found.out, environ) + bake.problems():
            raise RefusedError(problems)
        kept = bake.run()
        shutil.copytree(kept.folder, found.out, dirs_exist_ok=True)
    signals.say(
        f"prewarm: baked {len(kept.files)} files, {kept.size / 1e6:.1f} MB, into {found.out}"
    )


def _problems(out: Path, environ: Mapping[str, str]) -> list[str]:
    problems = [
        f"{name} is set, and no credential may be near a cache that is published: unset it"
        for name in credentials.NAMES
        if name in environ
    ]
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        problems.append(f"{out} is not an empty folder: name a new one")
    elif not os.access(
        next(one for one in (out, *out.absolute().parents) if one.exists()), os.W_OK
    ):
        problems.append(f"{out} cannot be written by user {os.getuid()}: let it, or name another")
    if environ.get("SKIP_PREWARM", "0") not in {"", "0"}:
        problems.append("SKIP_PREWARM is set, and a bake keeps what the warm-up compiles: unset it")
    if environ.get("VLLM_TORCH_COMPILE_LEVEL") == "0":
        problems.append("VLLM_TORCH_COMPILE_LEVEL=0 compiles nothing that could be kept: unset it")
    return problems


class _Bake:
    """The starts of one bake."""

    def __init__(
        self, work: Path, extra: Sequence[str], environ: Mapping[str, str], *, pyc: bool
    ) -> None:
        """Prepare the starts.

        Args:
            work: an empty folder of our own.
            extra: arguments for vLLM.
            environ: settings of every start.
            pyc: whether to keep Python's compiled modules.
        """
        self._work = work
        self._extra = list(extra)
        self._environ = dict(environ)
        self._kept = Kept(folder=work / "kept")
        self._places = {**cache_copy.lead(dict(environ))}
        if pyc:
            self._places[bytecode.KIND] = cache_copy.root(environ) / bytecode.KIND
        self._before = cache_copy.snapshot(self._places)
        self._filled = {place for place in self._places.values() if _holds_files(place)}

    def problems(self) -> list[str]:
        """Name what keeps a secret near, or would take somebody else's files for this bake's."""
        secret = [
            f"argument {shown.partition('=')[0]} holds a secret, which would be published"
            for argument, shown in zip(self._extra, redacted(self._extra), strict=True)
            if argument != shown
        ]
        return secret + [
            f"{place} is not empty: empty it, or name another folder in {cache_copy.ROOT}"
            for kind, place in self._places.items()
            if place in self._filled and kind != FLASHINFER
        ]

    def run(self) -> Kept:
        """Start until a start compiles nothing; leave nothing behind but what is kept."""
        try:
            return self._run()
        finally:
            self._clear()

    def _run(self) -> Kept:
        self._kept.folder.mkdir()
        facts = self._start(1, self._work / "none")
        for number in range(2, MOST_STARTS + 1):
            self._keep(facts)
            self._clear()
            facts = self._start(number, self._kept.folder)
            if facts["verdict"]["verdict"] == Word.HIT:
                return self._finish(facts)
            if facts["verdict"]["verdict"] is None:
                raise EngineError("an argument switches compilation off: there is nothing to keep")
        shown = "\n  - ".join(facts["written"][:_SHOWN_FILES])
        raise EngineError(
            f"the kept cache is not hit: start {MOST_STARTS} still wrote {len(facts['written'])}"
            f" files, expected none; the first are:\n  - {shown}"
        )

    def _start(self, number: int, kept: Path) -> dict[str, Any]:
        """Start the server, wait until it is warm, stop it; return what it told."""
        signals.say(f"prewarm: bake: start {number}")
        facts = self._work / f"facts-{number}.json"
        environ = {**self._environ, kept_cache.VARIABLE: str(kept), FACTS_VARIABLE: str(facts)}
        if number == 1 and (compiled := self._places.get(bytecode.KIND)):
            environ[bytecode.VARIABLE] = str(compiled)
        before = sys.orig_argv[1 : sys.orig_argv.index(VERB)]
        child = subprocess.Popen(
            [sys.executable, *before, *self._extra], env=environ, start_new_session=True
        )
        _pass_on_signals(child)
        while not facts.exists():
            if child.poll() is not None:
                raise EngineError(f"start {number} of the bake ended with {child.returncode}")
            time.sleep(_POLL_SECONDS)
        if code := _end(child):
            raise EngineError(f"start {number} of the bake was stopped and ended with {code}")
        told: dict[str, Any] = json.loads(facts.read_text())
        return told

    def _keep(self, facts: Mapping[str, Any]) -> None:
        """Add what a start has left to what is kept."""
        folder = self._kept.folder
        times = dict(self._kept.times)
        for path, seen in cache_copy.snapshot(self._places).items():
            if passing(path) or self._before.get(path) == seen:
                continue
            kind, _, rest = path.partition("/")
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._places[kind] / rest, folder / path)
            if kind == FLASHINFER:
                times[path] = seen[1]
        self._write(
            key=facts["key"],
            settings=self._settings(facts["key"]),
            arguments=tuple(self._extra),
            times=times,
        )

    def _write(self, **facts: Any) -> None:
        """Write cache.json of all that is kept now."""
        folder = self._kept.folder
        paths = kept_cache.below(folder).keys() - {kept_cache.FACTS}
        files = kept_cache.listed(folder, paths)
        self._kept = dataclasses.replace(self._kept, files=files, **facts)
        kept_cache.write(self._kept)

    def _clear(self) -> None:
        """Remove what a start has left, but for what was there before the bake."""
        for place in set(self._places.values()) - self._filled:
            shutil.rmtree(place, ignore_errors=True)

    def _settings(self, key: Mapping[str, Any]) -> dict[str, str]:
        """Return what a start must find set to be as this one."""
        names = (*_SETTINGS, *(key["variables"] or ()))
        found = {name: self._environ[name] for name in names if self._environ.get(name)}
        if key["max_model_len"]:
            found["MAX_MODEL_LEN"] = str(key["max_model_len"])
        return dict(sorted(found.items()))

    def _finish(self, facts: Mapping[str, Any]) -> Kept:
        self._write(recorded=facts["recorded"])
        return self._kept


def _holds_files(place: Path) -> bool:
    return place.is_dir() and any(place.iterdir())


def _end(child: "subprocess.Popen[bytes]") -> int:
    """Stop the server and every process of its own: one that lingers would write on."""
    child.terminate()
    code = child.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    return code


def _pass_on_signals(child: "subprocess.Popen[bytes]") -> None:
    """End the server with us: it answers to no one else. What we have made goes too."""

    def end(number: int, _frame: object) -> None:
        _end(child)
        sys.exit(128 + number)

    signals.hold(end)
