"""A file is divided into parts that cover it once."""

from hypothesis import given
from hypothesis import strategies as st

from stages.ranges import frontier, split


@given(size=st.integers(0, 10_000), part=st.integers(1, 999))
def test_parts_cover_a_file_once(size: int, part: int) -> None:
    """Each byte is in exactly one part, and no part is empty or too long."""
    parts = split(size, part=part)

    assert [byte for one in parts for byte in (one.start, one.end)] == [
        byte for start in range(0, size, part) for byte in (start, min(start + part, size))
    ]
    assert all(0 < one.size <= part for one in parts)
    assert [one.index for one in parts] == list(range(len(parts)))


@given(st.data())
def test_frontier_is_the_first_gap(data: st.DataObject) -> None:
    """All bytes before the frontier are there, and the one at it is not."""
    parts = split(data.draw(st.integers(0, 300)), part=10)
    done = [data.draw(st.integers(0, one.size)) for one in parts]
    there = {one.start + n for one, count in zip(parts, done, strict=True) for n in range(count)}

    edge = frontier(parts, done)

    assert set(range(edge)) <= there
    assert edge not in there
