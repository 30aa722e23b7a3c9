"""How many sequences a request asks for."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import bounds


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", 1),
        (b'{"n": 3}', 3),
        (b'{"n": 10000}', 10000),
        (b'{"n": "10000"}', 10000),
        (b'{"n": " 10_000 "}', 10000),
        (b'{"n": 1e4}', 10000),
        (b'{"n": 10000.0}', 10000),
        (b'{"n": 1e999}', math.inf),
        (b'{"n": NaN}', math.inf),
        (b'{"n": "inf"}', math.inf),
        (b'{"n": 1' + b"0" * 400 + b"}", math.inf),
        (b'{"n": 1, "n": 10000}', 10000),
        (b'{"best_of": 10000, "n": 1}', 10000),
        (b'{"prompt": ["a", "b", "c"]}', 3),
        (b'{"prompt": ["a", "b"], "n": 4}', 8),
        (b'{"prompt": [1, 2, 3]}', 1),
        (b'{"prompt": [[1, 2], [3]]}', 2),
        (b'{"prompt_embeds": ["a", "b"]}', 2),
        (b'{"prompt": "text"}', 1),
        (b'{"n": null}', 1),
        (b'{"n": "many"}', 1),
        (b'{"n": [5]}', 1),
        (b"[1, 2]", 1),
        (b"no json", 1),
        (b"", 1),
        (b"\xff\xfe", 1),
        (b"[" * 100_000, math.inf),
    ],
)
def test_every_spelling_counts(body: bytes, expected: float) -> None:
    """What vLLM would read as a number counts; what it would refuse counts as one."""
    assert bounds.sequences(body) == expected


@given(st.binary())
def test_no_body_breaks_the_count(body: bytes) -> None:
    """Any bytes give a number of at least one."""
    assert bounds.sequences(body) >= 1
