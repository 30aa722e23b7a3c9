"""What must be refused, and how: with a status that says why, and words for who asked."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from stages.smoke.answers import CHAT, COMPLETIONS
from stages.smoke.asking import Server, brief
from stages.smoke.facts import HEALTH, MODELS, OK, Model, expect
from stages.smoke.report import Check, WrongError, looked_at

BAD, UNKNOWN, NO_KEY = 400, 404, 401
CLOSED = ("/docs", "/invocations", "/openapi.json", "/tokenize")
FOREIGN_HOST = {"Host": "example.com/foo?"}  # takes vLLM before 0.22 for another path


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A request that must be refused, with what its message must name."""

    name: str
    path: str
    body: object
    status: int
    names: str = ""


def refusals(model: Model) -> Iterator[Refusal]:
    """List what any server must refuse."""
    asked = {"model": model.name, "max_tokens": 1}
    long = "a " * (2 * model.max_model_len)
    for name, path, body in (
        ("no JSON", CHAT, b"{"),
        ("no messages", CHAT, asked),
        ("10000 sequences", COMPLETIONS, asked | {"prompt": "a", "n": 10_000}),
        ("too long a prompt", COMPLETIONS, asked | {"prompt": long}),
    ):
        yield Refusal(name=name, path=path, body=body, status=BAD)
    other = "nobody/has-this-model"
    body = asked | {"model": other, "prompt": "a"}
    yield Refusal(name="unknown model", path=COMPLETIONS, body=body, status=UNKNOWN, names=other)


def checks(server: Server, model: Model, *, allowed: frozenset[str]) -> Iterator[Check]:
    """Ask for what must be refused.

    Args:
        server: Who is asked.
        model: What it serves.
        allowed: Routes that the image opens beside its own.
    """
    for one in refusals(model):
        yield looked_at(one.name, partial(_refused, server, one))
    yield looked_at("closed routes", partial(_closed, server, allowed))
    if server.key:
        yield looked_at("key", partial(_locked, server))


def _refused(server: Server, one: Refusal) -> str:
    answer = expect(server.post(one.path, one.body), one.status)
    told = answer.json()
    error = told.get("error") if isinstance(told.get("error"), dict) else told
    message = error.get("message") if isinstance(error, dict) else None
    if not isinstance(message, str) or not message or one.names not in message:
        raise WrongError(f"{one.status} without words that say why: {brief(answer.text)}")
    return f"{one.status}: {brief(message)}"


def _closed(server: Server, allowed: frozenset[str]) -> str:
    closed = [path for path in CLOSED if path not in allowed]
    for path in closed:
        for answer in (server.get(path), server.post(path, {})):
            if answer.status != UNKNOWN:
                raise WrongError(f"{path} answers {answer.status}, expected {UNKNOWN}")
    return f"{UNKNOWN} for {', '.join(closed)}"


def _locked(server: Server) -> str:
    nobody = replace(server, key=None)
    for told, headers in (
        ("no key", {}),
        ("a wrong key", {"Authorization": "Bearer wrong"}),
        ("no key and another Host", FOREIGN_HOST),
    ):
        answer = nobody.get(MODELS, headers)
        if answer.status != NO_KEY:
            raise WrongError(f"{MODELS} with {told} answers {answer.status}, expected {NO_KEY}")
    expect(nobody.get(HEALTH), OK)
    return f"{NO_KEY} without it"
