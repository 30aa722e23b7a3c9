"""What was asked of the session: each object is the calls that lead to it."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True, eq=False)
class Recipe:
    """One call, with those before it as its parent and those it was given as arguments.

    Attributes:
        kind: Name of the type that the call gives.
        given: What a test brings in: the file or folder, or a secret's text.
    """

    kind: str
    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    parent: "Recipe | None" = None
    given: Path | str | None = None

    @cached_property
    def id(self) -> str:
        """The same for the same calls."""
        told = {name: _told(value) for name, value in self.args.items()}
        before = self.parent.id if self.parent else ""
        text = json.dumps([before, self.kind, self.name, told, str(self.given)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def __eq__(self, other: object) -> bool:
        """Whether both are the same calls."""
        return isinstance(other, Recipe) and self.id == other.id

    def __hash__(self) -> int:
        """Fit equality."""
        return hash(self.id)

    def chain(self) -> list["Recipe"]:
        """List the calls from the first to this one."""
        return [*(self.parent.chain() if self.parent else []), self]

    def all(self, seen: set[str] | None = None) -> Iterator["Recipe"]:
        """Yield every call that this one depends on, those that come first before the others."""
        seen = set() if seen is None else seen
        for call in self.chain():
            if call.id not in seen:
                seen.add(call.id)
                for value in call.args.values():
                    for one in value if isinstance(value, list) else [value]:
                        if isinstance(one, Recipe):
                            yield from one.all(seen)
                yield call

    def calls(self, name: str) -> list["Recipe"]:
        """List the calls of a name in the chain."""
        return [call for call in self.chain() if call.name == name]


def _told(value: Any) -> Any:
    if isinstance(value, list):
        return [_told(one) for one in value]
    return value.id if isinstance(value, Recipe) else value
