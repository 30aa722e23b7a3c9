"""Why a graph was compiled, in the release's own words.

From 0.12.0 on vLLM writes beside each graph which factors its key was made of. Where a start has
compiled one, its factors are held against those of the kept graph that is nearest to it.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runtime.cache_copy import Places
from runtime.kept_cache import Kept
from runtime.vllm_cache import FACTORS

Factors = Mapping[str, Any]
"""{"env": {variable -> value}, "config_hash": text, "code_hash": text, "compiler_hash": text}."""


def differences(kept: Kept, places: Places, written: Iterable[str]) -> list[str]:
    """Name each factor in which a written graph differs from the nearest kept one."""
    old = [found for file in kept.files if (found := _read(kept.folder / file.path)) is not None]
    told: list[str] = []
    for path in written:
        kind, _, rest = path.partition("/")
        new = _read(places[kind] / rest)
        if new is not None and old:
            nearest: list[str] = min((_compare(one, new) for one in old), key=len)
            told += nearest
    return sorted(set(told))


def _read(file: Path) -> Factors | None:
    if file.name != FACTORS:
        return None
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _compare(old: Factors, new: Factors) -> list[str]:
    first, now = _flat(old), _flat(new)
    return [f"{name} differs" for name in sorted(first | now) if first.get(name) != now.get(name)]


def _flat(factors: Factors) -> dict[str, Any]:
    env = factors.get("env")
    rest = {f"vLLM's {name}": value for name, value in factors.items() if name != "env"}
    return {**(env if isinstance(env, dict) else {}), **rest}
