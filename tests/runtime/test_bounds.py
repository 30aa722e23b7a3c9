"""How many sequences a request asks for."""

import json
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
        (b'{"prompt": ["a"], "prompt_embeds": ["b", "c"]}', 3),
        (b'{"prompt": []}', 1),
        (b'{"n": null}', 1),
        (b'{"n": "many"}', 1),
        (b'{"n": [5]}', 1),
    ],
)
def test_every_spelling_counts(body: bytes, expected: float) -> None:
    """What vLLM would read as a number counts; what it would refuse counts as one."""
    assert bounds.sequences(json.loads(body)) == expected


@pytest.mark.parametrize("body", [b"[1, 2]", b"no json", b"", b"\xff\xfe", b'"text"'])
def test_what_vllm_refuses_itself_passes(body: bytes) -> None:
    """No JSON and no object ask for nothing."""
    assert bounds.why_refused(body, most=1, templates=False) is None


def test_too_much_is_refused_with_the_setting_to_change() -> None:
    """The message says what was asked for and what is allowed."""
    why = bounds.why_refused(b'{"prompt": ["a", "b"], "n": 4}', most=7, templates=False)

    assert why == "prompts x n asks for 8 sequences, at most 7 (MAX_N)"
    assert bounds.why_refused(b'{"n": 7}', most=7, templates=False) is None


def test_deep_nesting_is_refused() -> None:
    """A parser that recurses is not given 100,000 levels."""
    assert bounds.why_refused(b"[" * 100_000, most=7, templates=False)


@pytest.mark.parametrize(
    "body",
    [
        b'{"chat_template": "{{ 1 }}"}',
        b'{"chat_template_kwargs": {"chat_template": "{{ 1 }}"}}',
    ],
)
def test_a_chat_template_in_a_request_is_refused(body: bytes) -> None:
    """Jinja is a program; 0.9.0 runs any that a request brings (CVE-2025-61620)."""
    assert bounds.why_refused(body, most=7, templates=False)
    assert bounds.why_refused(body, most=7, templates=True) is None


def test_other_template_options_pass() -> None:
    """enable_thinking and the like are data."""
    body = b'{"chat_template_kwargs": {"enable_thinking": false}, "chat_template": null}'

    assert bounds.why_refused(body, most=7, templates=False) is None


@given(st.binary())
def test_no_body_breaks_the_judgement(body: bytes) -> None:
    """Any bytes are judged, and bytes that are no object are never refused for what they ask."""
    why = bounds.why_refused(body, most=1, templates=False)

    assert why is None or body.lstrip().startswith(b"{")
