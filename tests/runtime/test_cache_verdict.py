"""The verdict follows from what a start wrote, whatever was expected."""

import pytest

from runtime import cache_verdict
from runtime.cache_verdict import Word, judge
from tests.runtime import kept as caches

OTHER = "vllm/modelinfos/model.json"


@pytest.mark.parametrize(
    ("paths", "word", "told"),
    [
        ([], Word.HIT, ()),
        ([OTHER], Word.HIT, ()),
        ([caches.KERNEL], Word.PARTIAL, ("1 Triton files were written",)),
        ([caches.BUILT], Word.PARTIAL, ("1 FlashInfer files were written",)),
        ([caches.GRAPH], Word.MISS, ("1 graph files were written",)),
        ([caches.INDUCTOR], Word.MISS, ("1 graph files were written",)),
        (
            [caches.GRAPH, caches.KERNEL, caches.KERNEL],
            Word.MISS,
            ("2 Triton files were written", "1 graph files were written"),
        ),
        (
            ["vllm/torch_compile_cache/0a/triton_cache/K/k.cubin"],
            Word.PARTIAL,
            ("1 Triton files were written",),
        ),
    ],
)
def test_nothing_is_a_hit_kernels_are_partial_graphs_are_a_miss(
    paths: list[str], word: Word, told: tuple[str, ...]
) -> None:
    """Other files, such as what is known of a model's class, say nothing."""
    verdict = judge(paths, [])

    assert verdict.word is word
    assert set(verdict.reasons) == set(told)


def test_a_hit_has_no_reasons_even_where_a_miss_was_expected() -> None:
    """What was written decides."""
    assert judge([], ["max_model_len 1 != 2"]).reasons == ()


def test_reasons_known_before_come_first() -> None:
    """The log line says what differs, then what it cost."""
    verdict = judge([caches.GRAPH], ["dtype float32 != bfloat16"])

    assert str(verdict) == (
        "compile cache: MISS because dtype float32 != bfloat16, 1 graph files were written"
    )
    assert str(judge([], [])) == "compile cache: HIT"


def test_graphs_that_were_not_kept_are_a_miss() -> None:
    """With its cache switched off, or on a full disk, the engine writes nothing it compiles."""
    verdict = judge([], [], compiled=3)

    assert verdict.word is Word.MISS
    assert verdict.reasons == ("3 graphs were compiled and not kept",)


def test_new_and_changed_files_count_and_locks_do_not() -> None:
    """A lock file is taken at each start, whatever is compiled."""
    before = {"triton/a/k": (1, 1), "triton/b/k": (1, 1)}
    after = {
        "triton/a/k": (1, 1),
        "triton/b/k": (1, 2),
        "triton/c/k": (1, 3),
        "inductor/locks/x": (0, 3),
        "inductor/x.lock": (0, 3),
    }

    assert cache_verdict.written(before, after) == ["triton/b/k", "triton/c/k"]
