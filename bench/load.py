"""What a server is asked once it is open: each kind of request, lengths, decoding, a load."""

import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.kinds import COMPLETIONS, kinds, prompt

NEXT = 20
"""Requests of a kind after the first."""
LENGTHS = (16, 128, 512, 2048)
PROMPTS = 9
DECODED = 128
"""Tokens of the answers whose speed is measured, more than the 64 that short chats have."""
DECODES = 5
CLIENTS = 16
REQUESTS_A_CLIENT = 3

Ask = Callable[[str, dict[str, Any]], float]
"""Sends a body to a path and returns the seconds to the last byte of the answer."""


def measure(ask: Ask, *, seed: int, max_model_len: int, following: int = NEXT) -> dict[str, Any]:
    """Ask everything once; every time in seconds.

    Args:
        ask: how to ask.
        seed: gives the same texts for the same seed.
        max_model_len: lengths beyond it are left out.
        following: requests of each kind after the first.
    """
    chance = random.Random(f"after the port opens {seed}")
    found: dict[str, Any] = {"kinds": _kinds(ask, chance, following)}
    lengths = [length for length in LENGTHS if length < max_model_len]
    found["lengths"] = {
        str(length): statistics.median(
            ask(COMPLETIONS, prompt(chance, length)) for _ in range(PROMPTS)
        )
        for length in lengths
    }
    decodes = [ask(COMPLETIONS, prompt(chance, 16, DECODED)) for _ in range(DECODES)]
    found["decode_tokens_per_s"] = DECODED / statistics.median(decodes)
    found["load_tokens_per_s"] = together(ask, chance)
    return found


def _kinds(ask: Ask, chance: random.Random, following: int) -> dict[str, dict[str, float]]:
    found = {}
    for kind, (path, write) in kinds(chance).items():
        first, *rest = [ask(path, write()) for _ in range(1 + following)]
        found[kind] = {"first": first, "typical": statistics.median(rest)}
    return found


def together(ask: Ask, chance: random.Random, *, requests: int = REQUESTS_A_CLIENT) -> float:
    """Return the answer tokens a second of CLIENTS that each ask one request after another."""
    bodies = [[prompt(chance, 128, DECODED) for _ in range(requests)] for _ in range(CLIENTS)]

    def client(mine: list[dict[str, Any]]) -> None:
        for body in mine:
            ask(COMPLETIONS, body)

    begun = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, bodies))
    return CLIENTS * requests * DECODED / (time.perf_counter() - begun)
