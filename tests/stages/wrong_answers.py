"""Ways in which a server can answer wrongly, the check that must find each, and what it says."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.stages.answering import START, Answer, Asked, Change, stream

KEY = "key-canary-9b2f4c"
HOST = "example.com/foo?"


def on(kind: str, make: Callable[[Answer], Answer], *, number: int | None = None) -> Change:
    """Change the answers to one kind of request, all of them or only one."""

    def change(asked: Asked, answer: Answer) -> Answer:
        fits = kind in {asked.kind, asked.path} and number in {None, asked.number}
        return make(answer) if fits and answer.status in {200, 404} else answer

    return change


def choice(**changed: object) -> Callable[[Answer], Answer]:
    """Change the only choice of an answer."""

    def make(answer: Answer) -> Answer:
        if "choices" not in answer.value:
            return answer
        (one,) = answer.value["choices"]
        return replace(answer, value={**answer.value, "choices": [one | changed]})

    return make


def value(**changed: object) -> Callable[[Answer], Answer]:
    """Change an answer's members."""
    return lambda answer: replace(answer, value={**answer.value, **changed})


def text(content: object, **more: object) -> Callable[[Answer], Answer]:
    """Change what a chat's answer says."""
    return choice(message={"content": content}, **more)


def start(**changed: object) -> Change:
    """Change the server's report of its start."""
    return on("/prewarm", value(**changed))


def when(fits: Callable[[Asked], bool], *, status: int = 200, value: object = "") -> Change:
    """Give another answer to some requests."""
    return lambda asked, answer: Answer(status, value) if fits(asked) else answer


OPEN = {"choices": [{"delta": {"content": "a"}, "finish_reason": None}]}
ENDED = {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}
USAGE = {"usage": {"completion_tokens": 3}, "choices": 5}


def streamed(*events: dict[str, Any], last: str = "data: [DONE]\n\n") -> Change:
    """Stream other events."""
    return on("stream", lambda answer: replace(answer, value=stream(*events, last=last)))


# What is changed, the check that must fail, and what its detail says.
CASES: dict[str, tuple[Change, str, str]] = {
    "health 503": (on("/health", lambda a: replace(a, status=503)), "health", "status 503"),
    "another model": (
        on("/v1/models", value(data=[{"id": "b", "max_model_len": 0}])), "models", "max_model_len"
    ),
    "no models": (on("/v1/models", value(data=[])), "models", "expected a list of models"),
    "models are no list": (on("/v1/models", value(data=5)), "models", "got '5'"),
    "models are HTML": (on("/v1/models", lambda a: replace(a, value="<")), "models", "got '<'"),
    "no report": (on("/prewarm", lambda a: replace(a, status=404)), "warm-up", "status 404"),
    "report of something else": (start(vllm=None), "warm-up", "expected the report of a start"),
    "cold": (start(warmup=START["warmup"] | {"skipped": True}), "warm-up", "SKIP_PREWARM"),
    "nothing warmed": (
        start(warmup={"requests": [], "left_out": {}}), "warm-up", "without a warm-up"
    ),
    "empty": (on("completions", choice(text="")), "completion", "the answer is empty"),
    "empty chat": (on("/v1/chat/completions", text("")), "chat", "the answer is empty"),
    "null": (on("/v1/chat/completions", text(None)), "chat", "holds 'None'"),
    "no message": (
        on("/v1/chat/completions", choice(message=[])), "chat", "one choice with message.content"
    ),
    "no choice": (on("/v1/chat/completions", value(choices=[])), "chat", "expected one choice"),
    "another ending": (
        on("completions", choice(finish_reason="abort")), "completion", "reason 'abort'"
    ),
    "an ending that is none": (
        on("completions", choice(finish_reason=["stop"])), "completion", "reason ['stop']"
    ),
    "too few tokens": (
        on("completions", value(usage={"completion_tokens": 3, "prompt_tokens": 5})),
        "completion", "16 tokens were asked for"
    ),
    "no usage": (on("completions", value(usage=7)), "completion", "its usage says {}"),
    "answer of another": (on("completions", value(model="b")), "completion", "is of 'b'"),
    "wrong the third time": (
        on("completions", lambda a: replace(a, status=500), number=2), "completion", "status 500"
    ),
    "a list": (on("completions", lambda a: replace(a, value=[])), "completion", "a JSON object"),
    "redirect": (
        on("completions", lambda a: replace(a, status=307, headers={"Location": "/health"})),
        "completion", "status 307"
    ),
    "no stream": (
        on("stream", lambda a: replace(a, kind="application/json")),
        "streamed chat", "expected text/event-stream"
    ),
    "stream without end": (streamed(ENDED, USAGE, last=""), "streamed chat", "does not end with"),
    "stream of nothing": (streamed(last=""), "streamed chat", "does not end with [DONE]"),
    "stream of no JSON": (
        streamed(ENDED, last="data: {\n\ndata: [DONE]\n\n"), "streamed chat", "a JSON object"
    ),
    "stream that just stops": (streamed(OPEN, USAGE), "streamed chat", "with reason None"),
    "stream without usage": (streamed(OPEN, ENDED), "streamed chat", "after None tokens"),
    "stream without text": (
        streamed({"choices": [{"finish_reason": "stop", "delta": {"content": 5}}]}, USAGE),
        "streamed chat", "the answer is empty"
    ),
    "no JSON to a schema": (on("schema", text("Sure!")), "JSON schema", "is not JSON"),
    "another member": (
        on("schema", text('{"size": "small", "sure": true, "x": 1}')), "JSON schema", "not fit"
    ),
    "another value": (on("schema", text('{"size": "s", "sure": true}')), "JSON schema", "not fit"),
    "another kind": (on("schema", text('{"size": "small", "sure": 1}')), "JSON schema", "not fit"),
    "JSON of another kind": (on("schema", text("[]")), "JSON schema", "not fit"),
    "cut off the rails": (on("schema", text('{"size": "x')), "JSON schema", "is not JSON"),
    "short prompt": (
        on("long", value(usage={"completion_tokens": 16, "prompt_tokens": 9})),
        "long prompt", "counted as 9 tokens, expected about 300"
    ),
    "cold chat": (
        on("/v1/chat/completions", lambda a: replace(a, wait=0.4), number=0),
        "first and typical", "the server was not warm"
    ),
    "no JSON taken": (
        when(lambda asked: asked.body == {} and "chat" in asked.path), "no JSON", "status 200"
    ),
    "no messages taken": (
        when(lambda asked: "chat" in asked.path and "messages" not in asked.body),
        "no messages", "status 200"
    ),
    "refused without words": (
        when(lambda asked: "n" in asked.body, status=400, value={"error": {"message": ""}}),
        "10000 sequences", "400 without words"
    ),
    "refused with other words": (
        when(lambda asked: asked.body.get("model") == "nobody/has-this-model", status=404,
             value={"error": "no"}),
        "unknown model", "404 without words"
    ),
    "10000 sequences": (when(lambda asked: "n" in asked.body), "10000 sequences", "status 200"),
    "too long taken": (
        when(lambda asked: len(asked.body.get("prompt", "")) == 1600),
        "too long a prompt", "status 200"
    ),
    "any model": (
        when(lambda asked: asked.body.get("model") == "nobody/has-this-model"),
        "unknown model", "status 200"
    ),
    "open route": (when(lambda asked: asked.path == "/tokenize"), "closed routes", "/tokenize"),
    "docs": (
        when(lambda asked: asked.path == "/docs", status=307), "closed routes", "/docs answers 307"
    ),
    "open to anybody": (
        when(lambda asked: asked.path == "/v1/models" and "Authorization" not in asked.headers),
        "key", "with no key answers 200"
    ),
    "open to a wrong key": (
        when(lambda asked: asked.headers.get("Authorization") == "Bearer wrong"),
        "key", "with a wrong key answers 200"
    ),
    "open to another host": (
        when(lambda asked: asked.headers["Host"] == HOST), "key", "another Host answers 200"
    ),
    "closed to probes": (
        when(lambda asked: asked.path == "/health" and "Authorization" not in asked.headers,
             status=401),
        "key", "status 401"
    ),
    "echoed key": (
        on("completions", lambda a: replace(a, status=500, value=f"key {KEY}")),
        "completion", "'key ***'"
    ),
    "cut off": (
        on("completions", lambda a: replace(a, cut=True)), "completion", "no whole answer from"
    ),
    "endless": (on("completions", lambda a: replace(a, drip=True)), "completion", "went on past"),
}  # fmt: skip
