"""What a compile cache was made under, and how a start differs from it."""

from collections.abc import Collection, Mapping
from typing import Any

from runtime.report import redacted

Key = Mapping[str, Any]
"""Fact -> text or number; "arguments" and "variables" hold a mapping, None if it is unknown."""

_MAY_BE_UNKNOWN = frozenset({"base_digest"})


def differences(
    baked: Key, now: Key, *, leave: Collection[str] = (), only: Collection[str] | None = None
) -> list[str]:
    """Name each fact that differs, as `max_model_len 8192 != 4096`: this start's value first.

    Args:
        baked: the cache's key.
        now: this start's.
        leave: facts that are left out.
        only: the facts that are compared; None is every one.
    """
    found = []
    for fact in sorted(baked.keys() & now.keys() - set(leave)):
        if only is not None and fact not in only:
            continue
        mine, theirs = now[fact], baked[fact]
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            names = sorted(mine.keys() | theirs.keys())
            found += [_told(name, mine.get(name), theirs.get(name)) for name in names]
        elif isinstance(mine, Mapping) or isinstance(theirs, Mapping):
            found.append(f"{fact} cannot be compared")
        elif fact not in _MAY_BE_UNKNOWN or (mine and theirs):
            found.append(_told(fact, mine, theirs))
    return [told for told in found if told]


def _told(name: str, mine: object, theirs: object) -> str:
    """Say how a fact differs, without what may be a secret; "" where it does not."""
    if mine == theirs:
        return ""
    shown, other = (redacted([f"--{name}={_shown(value)}"])[0] for value in (mine, theirs))
    return f"{name} {shown.partition('=')[2]} != {other.partition('=')[2]}"


def _shown(value: object) -> str:
    return "unset" if value in {None, ""} else str(value)
