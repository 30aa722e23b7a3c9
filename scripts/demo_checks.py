"""What the demo asks through the OpenAI client: one check for each thing that users ask."""

import dataclasses
import json
from collections.abc import Callable

import openai

SENTENCE = "The capital of France is"

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "capital": {"type": "boolean"}},
    "required": ["city", "capital"],
    "additionalProperties": False,
}


class DemoError(Exception):
    """What the demo could not show; its text is the message."""


@dataclasses.dataclass(frozen=True)
class Model:
    """What the requests must know of the model."""

    name: str
    sentence: str
    """The sentence to continue, begun as the model expects a text to begin."""


@dataclasses.dataclass(frozen=True)
class Check:
    """A request through the OpenAI client, and what makes its answer right."""

    kind: str
    send: Callable[[openai.OpenAI, Model], str]


def completion(client: openai.OpenAI, model: Model) -> str:
    """Continue a sentence."""
    done = client.completions.create(
        model=model.name, prompt=model.sentence, max_tokens=16, temperature=0
    )
    return str(done.choices[0].text)


def chat(client: openai.OpenAI, model: Model) -> str:
    """Answer a chat message."""
    done = client.chat.completions.create(
        model=model.name,
        max_tokens=16,
        temperature=0,
        messages=[{"role": "user", "content": "Name the capital of France."}],
    )
    return done.choices[0].message.content or ""


def streamed_chat(client: openai.OpenAI, model: Model) -> str:
    """Answer a chat message in pieces."""
    events = client.chat.completions.create(
        model=model.name,
        max_tokens=16,
        temperature=0,
        stream=True,
        messages=[{"role": "user", "content": "Count to five."}],
    )
    pieces = [event.choices[0].delta.content or "" for event in events if event.choices]
    return "".join(pieces)


def logprobs(client: openai.OpenAI, model: Model) -> str:
    """Sample a continuation with the probabilities of its tokens."""
    done = client.completions.create(
        model=model.name,
        prompt=model.sentence,
        max_tokens=8,
        logprobs=3,
        temperature=0.8,
        top_p=0.9,
        seed=7,
    )
    found = done.choices[0].logprobs
    if found is None or not found.token_logprobs:
        raise DemoError("logprobs: the answer holds none")
    return str(done.choices[0].text)


def schema(client: openai.OpenAI, model: Model) -> str:
    """Answer in JSON that fits a schema."""
    done = client.chat.completions.create(
        model=model.name,
        max_tokens=200,
        temperature=0,
        messages=[{"role": "user", "content": "Is Paris the capital of France? Answer in JSON."}],
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
        },
    )
    text = done.choices[0].message.content or ""
    if done.choices[0].finish_reason == "stop" and set(json.loads(text)) != {"city", "capital"}:
        raise DemoError(f"JSON schema: {text!r} does not fit")
    return " ".join(text.split())


def refusal(client: openai.OpenAI, model: Model) -> str:
    """Ask for too much and be told so."""
    try:
        client.completions.create(model=model.name, prompt="a", n=10_000)
    except openai.BadRequestError as error:
        return str(error.body["message"]) if isinstance(error.body, dict) else str(error)
    raise DemoError("a request for 10,000 sequences was not refused")


CHECKS = (
    Check("completion", completion),
    Check("chat", chat),
    Check("streamed chat", streamed_chat),
    Check("sampling with logprobs", logprobs),
    Check("JSON schema", schema),
    Check("bad request", refusal),
)
NEEDS_TEMPLATE = {  # kinds that are left out with the chat template
    "chat",
    "streamed chat",
    "JSON schema",
}
