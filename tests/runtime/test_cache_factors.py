"""Why a graph was compiled: its factors against those of the nearest kept graph."""

import json
from pathlib import Path
from typing import Any

import pytest

from runtime import cache_factors
from tests.runtime import kept as caches

OLD: dict[str, Any] = {"env": {"A": 1, "B": 2}, "config_hash": "c", "code_hash": "d"}
FAR = {"env": {"A": 9, "B": 9}, "config_hash": "z", "code_hash": "z"}


def written(folder: Path, factors: object) -> list[str]:
    """Lay down what a start's engine has written of its graph, and name it."""
    path = "torch_compile_cache/new/cache_key_factors.json"
    (folder / path).parent.mkdir(parents=True)
    (folder / path).write_text(json.dumps(factors))
    return [f"vllm/{path}", caches.KERNEL]


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (OLD, []),
        ({**OLD, "env": {"A": 1, "B": 3}}, ["B differs"]),
        ({**OLD, "env": {"A": 1}}, ["B differs"]),
        ({**OLD, "config_hash": "e", "code_hash": "f"}, ["code_hash", "config_hash"]),
        ([], []),
        ({"env": None}, ["A differs", "B differs", "code_hash", "config_hash"]),
    ],
)
def test_the_nearest_kept_graph_is_compared(tmp_path: Path, new: object, told: list[str]) -> None:
    """Each factor that differs is named, in vLLM's own words."""
    files = {
        f"vllm/torch_compile_cache/{name}/cache_key_factors.json": json.dumps(factors).encode()
        for name, factors in (("a", FAR), ("b", OLD))
    }
    kept = caches.make(tmp_path / "kept", files)
    places = {"vllm": tmp_path / "vllm", "triton": tmp_path / "triton"}

    found = cache_factors.differences(kept, places, written(places["vllm"], new))

    wanted = [t if t.endswith("differs") else f"vLLM's {t} differs" for t in told]
    assert found == wanted


def test_without_kept_factors_there_is_nothing_to_say(tmp_path: Path) -> None:
    """Up to 0.11.2 no release writes them; and what cannot be read says nothing."""
    places = {"vllm": tmp_path / "vllm", "triton": tmp_path / "triton"}
    paths = written(places["vllm"], OLD)
    bad = caches.make(tmp_path / "bad", {"vllm/x/cache_key_factors.json": b"{"})

    assert cache_factors.differences(caches.make(tmp_path / "kept"), places, paths) == []
    assert cache_factors.differences(bad, places, paths) == []
