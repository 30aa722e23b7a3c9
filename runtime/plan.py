"""The warm-up plan: what is sent before the port opens. Pure, so that it can be read and tested.

Each step is sent twice with different text: the first time pays for what is compiled, loaded or
allocated on demand, the second shows what a user will see. Prompt lengths that 16 divides alone
would warm one Triton variant, so odd lengths and batches stand beside them.
"""

import dataclasses
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

ANSWER_TOKENS = 8
CHAT_TOKENS = 128
"""More than any chat request of the plan needs, prompt and answer together."""
ODD_LENGTHS = (7, 35, 131)
TOGETHER = (21, 93, 250)
LOGPROBS = (0, 1, 3, 5, 10, 15, 20)
"""One of each class that vLLM's kernel is compiled for: the next power of two above the number,
and 16 exactly. Up to 20, the most that the API takes."""
SCHEMA = "JSON schema"
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
RESPONSES = "/v1/responses"

_WORDS = [
    "river",
    "stone",
    "window",
    "early",
    "paper",
    "winter",
    "garden",
    "engine",
    "letter",
    "silver",
    "market",
    "quiet",
    "copper",
    "morning",
    "bridge",
    "simple",
    "yellow",
    "travel",
    "number",
    "kitchen",
    "forest",
    "little",
    "station",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request to the served application."""

    path: str
    body: dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """A kind of request; each round's requests are sent at once."""

    kind: str
    first: tuple[Request, ...]
    repeat: tuple[Request, ...]
    beside: bool = False
    """Whether the first round may go on while other steps are sent."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """The steps in order, and the kinds that this model cannot serve with the reason."""

    steps: tuple[Step, ...]
    left_out: dict[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Served:
    """What the plan must know of the server."""

    model: str
    """Name that the API serves."""
    max_model_len: int
    """Tokens of prompt and answer together."""
    vocabulary: int
    """Number of token ids."""
    routes: Collection[str]
    has_chat_template: bool
    max_queue: int = len(TOGETHER)
    """Requests that may be in flight at once."""
    max_logprobs: int = LOGPROBS[-1]
    """Most log-probabilities a token that a request may ask for; below 0 is no limit."""


def plan(served: Served, lengths: Sequence[int], seed: int = 0) -> Plan:
    """Choose the requests for a server.

    Args:
        served: the server's facts.
        lengths: prompt lengths in tokens (PREWARM_LENGTHS).
        seed: gives the same texts for the same seed, different ones for another.
    """
    writer = _Writer(served, random.Random(seed))  # noqa: S311 - texts, not keys
    left_out: dict[str, str] = {}
    steps: list[Step] = []
    for kind, write, why_not in (*_completions(writer, served, lengths), *_kinds(writer, served)):
        if why_not:
            left_out[kind] = why_not
            continue
        step = writer.step(kind, write)
        # The first schema's grammar takes a second or two of a thread that nothing else needs.
        if kind == SCHEMA and served.max_queue > len(TOGETHER):
            step = dataclasses.replace(step, beside=True)
        if step.first[0].path in served.routes:
            steps.append(step)
        else:
            left_out[kind] = f"this server has no route {step.first[0].path}"
    return Plan(steps=tuple(steps), left_out=left_out)


Kind = tuple[str, Callable[[], list[Request]], str]
"""Its name, the writer of its requests, and why it is left out or ""."""


def _completions(writer: "_Writer", served: Served, lengths: Sequence[int]) -> Iterator[Kind]:
    groups: dict[str, Sequence[int]] = {
        f"{n} tokens": (n,) for n in dict.fromkeys([*lengths, *ODD_LENGTHS])
    }
    groups[f"{len(TOGETHER)} at once"] = TOGETHER
    room = served.max_model_len - ANSWER_TOKENS
    for kind, group in groups.items():
        why = f"max_model_len is {served.max_model_len} tokens" if max(group) > room else ""
        if len(group) > served.max_queue:
            why = f"MAX_QUEUE is {served.max_queue}"
        yield kind, partial(writer.prompts, group), why


def _kinds(writer: "_Writer", served: Served) -> Iterator[Kind]:
    long = f"max_model_len is {served.max_model_len} tokens"
    short = long if served.max_model_len < CHAT_TOKENS else ""
    chat = short or ("" if served.has_chat_template else "the model has no chat template")
    yield "chat", writer.chat, chat
    yield "streamed chat", writer.streamed_chat, chat
    yield "sampling", writer.sampling, short
    for count in LOGPROBS:
        few = f"max_logprobs is {served.max_logprobs}" if 0 <= served.max_logprobs < count else ""
        yield f"{count} logprobs", partial(writer.logprobs, count), short or few
    yield "chat with logprobs", writer.chat_logprobs, chat
    yield SCHEMA, writer.schema if served.has_chat_template else writer.plain_schema, short
    yield "responses", writer.responses, chat


class _Writer:
    """Writes requests whose texts never repeat, so that no prefix cache answers them."""

    def __init__(self, served: Served, chance: random.Random) -> None:
        self._served = served
        self._chance = chance

    def step(self, kind: str, write: Callable[[], list[Request]]) -> Step:
        return Step(kind=kind, first=tuple(write()), repeat=tuple(write()))

    def prompts(self, lengths: Sequence[int]) -> list[Request]:
        low, high = self._served.vocabulary // 4, max(self._served.vocabulary * 3 // 4, 1)
        return [
            self._request(
                COMPLETIONS,
                prompt=[self._chance.randrange(low, high) for _ in range(length)],
                ignore_eos=True,
                temperature=0,
            )
            for length in lengths
        ]

    def chat(self) -> list[Request]:
        return [self._request(CHAT, messages=self._messages())]

    def streamed_chat(self) -> list[Request]:
        usage = {"include_usage": True}
        return [self._request(CHAT, messages=self._messages(), stream=True, stream_options=usage)]

    def logprobs(self, count: int) -> list[Request]:
        return [self._request(COMPLETIONS, prompt=self._text(), logprobs=count, temperature=0)]

    def sampling(self) -> list[Request]:
        return [
            self._request(
                COMPLETIONS,
                prompt=self._text(),
                temperature=0.8,
                top_p=0.9,
                top_k=20,
                min_p=0.01,
                seed=self._chance.randrange(1000),
                presence_penalty=0.1,
                frequency_penalty=0.1,
                repetition_penalty=1.05,
            )
        ]

    def chat_logprobs(self) -> list[Request]:
        most = self._served.max_logprobs
        asked = {"logprobs": True, "top_logprobs": min(5, most) if most >= 0 else 5}
        return [self._request(CHAT, messages=self._messages(), **asked)]

    def schema(self) -> list[Request]:
        return [self._request(CHAT, messages=self._messages(), response_format=self._format())]

    def plain_schema(self) -> list[Request]:
        return [self._request(COMPLETIONS, prompt=self._text(), response_format=self._format())]

    def responses(self) -> list[Request]:
        body = {"model": self._served.model, "input": self._text(), "max_output_tokens": 16}
        return [Request(path=RESPONSES, body={**body, "store": False})]

    def _request(self, path: str, **body: Any) -> Request:
        common = {"model": self._served.model, "max_tokens": ANSWER_TOKENS}
        return Request(path=path, body=common | body)

    def _text(self) -> str:
        return " ".join(self._chance.choices(_WORDS, k=9)) + f" {self._chance.randrange(10**6)}"

    def _messages(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self._text()}]

    def _format(self) -> dict[str, Any]:
        """Write a schema with the usual types; names differ, as users' schemas will."""
        first, second, third, fourth = self._chance.sample(_WORDS, k=4)
        properties = {
            first: {"type": "integer"},
            second: {"type": "string", "enum": ["small", "large"]},
            third: {"type": "array", "items": {"type": "number"}},
            fourth: {"type": "string"},
        }
        schema = {"type": "object", "properties": properties, "required": [first, second]}
        return {"type": "json_schema", "json_schema": {"name": first, "schema": schema}}
