"""The API's schema, read out of the client that dagger-io generates from it.

A method of the client says in its signature what it takes and gives, and in its body by which
name it asks; so the installed release is what every query is held against.
"""

import ast
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from dagger.client import base, gen
from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInt,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
)

Resolve = Callable[..., Any]
LoadId = Callable[[str, str], Any]
PLAIN = {"str": GraphQLString, "int": GraphQLInt, "bool": GraphQLBoolean, "float": GraphQLFloat}


@dataclass(frozen=True, kw_only=True)
class Method:
    """A field: its name, its arguments' annotations, and the annotation of what it gives.

    Attributes:
        args: Name in the API -> (annotation, whether it can be left out).
        syncs: Whether it gives the id of its own object.
    """

    name: str
    args: Mapping[str, tuple[ast.expr, bool]]
    returns: ast.expr
    syncs: bool


def build(resolve: Resolve, load: LoadId) -> GraphQLSchema:
    """Make the schema.

    Args:
        resolve: Answers every field.
        load: Gives what an id stands for, which must be of the kind that is named.
    """
    return _Builder(resolve, load).schema()


@cache
def methods() -> Mapping[str, tuple[Method, ...]]:
    """Read the client: name of a type -> its fields."""
    tree = ast.parse(inspect.getsource(gen))
    return {
        node.name: tuple(
            method
            for item in node.body
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
            and (method := _method(item))
        )
        for node in tree.body
        if isinstance(node, ast.ClassDef) and _is(node.name, base.Type)
    }


def kind_of(method: Method) -> str:
    """Name the type that a field gives."""
    return _read(method.returns)[0]


def _is(name: str, kind: type) -> bool:
    found = getattr(gen, name, None)
    return inspect.isclass(found) and issubclass(found, kind)


def _method(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Method | None:
    """Read a method; None for one that asks nothing."""
    asked = _asked(node)
    if asked is None or node.returns is None:
        return None
    taken = [*node.args.args, *node.args.kwonlyargs]
    annotations = {one.arg: one.annotation for one in taken if one.annotation}
    spared = {one.arg for one in node.args.kwonlyargs}
    args = {}
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Arg":
            name = call.args[0]
            used = {one.id for one in ast.walk(call.args[1]) if isinstance(one, ast.Name)}
            (parameter,) = used & set(annotations)
            assert isinstance(name, ast.Constant)
            args[str(name.value)] = (annotations[parameter], parameter in spared)
    return Method(name=asked[0], args=args, returns=node.returns, syncs=asked[1])


def _asked(node: ast.AST) -> tuple[str, bool] | None:
    """Find the field that a method selects, and whether it gives its own object's id."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            place = {"_select": 0, "execute_sync": 1}.get(call.func.attr)
            if place is not None and isinstance(call.args[place], ast.Constant):
                return str(call.args[place].value), call.func.attr == "execute_sync"  # type: ignore[attr-defined]
    return None


class _Builder:
    """Makes each type once."""

    def __init__(self, resolve: Resolve, load: LoadId) -> None:
        self.resolve, self.load = resolve, load
        self.named: dict[str, Any] = {}
        self.node = GraphQLInterfaceType(
            "Node",
            {"id": GraphQLField(GraphQLNonNull(GraphQLID))},
            resolve_type=lambda value, _info, _type: value.kind,
        )

    def schema(self) -> GraphQLSchema:
        types = [self._object(name) for name in methods() if not name.startswith("_")]
        return GraphQLSchema(query=self._object("Query"), types=types)

    def _object(self, name: str) -> GraphQLObjectType:
        if name not in self.named:
            nodes = () if name == "Query" else (self.node,)
            self.named[name] = GraphQLObjectType(name, lambda: self._fields(name), interfaces=nodes)
        found: GraphQLObjectType = self.named[name]
        return found

    def _fields(self, owner: str) -> dict[str, GraphQLField]:
        fields = {} if owner == "Query" else {"id": self._field(GraphQLNonNull(GraphQLID))}
        for method in methods()[owner]:
            gives = GraphQLID if method.syncs else self._gives(method.returns, owner)
            if gives is not None and method.name != "id":
                args = {
                    name: GraphQLArgument(self._takes(annotation, owner, optional=optional))
                    for name, (annotation, optional) in method.args.items()
                }
                fields[method.name] = self._field(gives, args)
        return fields

    def _field(
        self, gives: GraphQLOutputType, args: dict[str, GraphQLArgument] | None = None
    ) -> GraphQLField:
        return GraphQLField(gives, args or {}, resolve=self.resolve)

    def _gives(self, annotation: ast.expr, owner: str) -> GraphQLOutputType | None:
        """Give the type of a field; None for one that the tests have no type for."""
        kind, inner, _ = _read(annotation)
        if kind == "list":
            assert inner
            one = self._gives(inner, owner)
            return None if one is None else GraphQLList(GraphQLNonNull(one))
        name = owner if kind == "Self" else kind
        if name == "Node":
            return self.node
        if name == "None":
            return self._scalar("Void")
        if name in methods():
            return self._object(name)
        return self._leaf(name)

    def _takes(self, annotation: ast.expr, owner: str, *, optional: bool) -> GraphQLInputType:
        kind, inner, nullable = _read(annotation)
        kind = owner if kind == "Self" else kind
        found: GraphQLInputType
        if kind == "list":
            assert inner
            found = GraphQLList(self._takes(inner, owner, optional=False))
        elif kind == "Type":
            found = GraphQLID
        elif _is(kind, base.Input):
            found = self._input(kind)
        else:
            leaf = self._leaf(kind)
            found = leaf if leaf is not None else self._id(kind)
        return found if optional or nullable else GraphQLNonNull(found)

    def _leaf(self, name: str) -> GraphQLScalarType | GraphQLEnumType | None:
        if name in PLAIN:
            return PLAIN[name]
        if _is(name, base.Enum):
            members = getattr(gen, name).__members__
            made: GraphQLEnumType = self.named.setdefault(
                name, GraphQLEnumType(name, {member: member for member in members})
            )
            return made
        return self._scalar(name) if _is(name, base.Scalar) else None

    def _scalar(self, name: str) -> GraphQLScalarType:
        found: GraphQLScalarType = self.named.setdefault(name, GraphQLScalarType(name))
        return found

    def _input(self, name: str) -> GraphQLInputObjectType:
        if name not in self.named:
            fields = inspect.get_annotations(getattr(gen, name))
            told = {key: PLAIN[kind.__name__] for key, kind in fields.items() if kind in {str, int}}
            self.named[name] = GraphQLInputObjectType(
                name, {key: GraphQLInputField(kind) for key, kind in told.items()}
            )
        found: GraphQLInputObjectType = self.named[name]
        return found

    def _id(self, kind: str) -> GraphQLScalarType:
        """Make the scalar of ids that stand for one kind of object, and refuse any other."""
        scalar = self._scalar(f"{kind}ID")
        scalar.parse_value = lambda value: self.load(kind, value)  # type: ignore[method-assign]
        return scalar


def _read(annotation: ast.expr) -> tuple[str, ast.expr | None, bool]:
    """Read an annotation: the type's name, what a list holds, and whether it can be None."""
    if isinstance(annotation, ast.BinOp):
        kind, inner, _ = _read(annotation.left)
        return kind, inner, True
    if isinstance(annotation, ast.Subscript):
        return "list", annotation.slice, False
    if isinstance(annotation, ast.Constant):
        text = annotation.value
        return (
            ("None", None, True) if text is None else _read(ast.parse(str(text), mode="eval").body)
        )
    assert isinstance(annotation, ast.Name)
    return annotation.id, None, False
