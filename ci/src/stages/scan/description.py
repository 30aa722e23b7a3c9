"""Searching what an image says of itself: index, manifest and configuration."""

from collections.abc import Iterator
from typing import Any

from stages.scan.findings import Finding, finding, findings, shown
from stages.scan.search import Search
from stages.scan.shapes import assigns_secret, names_secret

_MAPS = ("Labels", "annotations")  # names -> texts
_COMMANDS = ("Cmd", "Entrypoint", "Shell", "OnBuild", "Test", "created_by", "comment")
_BY_NAME = "value under the name of a credential"


def search(source: str, value: Any, by: Search) -> Iterator[Finding]:
    """Search every text in a JSON value, keys included, and judge names that have a value."""
    yield from _walk(source, value, "", "", by)


def _walk(source: str, value: Any, where: str, key: str, by: Search) -> Iterator[Finding]:
    if isinstance(value, str):
        yield from findings(source, where, "value", by.in_text(value))
    if key in _COMMANDS and assigns_secret(_line(value)):
        yield finding(source, where, "value", _BY_NAME)
    if isinstance(value, dict):
        for name, item in value.items():
            inner = f"{where}.{shown(name, by)}".lstrip(".")
            yield from findings(source, inner, "name", by.in_text(name))
            if key in _MAPS and names_secret(name) and item:
                yield finding(source, inner, "value", _BY_NAME)
            yield from _walk(source, item, inner, name, by)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            inner = f"{where}[{number}]"
            if key == "Env" and isinstance(item, str) and _holds(item):
                yield finding(source, f"{inner} {shown(item.split('=')[0], by)}", "value", _BY_NAME)
            yield from _walk(source, item, inner, "", by)


def _line(value: Any) -> str:
    """Write a command as one line, whether it is a list or a text."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _holds(variable: str) -> bool:
    name, _, content = variable.partition("=")
    return bool(content) and names_secret(name)
