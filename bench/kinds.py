"""The kinds of request that a bench sends, with texts and a schema that are in no warm-up plan."""

import random
from collections.abc import Callable
from typing import Any

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"

Body = dict[str, Any]
Kind = tuple[str, Callable[[], Body]]
"""A path, and the writer of one request's body; every body differs."""


def text(chance: random.Random, words: int) -> str:
    """Write words that no plan holds."""
    return " ".join(f"{chance.randrange(16**6):x}" for _ in range(words))


def tokens(chance: random.Random, count: int) -> list[int]:
    """Write a prompt of exactly `count` tokens, of ids that every vocabulary has."""
    return [chance.randrange(50, 250) for _ in range(count)]


def schema(chance: random.Random) -> Body:
    """Write one schema for all requests of a start, with names that no plan holds."""
    name = f"field_{chance.randrange(10**6)}"
    properties = {name: {"type": "boolean"}, "kind": {"enum": ["a", "b"]}}
    inner = {"type": "object", "properties": properties, "required": [name], "maxProperties": 2}
    return {"type": "json_schema", "json_schema": {"name": "bench", "schema": inner}}


def kinds(chance: random.Random) -> dict[str, Kind]:
    """Return what users ask for: kind -> path and writer."""
    fixed = schema(chance)

    def plain(words: int, **more: object) -> Body:
        return {"prompt": text(chance, words), "ignore_eos": True, "max_tokens": 8, **more}

    def chat(**more: object) -> Body:
        message = {"role": "user", "content": text(chance, 4)}
        return {"messages": [message], "max_tokens": 8, **more}

    return {
        "short prompt": (COMPLETIONS, lambda: plain(4)),
        "long prompt": (COMPLETIONS, lambda: plain(100)),
        "chat": (CHAT, chat),
        "streamed chat": (CHAT, lambda: chat(stream=True)),
        "sampling with logprobs": (
            COMPLETIONS,
            lambda: plain(4, logprobs=4, temperature=0.9, top_k=10, seed=3),
        ),
        "chat with logprobs": (CHAT, lambda: chat(logprobs=True, top_logprobs=3)),
        "JSON schema": (CHAT, lambda: chat(response_format=fixed, temperature=0)),
    }


def prompt(chance: random.Random, length: int, answer: int = 1) -> Body:
    """Write a completion of `length` prompt tokens and exactly `answer` answer tokens."""
    body: Body = {"prompt": tokens(chance, length), "max_tokens": answer}
    return body | {"ignore_eos": True, "temperature": 0}
