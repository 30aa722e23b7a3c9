"""`python3 -m runtime bake --out DIR`: start, warm up, stop, keep the cache, and prove it is hit.

The starts are this very server, as a child process. Each start after the first one uses what was
kept so far, from another folder; the bake is over when one has compiled nothing.
"""

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime import credentials, kept_cache, signals
from runtime.cache_copy import ROOT_VARIABLE
from runtime.cache_verdict import Word
from runtime.compile_cache import FACTS_VARIABLE, MODULES
from runtime.errors import EngineError, RefusedError
from runtime.kept_cache import Kept
from runtime.vllm_cache import FOLDERS, passing

VERB = "bake"
MOST_STARTS = 4
"""A second start may take another way than the first and write what that one did not."""

_POLL_SECONDS = 0.1
_SETTINGS = ("DTYPE", "GPU_MEMORY_UTILIZATION", "MAX_NUM_SEQS", "VLLM_TORCH_COMPILE_LEVEL")


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    """Bake into the folder that the arguments name.

    Raises:
        RefusedError: a credential is set, or the folder is not empty.
        EngineError: a start failed, or the cache is not hit.
    """
    parser = argparse.ArgumentParser(prog=f"python3 -m runtime {VERB}", allow_abbrev=False)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="an empty folder")
    found, extra = parser.parse_known_args(list(arguments))
    extra = extra[1:] if extra[:1] == ["--"] else extra
    _refuse(found.out, environ)
    with tempfile.TemporaryDirectory(prefix="prewarm-bake-") as work:
        kept = _Bake(Path(work), extra, environ).run()
        shutil.copytree(kept.folder, found.out, dirs_exist_ok=True)
    signals.say(
        f"prewarm: baked {len(kept.files)} files, {kept.size / 1e6:.1f} MB, into {found.out}"
    )


def _refuse(out: Path, environ: Mapping[str, str]) -> None:
    problems = [
        f"{name} is set, and no credential may be near a cache that is published: unset it"
        for name in credentials.NAMES
        if name in environ
    ]
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        problems.append(f"{out} is not an empty folder: name a new one")
    if environ.get("SKIP_PREWARM", "0") not in {"", "0"}:
        problems.append("SKIP_PREWARM is set, and a bake keeps what the warm-up compiles: unset it")
    if problems:
        raise RefusedError(problems)


class _Bake:
    """The starts of one bake, in a folder of its own."""

    def __init__(self, work: Path, extra: Sequence[str], environ: Mapping[str, str]) -> None:
        self._work = work
        self._extra = list(extra)
        self._environ = dict(environ)
        self._kept = Kept(folder=work / "kept")

    def run(self) -> Kept:
        self._kept.folder.mkdir()
        places = {kind: self._work / "1" / kind for kind in FOLDERS}
        led = {FOLDERS[kind]: str(place) for kind, place in places.items()}
        facts = self._start(1, {**led, kept_cache.VARIABLE: str(self._work / "none")})
        self._keep(places, facts)
        for number in range(2, MOST_STARTS + 1):
            root = self._work / str(number)
            own = {ROOT_VARIABLE: str(root), kept_cache.VARIABLE: str(self._kept.folder)}
            facts = self._start(number, own)
            if facts["verdict"]["verdict"] == Word.HIT:
                return self._finish(facts)
            self._keep({kind: root / kind for kind in FOLDERS}, facts)
        shown = "\n  - ".join(facts["written"][:20])
        raise EngineError(
            f"the kept cache is not hit: start {MOST_STARTS} still wrote {len(facts['written'])}"
            f" files, expected none; the first are:\n  - {shown}"
        )

    def _start(self, number: int, own: Mapping[str, str]) -> dict[str, Any]:
        """Start the server, wait until it is warm, stop it; return what it told."""
        signals.say(f"prewarm: bake: start {number}")
        facts = self._work / f"facts-{number}.json"
        environ = {name: v for name, v in self._environ.items() if name not in FOLDERS.values()}
        environ |= {**own, FACTS_VARIABLE: str(facts)}
        before = sys.orig_argv[1 : sys.orig_argv.index(VERB)]
        child = subprocess.Popen([sys.executable, *before, *self._extra], env=environ)
        _pass_on_signals(child)
        while not facts.exists():
            if child.poll() is not None:
                raise EngineError(f"start {number} of the bake ended with {child.returncode}")
            time.sleep(_POLL_SECONDS)
        child.terminate()
        if code := child.wait():
            raise EngineError(f"start {number} of the bake was stopped and ended with {code}")
        told: dict[str, Any] = json.loads(facts.read_text())
        return told

    def _keep(self, places: Mapping[str, Path], facts: Mapping[str, Any]) -> None:
        """Add what a start wrote to what is kept."""
        for kind, place in places.items():
            for path in kept_cache.below(place):
                if not passing(f"{kind}/{path}"):
                    target = self._kept.folder / kind / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(place / path, target)
        paths = [path for path in kept_cache.below(self._kept.folder) if path != kept_cache.FACTS]
        self._kept = dataclasses.replace(
            self._kept,
            key=facts["key"],
            settings=self._settings(facts["key"]),
            arguments=tuple(self._extra),
            files=kept_cache.listed(self._kept.folder, paths),
        )
        kept_cache.write(self._kept)

    def _settings(self, key: Mapping[str, Any]) -> dict[str, str]:
        """Return what a start must find set to be as this one."""
        names = (*_SETTINGS, *key["variables"])
        found = {name: self._environ[name] for name in names if self._environ.get(name)}
        if key["max_model_len"]:
            found["MAX_MODEL_LEN"] = str(key["max_model_len"])
        return dict(sorted(found.items()))

    def _finish(self, facts: Mapping[str, Any]) -> Kept:
        recorded = {"kv_cache": facts["kv_cache"], "driver": facts["report"].get("driver")}
        recorded[MODULES] = facts[MODULES]
        self._kept = dataclasses.replace(self._kept, recorded=recorded)
        kept_cache.write(self._kept)
        return self._kept


def _pass_on_signals(child: "subprocess.Popen[bytes]") -> None:
    """End the server with us: it answers to no one else."""

    def end(number: int, _frame: object) -> None:
        child.terminate()
        child.wait()
        os._exit(128 + number)

    signals.hold(end)
