"""What users ask, and what makes an answer right.

Every question has another text each time, so that no prefix cache answers it, and every answer is
looked at, not the first alone.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stages.smoke.asking import Server, brief
from stages.smoke.facts import OK, Model, expect
from stages.smoke.report import WrongError

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
TOKENS = 16  # of an answer
SCHEMA_TOKENS = 128  # more than an answer that fits the schema needs
LONG = 2048  # tokens of a long prompt, where the model takes so many
SAMPLE_WORDS = 64  # tell how many tokens a word has
LEAST_LONG = 0.5  # of the tokens that were aimed at
COUNTRIES = ("France", "Italy", "Japan", "Kenya", "Peru", "Chile")
WORDS = ("river", "stone", "window", "early", "paper", "winter", "garden")
ENDS = ("stop", "length")  # reasons to end of an answer that is as it should be
SIZES = ["small", "large"]
# Every answer that fits, without white space, of which none has any in it.
FITTING = [f'{{"size":"{size}","sure":{sure}}}' for size in SIZES for sure in ("true", "false")]
SCHEMA = {
    "type": "object",
    "properties": {
        "size": {"type": "string", "enum": SIZES},
        "sure": {"type": "boolean"},
    },
    "required": ["size", "sure"],
    "additionalProperties": False,
}


@dataclass(frozen=True, kw_only=True)
class Question:
    """One kind of request.

    Attributes:
        ask: Takes how often it was asked before, and gives what was said.
        before: What must be known first; it is not timed.
    """

    name: str
    ask: Callable[[int], str]
    before: Callable[[], None] = lambda: None


def questions(server: Server, model: Model, *, chat: bool) -> Iterator[Question]:
    """List what is asked.

    Args:
        server: Who is asked.
        model: What it serves.
        chat: Whether the model has a chat template.
    """
    asking = _Asking(server, model)
    yield Question(name="completion", ask=asking.completion)
    if chat:
        yield Question(name="chat", ask=asking.chat)
        yield Question(name="streamed chat", ask=asking.streamed_chat)
    yield Question(name="JSON schema", ask=asking.schema if chat else asking.plain_schema)
    yield Question(name="long prompt", ask=asking.long_prompt, before=asking.count_words)


@dataclass
class _Asking:
    server: Server
    model: Model
    tokens_per_word: float = 0.0

    def completion(self, number: int) -> str:
        prompt = f"The capital of {_country(number)} is"
        return _text(self._complete(prompt)[0])

    def chat(self, number: int) -> str:
        answer = expect(self.server.post(CHAT, self._chat(number)), OK).json()
        return _text(_choice(answer, "message", "content")[0])

    def streamed_chat(self, number: int) -> str:
        body = self._chat(number) | {"stream": True, "stream_options": {"include_usage": True}}
        pieces: list[str] = []
        ended, counted = None, None
        for event in expect(self.server.post(CHAT, body), OK).events():
            counted = _object(event.get("usage")).get("completion_tokens") or counted
            for choice in _choices(event):
                content = _object(choice.get("delta")).get("content")
                pieces += [content] if content and isinstance(content, str) else []
                ended = choice.get("finish_reason") or ended
        if ended not in ENDS or not counted:
            raise WrongError(f"the stream ends with reason {ended!r} after {counted!r} tokens")
        return f"{_text(''.join(pieces))} in {len(pieces)} pieces"

    def schema(self, number: int) -> str:
        text = f"How large is {_country(number)}? Are you sure? Answer in JSON."
        body = self._body(SCHEMA_TOKENS) | {"messages": _messages(text), **_FORMAT}
        answer = expect(self.server.post(CHAT, body), OK).json()
        return _fitting(*_choice(answer, "message", "content"))

    def plain_schema(self, number: int) -> str:
        prompt = f"{_country(number)} in JSON, its size and whether that is sure:"
        body = self._body(SCHEMA_TOKENS) | {"prompt": prompt, **_FORMAT}
        answer = expect(self.server.post(COMPLETIONS, body), OK).json()
        return _fitting(*_choice(answer, "text"))

    def count_words(self) -> None:
        _, counted = self._complete(_words(SAMPLE_WORDS, -1))
        self.tokens_per_word = counted / SAMPLE_WORDS

    def long_prompt(self, number: int) -> str:
        wanted = min(LONG, self.model.max_model_len * 3 // 4)
        text, counted = self._complete(_words(int(wanted / self.tokens_per_word), number))
        if counted < wanted * LEAST_LONG:
            raise WrongError(f"the prompt was counted as {counted} tokens, expected about {wanted}")
        # The tokens are counted, their text is not judged: after words without sense a model may
        # end in the middle of a character, which shows as nothing.
        return f"{counted} tokens, then {brief(text)}"

    def _complete(self, prompt: str) -> tuple[str, int]:
        """Continue a text; give what was said, and how many tokens the prompt has."""
        # So many tokens come, and all of them show, whatever the model would rather say.
        exactly = {"ignore_eos": True, "skip_special_tokens": False}
        body = self._body(TOKENS) | {"prompt": prompt, **exactly}
        answer = expect(self.server.post(COMPLETIONS, body), OK).json()
        text, _ = _choice(answer, "text")
        usage = _object(answer.get("usage"))
        counted = usage.get("prompt_tokens")
        if usage.get("completion_tokens") != TOKENS or type(counted) is not int or counted < 1:
            raise WrongError(f"{TOKENS} tokens were asked for, its usage says {usage}")
        if answer.get("model") != self.model.name:
            raise WrongError(f"the answer is of {answer.get('model')!r}")
        return text, counted

    def _chat(self, number: int) -> dict[str, Any]:
        text = f"Name the capital of {_country(number)}."
        return self._body(TOKENS) | {"messages": _messages(text)}

    def _body(self, tokens: int) -> dict[str, Any]:
        return {"model": self.model.name, "max_tokens": tokens, "temperature": 0}


_FORMAT = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
    }
}


def _messages(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _country(number: int) -> str:
    return COUNTRIES[number % len(COUNTRIES)]


def _words(count: int, number: int) -> str:
    """Write a text of so many words, another one for each number from its first word on."""
    chosen = (WORDS[(place + number) % len(WORDS)] for place in range(count))
    return f"{number} {' '.join(chosen)}"


def _choice(answer: Mapping[str, Any], *path: str) -> tuple[str, str]:
    """Give the only choice's text, and why it ended, which must be in an orderly way."""
    try:
        (choice,) = answer["choices"]
        ended, found = choice["finish_reason"], choice
        for name in path:
            found = found[name]
    except (TypeError, KeyError, ValueError):
        raise WrongError(
            f"expected one choice with {'.'.join(path)}, got {brief(str(answer))}"
        ) from None
    if ended not in ENDS or not isinstance(found, str):
        raise WrongError(f"it ends with reason {ended!r} and holds {brief(str(found))}")
    return found, str(ended)


def _choices(event: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give an event's choices; the one that tells the usage has none."""
    found = event.get("choices")
    return [_object(choice) for choice in found] if isinstance(found, list) else []


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(text: str) -> str:
    """Quote a text, which must not be empty."""
    if not text:
        raise WrongError("the answer is empty")
    return brief(text)


def _fitting(text: str, ended: str) -> str:
    """Quote JSON that fits the schema, or a beginning of it where the model wasted its tokens."""
    shown = brief(" ".join(text.split()))
    try:
        value = json.loads(text)
    except ValueError:
        compact = "".join(text.split())
        if ended == "length" and compact and any(one.startswith(compact) for one in FITTING):
            return f"{shown}, cut after {SCHEMA_TOKENS} tokens"
        raise WrongError(f"{shown} is not JSON, against the schema") from None
    fits = isinstance(value, dict) and set(value) == {"size", "sure"}
    if not fits or value["size"] not in SIZES or type(value["sure"]) is not bool:
        raise WrongError(f"{shown} does not fit the schema")
    return shown
