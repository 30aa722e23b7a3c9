"""What a request's body asks for, judged before vLLM sees it.

vLLM before 0.19 lets one request ask for any number of sequences (CVE-2026-34756), and none bounds
the number of prompts. Pydantic turns "10000", 1e4 and 10000.0 into the integer, so each spelling
counts. Before 0.11 a request may bring a chat template, which is a program (CVE-2025-61620).
"""

import json
import math
from typing import Any

_COUNTS = ("n", "best_of")
_PROMPTS = ("prompt", "prompt_embeds")


def why_refused(body: bytes, *, most: int, templates: bool) -> str | None:
    """Return why a body is refused, or None.

    What vLLM itself refuses passes: no JSON, no object, no number.

    Args:
        body: the request's, JSON in any of its encodings.
        most: sequences that it may ask for.
        templates: whether it may bring a chat template.
    """
    try:
        request = json.loads(body)
    except RecursionError:
        return "the body is nested too deeply"
    except ValueError:
        return None
    if not isinstance(request, dict):
        return None
    if (asked := sequences(request)) > most:
        return f"prompts x n asks for {asked:g} sequences, at most {most} (MAX_N)"
    if not templates and _brings_template(request):
        return "a request may not bring its own chat_template to this server"
    return None


def sequences(request: dict[str, Any]) -> float:
    """Return the sequences asked for: prompts x the larger of `n` and `best_of`.

    Infinity stands for a number too large to read.
    """
    most = max(_number(request.get(name)) for name in _COUNTS)
    return max(most, 1) * max(sum(_prompts(request.get(name)) for name in _PROMPTS), 1)


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


def _prompts(value: Any) -> int:
    """Count a list of texts or of token lists; a text or a list of tokens is one prompt."""
    if value is None:
        return 0
    if not isinstance(value, list):
        return 1
    return sum(not isinstance(prompt, int | float) for prompt in value) or 1


def _brings_template(request: dict[str, Any]) -> bool:
    options = request.get("chat_template_kwargs")
    nested = options.get("chat_template") if isinstance(options, dict) else None
    return request.get("chat_template") is not None or nested is not None
