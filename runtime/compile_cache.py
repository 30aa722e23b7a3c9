"""The compile cache of one start: copied, compared, and judged afterwards by what was written."""

import dataclasses
import importlib.metadata
import json
import time
from argparse import Namespace
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from runtime import cache_copy, cache_verdict, device, kept_cache, signals, vllm_cache
from runtime.cache_copy import Copying
from runtime.cache_key import Key, differences
from runtime.device import Gpu
from runtime.kept_cache import Kept
from runtime.report import Report
from runtime.settings import Settings
from runtime.spare import Spare

FACTS_VARIABLE = "PREWARM_BAKE_FACTS"
"""Set by `bake`: the file that a warm start writes its facts into."""

MODULES = "engine_modules"
"""Recorded by a bake: names of what the engine's process had imported when it was warm."""


@dataclasses.dataclass(kw_only=True)
class CompileCache:
    """What this start knows of its cache."""

    kept: Kept | None
    places: cache_copy.Places
    facts: Path | None
    copying: Copying | None = None
    spare: Spare | None = None
    """What becomes the engine's process, where we begin it."""
    key: Key = dataclasses.field(default_factory=dict)
    reasons: list[str] = dataclasses.field(default_factory=list)
    """Why a HIT is not expected."""
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


def expect(
    cache: CompileCache,
    parsed: Namespace,
    settings: Settings,
    *,
    release: str,
    dtype: str,
    gpu: Gpu | None,
    environ: Mapping[str, str],
) -> None:
    """Say before the engine starts whether the cache will be used, with a reason per difference."""
    cache.key = {
        "vllm": release,
        "torch": importlib.metadata.version("torch"),
        "cuda": device.torch_cuda(),
        "device": gpu.name if gpu else "cpu",
        "base_digest": environ.get("PREWARM_BASE_DIGEST", ""),
        "model_path": str(settings.model_path),
        "model_config": kept_cache.sha256(settings.model_path / "config.json"),
        "dtype": dtype,
        "compile_level": settings.compile_level,
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.max_num_seqs,
        "arguments": vllm_cache.arguments(parsed),
        "variables": vllm_cache.variables(),
    }
    if cache.kept and cache.copying:
        problems = [cache.kept.problem] if cache.kept.problem else []
        cache.reasons = problems + differences(cache.kept.key, cache.key) + cache.copying.wait()
        expected = f"MISS because {', '.join(cache.reasons)}" if cache.reasons else "HIT expected"
        signals.say(f"prewarm: compile cache: {expected}")
    cache.before = cache_copy.snapshot(cache.places)


def conclude(cache: CompileCache, state: Any, report: Report) -> None:
    """Judge the start that is over by what it wrote, and put it into the report."""
    begun = time.perf_counter()
    paths = cache_verdict.written(cache.before, cache_copy.snapshot(cache.places))
    verdict = cache_verdict.judge(paths, cache.reasons)
    report.compile_cache = {
        "verdict": str(verdict.word) if cache.kept else None,
        "reasons": list(verdict.reasons),
        "written": dict(verdict.written),
        "judged_s": round(time.perf_counter() - begun, 4),
    }
    if cache.kept:
        signals.say(f"prewarm: {verdict}")
    if cache.facts:
        _write_facts(cache, paths, state, report)


def _write_facts(cache: CompileCache, paths: Sequence[str], state: Any, report: Report) -> None:
    """Tell `bake` what it keeps beside the files."""
    told = report.as_dict()
    facts = {
        "key": {**cache.key, "max_model_len": vllm_cache.max_model_len(state)},
        "kv_cache": vllm_cache.kv_cache(state),
        "verdict": told["compile_cache"],
        "written": list(paths),
        "report": told,
        MODULES: cache.spare.imported() if cache.spare else [],
    }
    assert cache.facts is not None  # noqa: S101 - the caller has asked
    part = cache.facts.with_suffix(".part")
    part.write_text(json.dumps(facts))
    part.rename(cache.facts)
