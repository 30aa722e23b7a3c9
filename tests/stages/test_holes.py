"""Which known holes a base has, and which stay open."""

import pytest

from stages.holes import HOLES, holes


@pytest.mark.parametrize(
    ("version", "count", "still_open"),
    [
        ("0.9.0", len(HOLES), 2),
        ("0.10.1", len(HOLES), 2),
        ("0.10.1.1", len(HOLES) - 1, 2),
        ("0.11.1", 3, 1),
        ("0.14.1", 2, 0),
        ("0.19.0", 1, 0),
        ("0.22.0", 0, 0),
        ("0.33.0", 0, 0),
    ],
)
def test_a_hole_is_told_of_each_release_that_has_it(
    version: str, count: int, still_open: int
) -> None:
    """Up to the release that fixed it, those that stay open first."""
    found = holes(version)

    assert len(found) == count
    assert [hole.closed is None for hole in found] == [True] * still_open + [False] * (
        count - still_open
    )


def test_a_hole_says_what_closes_it_or_where_it_is_fixed() -> None:
    """One line each."""
    first, *_, last = [str(hole) for hole in holes("0.9.0")]

    assert first.endswith("multimodal model: open: fixed in vLLM 0.14.1")
    assert last == (
        "CVE-2025-48956, a huge header fills the memory: closed by the limit on a request's head"
    )
