"""Calls of the module's functions, made as the engine makes them: state and arguments as JSON."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dagger
import pytest
from anyio.from_thread import start_blocking_portal

from prewarm import Prewarm
from prewarm.level import Level
from tests.prewarm.recipe import Recipe
from tests.prewarm.session import Asked, Session
from tests.support.server import ROOT

NAME = "Prewarm"


@dataclass(frozen=True)
class Argument:
    """An argument as it was registered: its name in the API -> what was said of it."""

    name: str
    said: Mapping[str, Any]

    @property
    def required(self) -> bool:
        """Whether a caller must give it."""
        kind: Recipe = self.said["typeDef"]
        known = self.said.get("defaultValue") or self.default_path
        return not known and not kind.calls("withOptional")

    @property
    def default_path(self) -> str | None:
        """The file or folder of the repository that it is without a caller's word."""
        return self.said.get("defaultPath")

    @property
    def kind(self) -> str:
        """The object's type, for an argument that is one."""
        found: Recipe = self.said["typeDef"]
        return str(found.calls("withObject")[0].args["name"])

    @property
    def is_switch(self) -> bool:
        """Whether its flag needs no value."""
        found: Recipe = self.said["typeDef"]
        return any(call.args["kind"] == "BOOLEAN_KIND" for call in found.calls("withKind"))

    @property
    def choices(self) -> set[str]:
        """What it can be, as a user writes it; empty for one that can be anything."""
        found: Recipe = self.said["typeDef"]
        return {member.name.lower() for member in Level} if found.calls("withEnum") else set()


@dataclass(frozen=True)
class Function:
    """A function as it was registered; the constructor's name is empty."""

    recipe: Recipe

    @property
    def name(self) -> str:
        """The name in the API."""
        return str(self.recipe.chain()[0].args["name"])

    @property
    def arguments(self) -> dict[str, Argument]:
        """Its arguments: name -> what was said of it."""
        said = (call.args for call in self.recipe.calls("withArg"))
        return {one["name"]: Argument(one["name"], one) for one in said}

    @property
    def description(self) -> str:
        """What a user reads of it."""
        found = self.recipe.calls("withDescription")
        return str(found[-1].args["description"]) if found else ""

    @property
    def policy(self) -> str | None:
        """How long its result is kept; None as Dagger does by itself."""
        found = self.recipe.calls("withCachePolicy")
        return str(found[-1].args["policy"]) if found else None

    @property
    def returns(self) -> str:
        """The type of the object that it gives; empty where it gives none."""
        found: Recipe = self.recipe.chain()[0].args["returnType"]
        objects = found.calls("withObject")
        return str(objects[0].args["name"]) if objects else ""

    @property
    def is_check(self) -> bool:
        """Whether `dagger check` runs it."""
        return bool(self.recipe.calls("withCheck"))


class Module:
    """The module behind a session that a test looks into."""

    def __init__(self, session: Session) -> None:
        """Forget what another test asked."""
        self.session = session
        self.asked = session.asked = Asked()
        self.outside: dict[str, Any] = {}

    def given(self, **arguments: Any) -> "Module":
        """Set arguments of the constructor, names as in Python."""
        self.outside |= arguments
        return self

    def bring(self, kind: str, name: str, given: Path | str | None = None) -> str:
        """Bring in an object of the caller's; see `Session.bring`."""
        return self.session.bring(kind, name, given)

    def call(self, name: str, **arguments: Any) -> Any:
        """Call a function as `dagger call` does, and give its result as JSON."""
        constructor, functions = registered(self.session)
        outside = self._defaults(constructor) | self.outside
        inside = self._defaults(functions[name]) | arguments

        async def ask() -> Any:
            module = Prewarm.__dagger_module__  # type: ignore[attr-defined]
            state = await module.get_result(NAME, {}, "", outside)
            return await module.get_result(NAME, state, name, inside)

        return self.session.run(ask)

    def call_for(self, name: str, **arguments: Any) -> Recipe:
        """Call a function that gives an object."""
        return self.session.find(self.call(name, **arguments))

    def refused(self, name: str, **arguments: Any) -> str:
        """Call a function that must fail, and give the message of the one error users see."""
        from prewarm.errors import FunctionError  # noqa: PLC0415 - what it is, is under test

        with pytest.raises(FunctionError) as caught:
            self.call(name, **arguments)
        return str(caught.value)

    def _defaults(self, function: Function) -> dict[str, str]:
        """Load what has a path in the repository as its default, as the engine does."""
        return {
            name: self.bring(one.kind, f"default {path}", ROOT / path.lstrip("/"))
            for name, one in function.arguments.items()
            if (path := one.default_path)
        }


@contextmanager
def connected(session: Session) -> Iterator[None]:
    """Connect the client once, in an event loop of its own; each call is made there."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[None]:
        async with await dagger.connect():
            yield

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(connect()):
        session.run = portal.call
        yield


@cache
def registered(session: Session) -> tuple[Function, dict[str, Function]]:
    """Register the module, and give its constructor and its functions by name."""
    described = module_recipe(session)
    (main,) = [call.args["object"] for call in described.calls("withObject")]
    constructor = Function(main.calls("withConstructor")[0].args["function"])
    functions = [Function(call.args["function"]) for call in main.calls("withFunction")]
    return constructor, {one.name: one for one in functions}


@cache
def module_recipe(session: Session) -> Recipe:
    """Register the module, and give all that was said of it. Types are made once a process."""

    async def register() -> str:
        module = Prewarm.__dagger_module__  # type: ignore[attr-defined]
        return str(await module._typedefs())  # noqa: SLF001 (as its command line does)

    found = session.find(session.run(register))
    assert session.problems == []
    return found
