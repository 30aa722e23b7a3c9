"""What a compile cache was made under, and how a start differs from it."""

from collections.abc import Iterable, Mapping
from typing import Any

Key = Mapping[str, Any]
"""Fact -> text or number; "arguments" and "variables" hold a mapping of their own."""


def differences(baked: Key, now: Key, *, harmless: Iterable[str] = ()) -> list[str]:
    """Name each fact that differs, as `max_model_len 8192 != 4096`: this start's value first.

    A fact that one of both does not know is not compared.

    Args:
        baked: the cache's key.
        now: this start's.
        harmless: facts that are in no key of this release.
    """
    found = []
    for fact in sorted(baked.keys() & now.keys() - set(harmless)):
        mine, theirs = now[fact], baked[fact]
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            found += _inner(theirs, mine)
        elif mine != theirs and mine not in {None, ""} and theirs not in {None, ""}:
            found.append(f"{fact} {mine} != {theirs}")
        elif mine != theirs and fact not in _MAY_BE_UNKNOWN:
            found.append(f"{fact} {_shown(mine)} != {_shown(theirs)}")
    return found


_MAY_BE_UNKNOWN = frozenset({"base_digest"})


def _inner(baked: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [
        f"{name} {_shown(now.get(name))} != {_shown(baked.get(name))}"
        for name in sorted(baked.keys() | now.keys())
        if now.get(name) != baked.get(name)
    ]


def _shown(value: object) -> str:
    return "unset" if value in {None, ""} else str(value)
