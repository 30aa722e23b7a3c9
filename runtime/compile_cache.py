"""The compile cache of one start: copied, compared, and judged afterwards by what was written."""

import dataclasses
import json
import time
from argparse import Namespace
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from runtime import bytecode, cache_copy, cache_factors, cache_verdict, device, kept_cache, signals
from runtime import vllm_cache as release_cache
from runtime.cache_copy import Copying
from runtime.cache_key import Key, differences
from runtime.device import Gpu
from runtime.kept_cache import Kept
from runtime.report import Report
from runtime.settings import Settings
from runtime.vllm import Version

FACTS_VARIABLE = "PREWARM_BAKE_FACTS"
"""Set by `bake`: the file that a warm start writes its facts into."""

MODULES = "engine_modules"
"""Recorded by a bake: names of what the engine's process had imported when it was warm."""

BASE_VARIABLE = "PREWARM_BASE_DIGEST"
COMMIT_VARIABLE = "PREWARM_MODEL_COMMIT"


@dataclasses.dataclass(kw_only=True)
class CompileCache:
    """What this start knows of its cache."""

    kept: Kept | None
    """None while it is baked: whatever is compiled is new."""
    places: cache_copy.Places
    facts: Path | None
    """Where `bake` waits for the facts; None where nobody bakes."""
    copying: Copying | None
    key: Key = dataclasses.field(default_factory=dict)
    recorded: Key = dataclasses.field(default_factory=dict)
    reasons: list[str] = dataclasses.field(default_factory=list)
    """Why a HIT is not expected."""
    modules: list[str] = dataclasses.field(default_factory=list)
    """What the engine's process has imported, asked for while it is baked."""
    harmless: list[str] = dataclasses.field(default_factory=list)
    """What differs, and is in no key of this release."""
    eager: bool = False
    """Whether nothing is compiled, and so no graph is used."""
    before: cache_copy.Snapshot = dataclasses.field(default_factory=dict)


def find(environ: MutableMapping[str, str], extra: Sequence[str]) -> tuple[Kept | None, list[str]]:
    """Find the image's cache, and take what was set for its bake where nothing else is set.

    Returns:
        The cache, None where there is none, and the arguments after the image's name.
    """
    kept = kept_cache.find(environ)
    if kept is None:
        return None, list(extra)
    for name, text in kept.settings.items():
        if not environ.get(name):
            environ[name] = text
    bytecode.use(kept, environ)
    return kept, list(extra or kept.arguments)


def begin(kept: Kept | None, environ: MutableMapping[str, str]) -> CompileCache | None:
    """Begin to copy the cache, and lead its users to the copy; None where nobody needs one."""
    facts = environ.pop(FACTS_VARIABLE, "")
    if kept is None and not facts:
        return None
    places = cache_copy.lead(environ)
    return CompileCache(
        kept=kept,
        places=places,
        facts=Path(facts) if facts else None,
        copying=Copying(kept, places) if kept else None,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """What decides a start's key, beside the release itself."""

    settings: Settings
    parsed: Namespace
    release: str
    number: Version
    dtype: str
    gpu: Gpu | None
    environ: Mapping[str, str]


def expect(cache: CompileCache, start: Start) -> None:
    """Say before the engine starts whether the cache will be hit, with a reason per difference."""
    cache.key = _key(start)
    cache.recorded = {
        "driver": start.gpu.driver if start.gpu else None,
        "model_commit": start.environ.get(COMMIT_VARIABLE) or None,
    }
    cache.eager = start.settings.compile_level == 0 or release_cache.eager(start.parsed)
    if cache.kept and cache.copying:
        lost = cache.copying.wait()
        ignored = release_cache.harmless(
            start.number, level=start.settings.compile_level, cpu=start.gpu is None
        )
        cache.reasons = [cache.kept.problem] if cache.kept.problem else []
        cache.reasons += differences(cache.kept.key, cache.key, leave=ignored) + lost
        cache.harmless = differences(cache.kept.key, cache.key, only=ignored)
        signals.say(f"prewarm: compile cache: {_expected(cache)}")
    cache.before = cache_copy.snapshot(cache.places)


def _key(start: Start) -> dict[str, Any]:
    settings = start.settings
    return {
        "vllm": start.release,
        "torch": device.torch_version(),
        "cuda": device.torch_cuda(),
        "device": start.gpu.name if start.gpu else device.cpu_name(device.cpuinfo()),
        "base_digest": start.environ.get(BASE_VARIABLE, ""),
        "model_path": str(settings.model_path),
        "model_config": kept_cache.sha256(settings.model_path / "config.json"),
        "dtype": start.dtype,
        "compile_level": settings.compile_level,
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.max_num_seqs,
        "arguments": release_cache.asked(release_cache.arguments, start.parsed, start.number),
        "variables": release_cache.asked(release_cache.variables),
    }


def _expected(cache: CompileCache) -> str:
    if cache.eager:
        return "not used: without compilation there are no graphs"
    if cache.reasons:
        return f"MISS expected because {', '.join(cache.reasons)}"
    but = f", although {', '.join(cache.harmless)}: in no key here" if cache.harmless else ""
    return f"HIT expected{but}"


def conclude(cache: CompileCache, state: Any, report: Report) -> None:
    """Judge the start that is over by what it wrote, and put it into the report."""
    begun = time.perf_counter()
    paths = cache_verdict.written(cache.before, cache_copy.snapshot(cache.places))
    reasons = [*cache.reasons]
    if cache.kept:
        paths = cache_copy.changed(cache.kept, cache.places, paths)
        reasons += cache_factors.differences(cache.kept, cache.places, paths)
    compiled = sum(moment["ended"] in release_cache.COMPILED for moment in report.engine)
    verdict = cache_verdict.judge(paths, reasons, compiled=compiled)
    used = cache.kept is not None and not cache.eager
    report.compile_cache = {
        "verdict": str(verdict.word) if used else None,
        "reasons": list(verdict.reasons),
        "harmless": cache.harmless,
        "written": dict(verdict.written),
        "judged_s": round(time.perf_counter() - begun, 4),
    }
    if used:
        signals.say(f"prewarm: {verdict}")
    if cache.facts:
        _write_facts(cache.facts, cache, paths, state, report)


def _write_facts(
    file: Path, cache: CompileCache, paths: Sequence[str], state: Any, report: Report
) -> None:
    """Tell `bake` what it keeps beside the files."""
    told = report.as_dict()
    facts = {
        "key": {**cache.key, "max_model_len": release_cache.max_model_len(state)},
        "recorded": {
            **cache.recorded,
            "kv_cache": release_cache.kv_cache(state),
            MODULES: cache.modules,
        },
        "verdict": told["compile_cache"],
        "written": list(paths),
    }
    part = file.with_suffix(".part")
    part.write_text(json.dumps(facts))
    part.rename(file)
