"""Every check of a server can fail: a server that answers wrongly in each way, and what is told."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from stages.smoke import asking
from tests.stages.answering import FITTING, MODEL, START, Answer, Asked, Change, answering, stream
from tests.stages.model import Ended
from tests.stages.smoking import make, sound

Run = Callable[..., Ended]
KEY = "key-canary-9b2f4c"
HOST = "example.com/foo?"


def asked(stages: Run, tmp_path: Path, change: Change, *, key: str = "") -> tuple[Ended, Any]:
    """Ask a server whose answers are changed; give how that ended, and the report."""
    out = tmp_path / "report.json"
    environ = {"VLLM_API_KEY": key} if key else {}
    with answering(change, key=key) as url:
        ended = stages("smoke", url, f"--out={out}", environ=environ)
    return ended, json.loads(out.read_bytes())


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


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_answer_fails_its_check(stages: Run, tmp_path: Path, case: str) -> None:
    """The report and the exit code say so, other checks still pass, and the key stays hidden."""
    change, name, detail = CASES[case]

    ended, report = asked(stages, tmp_path, change, key=KEY)

    failed = {check["name"]: check["detail"] for check in report["checks"] if not check["passed"]}
    assert detail in failed.get(name, ""), failed
    assert (ended.code, report["verdict"]) == (2, "failed")
    assert f"FAILED  {name}" in ended.out
    assert "the image must not be pushed" in ended.err
    assert KEY not in ended.out + ended.err + json.dumps(report)
    assert any(check["passed"] for check in report["checks"])


def test_right_answers_pass(stages: Run, tmp_path: Path) -> None:
    """All checks pass, each answer is timed, and the report says what it is about."""
    ended, report = asked(stages, tmp_path, lambda _, answer: answer, key=KEY)

    timed = {check["name"]: check for check in report["checks"] if check["first_s"] is not None}
    assert (ended.code, report["verdict"], report["level"]) == (0, "passed", "cpu")
    assert set(timed) == {"completion", "chat", "streamed chat", "JSON schema", "long prompt"}
    assert all(0 < check["typical_s"] < 1 for check in timed.values())
    assert report["start"] == START
    assert report["vllm"] == {"image": None, "tested": "0.32.0+cpu"}
    assert report["image"] is None
    assert "which image this is: none was named" in report["not_shown"]
    assert ended.out.endswith(f"passed, level cpu: wrote {tmp_path / 'report.json'}\n")


def test_a_schema_may_be_cut_where_it_still_fits(stages: Run, tmp_path: Path) -> None:
    """A small model may spend its tokens on white space; what there is must begin an answer."""
    ended, report = asked(stages, tmp_path, on("schema", text(f"{FITTING[:12]}\n\n\n")))

    (check,) = [one for one in report["checks"] if one["name"] == "JSON schema"]
    assert (ended.code, check["detail"]) == (0, '\'{"size": "sm\', cut after 128 tokens')


def test_a_model_without_a_chat_template_is_not_asked_to_chat(stages: Run, tmp_path: Path) -> None:
    """Its JSON comes as a completion."""
    left_out = {"chat": "the model has no chat template"}

    ended, report = asked(stages, tmp_path, start(warmup=START["warmup"] | {"left_out": left_out}))

    names = [check["name"] for check in report["checks"]]
    assert ended.code == 0
    assert "chat" not in names
    assert "JSON schema" in names


def test_a_level_that_was_not_tried_is_not_claimed(stages: Run, tmp_path: Path) -> None:
    """Asked for a GPU's, a server on a CPU fails."""
    out = tmp_path / "report.json"

    with answering() as url:
        ended = stages("smoke", url, "--level=gpu", f"--out={out}")

    assert ended.code == 2
    assert "FAILED  level" in ended.out
    assert "the server runs on cpu, which is not the level gpu" in ended.out


def test_a_server_is_held_to_the_image_that_is_named(stages: Run, tmp_path: Path) -> None:
    """Its model must be the image's; whether it runs this very image, it cannot tell."""
    made = make(stages, tmp_path, sound())
    other = [{"id": "acme/other", "max_model_len": 400}]

    with answering() as url:
        right = stages(*made.words(url))
    shown = made.report()["not_shown"]
    with answering(on("/v1/models", value(data=other))) as url:
        wrong = stages(*made.words(url))

    assert (right.code, wrong.code) == (0, 2)
    assert "that this very image answers: whoever started it knows" in shown
    assert "vLLM 0.9.0, which the image holds: 0.32.0+cpu answered" in shown
    assert made.failed() == {"models": "it serves 'acme/other', expected 'acme/tiny-it'"}


def test_a_gpu_is_named(stages: Run, tmp_path: Path) -> None:
    """Its level shows nothing of other GPUs."""
    ended, report = asked(stages, tmp_path, start(device="NVIDIA L4"))

    assert (ended.code, report["level"]) == (0, "gpu")
    assert "other GPUs than NVIDIA L4" in report["not_shown"]


def test_a_server_that_is_not_there_is_asked_once(stages: Run, tmp_path: Path) -> None:
    """Nothing else need be asked of it."""
    out = tmp_path / "report.json"
    with answering() as url:
        pass

    ended = stages("smoke", url, f"--out={out}")

    assert ended.code == 2
    assert [check["name"] for check in json.loads(out.read_bytes())["checks"]] == ["health"]
    assert f"nothing answers at {url}" in ended.out


def test_a_server_that_hangs_is_left(
    stages: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a time limit that is explicit."""
    monkeypatch.setattr(asking, "TIMEOUT", httpx.Timeout(0.2))

    ended, _ = asked(stages, tmp_path, on("/health", lambda answer: replace(answer, wait=0.5)))

    assert ended.code == 2
    assert "no whole answer from /health: timed out" in ended.out


def test_a_request_is_never_the_same_twice(stages: Run, tmp_path: Path) -> None:
    """A prefix cache would make the typical answer faster than a user's."""
    seen: list[str] = []

    def note(asked: Asked, answer: Answer) -> Answer:
        if answer.status == 200 and asked.method == "POST":
            seen.append(json.dumps(asked.body))
        return answer

    asked(stages, tmp_path, note)

    assert len(seen) == len(set(seen)) == 21
    assert all(MODEL in body for body in seen)
