"""How many sequences a request asks for, judged before vLLM sees it.

vLLM before 0.19 lets one request ask for any number (CVE-2026-34756), and none bounds the number
of prompts. Pydantic turns "10000", 1e4 and 10000.0 into the integer, so each spelling counts.
"""

import json
import math
from typing import Any

_COUNTS = ("n", "best_of")


def sequences(body: bytes) -> float:
    """Return how many sequences a JSON body asks for: prompts x the larger of `n` and `best_of`.

    Anything that vLLM itself will refuse counts as one: no JSON, no object, no number.
    Infinity stands for a number too large to read.
    """
    try:
        request = json.loads(body)
    except RecursionError:
        return math.inf
    except ValueError:
        return 1
    if not isinstance(request, dict):
        return 1
    most = max(_number(request.get(name)) for name in _COUNTS)
    return max(most, 1) * _prompts(request)


def _number(value: Any) -> float:
    if isinstance(value, str):
        value = value.strip().replace("_", "")
    elif not isinstance(value, int | float):
        return 1
    try:
        number = float(value)
    except OverflowError:
        return math.inf
    except ValueError:
        return 1
    return math.inf if math.isnan(number) else number


def _prompts(request: dict[str, Any]) -> int:
    """Count the prompts: a list of texts or of token lists; a list of tokens is one prompt."""
    lists = [request.get(name) for name in ("prompt", "prompt_embeds")]
    counts = [
        sum(not isinstance(prompt, int | float) for prompt in prompts)
        for prompts in lists
        if isinstance(prompts, list)
    ]
    return max([*counts, 1])
