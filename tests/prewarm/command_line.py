"""The `dagger call` lines of documents, held against what the module registers."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.prewarm import schema
from tests.prewarm.calling import Argument, Function, registered
from tests.prewarm.session import Session

_CALL = re.compile(r"\bdagger\b(?:\s+--?[a-z][a-z-]*(?:[= ](?!call\b)[^\s-]\S*)?)*\s+call\b(.*)")
_FENCE = re.compile(r"^```.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_ENDS = re.compile(r"[|;&<>()]+")  # what ends a command, as a word of its own


@dataclass(frozen=True)
class Line:
    """One call: the file it stands in, and its words after `call`."""

    file: Path
    words: tuple[str, ...]


def lines(file: Path) -> Iterator[Line]:
    """Yield every call of a document: code in Markdown, all but comments elsewhere."""
    text = file.read_text()
    for part in _code(text) if file.suffix == ".md" else [_without_comments(text)]:
        for one in re.sub(r"\\\n\s*", " ", part).splitlines():
            for found in _CALL.finditer(one):
                yield Line(file, tuple(_words(found[1])))


def _code(text: str) -> Iterator[str]:
    yield from _FENCE.findall(text)
    yield from _SPAN.findall(_FENCE.sub("", text))


def _without_comments(text: str) -> str:
    return "\n".join(one for one in text.splitlines() if not one.lstrip().startswith("#"))


def _words(text: str) -> Iterator[str]:
    """Read the words of a command as a shell does, up to its end."""
    reader = shlex.shlex(text, posix=True, punctuation_chars="|;&<>()")
    reader.whitespace_split, reader.commenters = True, "#"
    for word in reader:
        if _ENDS.fullmatch(word):
            return
        yield word


def problems(line: Line, session: Session) -> list[str]:
    """List what of a call the module does not know."""
    constructor, functions = registered(session)
    by_name = {_kebab(name): one for name, one in functions.items()}
    return list(_Reader(list(line.words)).read(constructor, by_name))


@dataclass
class _Reader:
    """Takes the words of a call one after the other."""

    words: list[str]

    def read(self, constructor: Function, functions: Mapping[str, Function]) -> Iterator[str]:
        given: set[str] = set()
        yield from self._flags(constructor.arguments, given)
        if not self.words:
            return
        name = self.words.pop(0)
        if name not in functions:
            yield f"no function {name}"
            return
        function, given = functions[name], set()
        yield from self._flags(function.arguments, given)
        required = {_kebab(one.name) for one in function.arguments.values() if one.required}
        if missing := required - given - {"help"}:
            yield f"{name} needs --{min(missing)}"
        yield from self._chain(function.returns)

    def _chain(self, kind: str) -> Iterator[str]:
        """Read what is asked of the object that a function gives."""
        while self.words:
            name = self.words.pop(0)
            known = {_kebab(one.name): one for one in schema.methods().get(kind, ())}
            if name not in known:
                yield f"{kind} has no function {name}"
                return
            flags = {_kebab(one) for one in known[name].args}
            while self.words and self.words[0].startswith("-"):
                flag = self._flag(takes_value=True)
                if flag not in flags:
                    yield f"{kind}'s {name} has no --{flag}"
            kind = schema.kind_of(known[name])

    def _flags(self, arguments: Mapping[str, Argument], given: set[str]) -> Iterator[str]:
        """Read flags; a word that only a shell knows, as "$@", is passed over."""
        known = {_kebab(name): one for name, one in arguments.items()}
        while self.words and self.words[0].startswith(("-", "$")):
            if self.words[0].startswith("$"):
                self.words.pop(0)
                given.update(known)
                continue
            name = self.words[0].lstrip("-").partition("=")[0]
            one = known.get(name)
            if name == "help":
                given.update(known)
            elif one is None:
                yield f"no argument --{name}"
            value = self._value(takes_value=one is not None and not one.is_switch)
            given.add(name)
            if one and one.choices and value.lower() not in one.choices and "$" not in value:
                yield f"--{name} is one of {', '.join(sorted(one.choices))}, not {value}"

    def _flag(self, *, takes_value: bool) -> str:
        name = self.words[0].lstrip("-").partition("=")[0]
        self._value(takes_value=takes_value)
        return name

    def _value(self, *, takes_value: bool) -> str:
        """Take a flag with its value."""
        _, sign, value = self.words.pop(0).partition("=")
        if sign or not takes_value:
            return value
        return self.words.pop(0) if self.words else ""


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"-\1", name).replace("_", "-").lower()
