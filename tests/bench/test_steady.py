"""What servers that were asked in turns are said to be, side by side."""

import statistics

import pytest

from bench import steady

ASKED = ("chat", steady.ALONE)


def _rounds(variant: str, *, stock: bool, values: list[tuple[float, float]]) -> list[steady.Round]:
    facts = {"machine": "one", "device": "a GPU", "vllm": "0.25.1"}
    return [
        {
            "variant": variant,
            "stock": stock,
            "round": i,
            "steady": dict(zip(ASKED, value, strict=True)),
            **facts,
        }
        for i, value in enumerate(values)
    ]


def test_a_ratio_compares_answers_of_one_round() -> None:
    """A round in which the whole host was slow changes no ratio."""
    stock = _rounds("stock-kept", stock=True, values=[(10, 100), (40, 25), (10, 100)])
    ours = _rounds("ours", stock=False, values=[(11, 100), (44, 25), (11, 100)])

    lines = steady.table([*stock, *ours]).splitlines()

    assert "3 rounds" in lines[0]
    (chat,) = [line for line in lines if line.startswith("chat") and "(" in line]
    assert chat.split()[1:] == ["1.100", "(1.100", "to", "1.100)"]


def test_all_together_is_a_time() -> None:
    """Twice the time for one question, and half the speed in the other: twice the time."""
    stock = _rounds("stock-kept", stock=True, values=[(10, 100)] * 3)
    ours = _rounds("ours", stock=False, values=[(20, 50)] * 3)

    table = steady.table([*stock, *ours])

    (together,) = [line for line in table.splitlines() if line.startswith("all, as time")]
    assert together.split()[3] == "2.000"


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [(3, 0, 2), (21, 5, 15), (100, 39, 60)],  # ranks 6 and 16, 40 and 61: binomial tables
)
def test_the_interval_of_a_median(count: int, low: int, high: int) -> None:
    """By the sign test: order statistics, whatever the distribution."""
    values = [float(i) for i in range(count)]

    found = steady.interval(list(reversed(values)))

    assert found == (low, high)
    assert found[0] <= statistics.median(values) <= found[1]
