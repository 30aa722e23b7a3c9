"""A server that answers as Prewarm's does, and wrongly where a test wants it to.

Used where the answers must be wrong: what is right is asked of real vLLM.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "acme/tiny-it"
LONGEST = 400  # tokens, of which every word is one
START: dict[str, Any] = {
    "model": MODEL,
    "vllm": "0.32.0+cpu",
    "device": "cpu",
    "seconds_to_warm": 12.5,
    "warmup": {"skipped": False, "requests": [{"kind": "chat"}], "left_out": {}},
}
FITTING = '{"size": "small", "sure": true}'


@dataclass(frozen=True)
class Asked:
    """One request: how often its path was asked before, and what came along."""

    method: str
    path: str
    number: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def kind(self) -> str:
        """What a user would call the request."""
        if "response_format" in self.body:
            return "schema"
        if self.body.get("stream"):
            return "stream"
        if len(str(self.body.get("prompt", ""))) > 1000:
            return "long"
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Answer:
    """What is sent: `cut` announces more bytes than come, `drip` never ends, `wait` in seconds."""

    status: int
    value: Any
    kind: str = "application/json"
    wait: float = 0.0
    cut: bool = False
    drip: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    def bytes(self) -> bytes:
        """Write the body."""
        return (
            self.value.encode() if isinstance(self.value, str) else json.dumps(self.value).encode()
        )


Change = Callable[[Asked, Answer], Answer]


@contextmanager
def answering(change: Change = lambda _, answer: answer, *, key: str = "") -> Iterator[str]:
    """Serve on loopback while the block lasts; `change` sees each answer before it is sent."""
    counts: dict[str, int] = {}

    class Handler(BaseHTTPRequestHandler):
        """Answers one request."""

        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            content = self.rfile.read(length)
            try:
                body = json.loads(content or b"{}")
            except ValueError:
                body = None
            path = self.path
            asked = Asked(self.command, path, 0, dict(self.headers), body or {})
            counted = f"{path} {asked.kind}"
            asked = replace(asked, number=counts.get(counted, 0))
            counts[counted] = asked.number + 1
            right = _right(asked, key) if body is not None else _refused(400, "no JSON")
            self._send(change(asked, right))

        do_GET = do_HEAD = do_POST = _answer  # noqa: N815 - names of the base class

        def _send(self, answer: Answer) -> None:
            time.sleep(answer.wait)
            content = answer.bytes()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if not answer.drip:
                self.send_header("Content-Length", str(len(content) + 9 * answer.cut))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else content)
            while answer.drip:
                self.wfile.write(bytes(2**20))

        def handle(self) -> None:
            """Let a client hang up."""
            try:
                super().handle()
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _right(asked: Asked, key: str) -> Answer:
    """Answer as the image does."""
    if asked.path == "/health":
        return Answer(200, "", kind="")
    if key and asked.headers.get("Authorization") != f"Bearer {key}":
        return _refused(401, "the key is missing or wrong")
    if asked.path == "/v1/models":
        return Answer(200, {"data": [{"id": MODEL, "max_model_len": LONGEST}]})
    if asked.path == "/prewarm":
        return Answer(200, START)
    if asked.path not in {"/v1/completions", "/v1/chat/completions"}:
        return _refused(404, "not served")
    return _refusal(asked) or _answered(asked)


def _refusal(asked: Asked) -> Answer | None:
    body = asked.body
    if asked.path.endswith("chat/completions") and "messages" not in body:
        return _refused(400, "messages are missing")
    if body.get("n", 1) > 16:
        return _refused(400, "too many")
    if len(str(body.get("prompt", "")).split()) > LONGEST:
        return _refused(400, "too long")
    if body.get("model") != MODEL:
        return _refused(404, f"there is no {body.get('model')}")
    return None


def _answered(asked: Asked) -> Answer:
    body = asked.body
    text = FITTING if "response_format" in body else "Paris, of course"
    usage = {
        "prompt_tokens": len(str(body.get("prompt", "")).split()),
        "completion_tokens": body.get("max_tokens"),
    }
    if body.get("stream"):
        return Answer(200, stream(*_events(text, usage)), kind="text/event-stream; charset=utf-8")
    said = {"text": text} if "prompt" in body else {"message": {"content": text}}
    choice = {"finish_reason": "length", **said}
    return Answer(200, {"model": MODEL, "choices": [choice], "usage": usage})


def _events(text: str, usage: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for piece in text.split():
        yield {"choices": [{"delta": {"content": piece}, "finish_reason": None}]}
    yield {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    yield {"choices": [], "usage": usage}


def stream(*events: dict[str, Any], last: str = "data: [DONE]\n\n") -> str:
    """Write server-sent events."""
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + last


def _refused(status: int, message: str) -> Answer:
    return Answer(status, {"error": {"message": message}})
