"""The caches that a bench's starts begin with."""

from pathlib import Path

import pytest

from bench.rig import Rig
from bench.variant import BUILT_IN, Served, parse


def _rig(work: Path, baked: Path | None = None) -> Rig:
    served = Served(
        python="python3",
        home=work / "home",
        code=work,
        path=(),
        baked=baked,
        max_model_len=4096,
        dtype="bfloat16",
        gpu_memory_utilization="",
    )
    return Rig(variants=(), served=served, work=work, facts={})


def _left(folder: Path, name: str) -> None:
    folder.mkdir(parents=True)
    (folder / name).touch()


def test_an_empty_cache_is_emptied_before_each_start(tmp_path: Path) -> None:
    """What a start left is gone before the next."""
    rig, variant = _rig(tmp_path), BUILT_IN["stock-empty"]
    _left(rig.cache(variant), "graph")

    must_fill = rig.prepare(variant)

    assert not must_fill
    assert list(rig.cache(variant).iterdir()) == []


def test_a_kept_cache_begins_with_what_its_seed_left(tmp_path: Path) -> None:
    """A copy: the seed's own start empties the folder that it was made of."""
    rig = _rig(tmp_path)
    _left(rig.cache(BUILT_IN["stock-empty"]), "graph")

    must_fill = rig.prepare(BUILT_IN["stock-kept"])

    assert not must_fill
    assert (rig.cache(BUILT_IN["stock-kept"]) / "graph").exists()


def test_a_kept_cache_without_a_seed_is_filled_by_a_start_of_its_own(tmp_path: Path) -> None:
    """Whoever measures starts it once uncounted; afterwards it is kept."""
    rig, variant = _rig(tmp_path), BUILT_IN["stock-kept"]

    assert rig.prepare(variant)
    assert not rig.prepare(variant)


@pytest.mark.parametrize("parts", [("vllm",), ("vllm", "triton"), ("vllm", "inductor", "triton")])
def test_stock_with_our_flags_begins_with_the_baked_cache(
    tmp_path: Path, parts: tuple[str, ...]
) -> None:
    """Where stock looks for it: vLLM's files at the top, the others beside them."""
    for part in parts:
        _left(tmp_path / "baked" / part, f"of {part}")
    rig, variant = _rig(tmp_path, tmp_path / "baked"), BUILT_IN["stock-at-level-1"]

    must_fill = rig.prepare(variant)

    assert not must_fill
    assert (rig.cache(variant) / "of vllm").exists()
    for part in parts[1:]:
        assert (rig.cache(variant) / part / f"of {part}").exists()


def test_a_variant_is_spelled_by_its_base_and_what_it_adds() -> None:
    """NAME=BASE KEY=VALUE -- ARGUMENT."""
    variant = parse("mine=ours-kept A=1 -- --seed 3", BUILT_IN)

    assert (variant.name, variant.cache, variant.seed) == ("mine", "kept", "ours-empty")
    assert variant.environ == {"A": "1"}
    assert variant.arguments == ("--seed", "3")
