"""A release's own launcher around a stand-in engine: the guard over real connections."""

import contextlib
import http.client
import socket
import time
import urllib.error
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.support.server import Server, children

Start = Callable[..., Server]
COMPLETIONS = "/v1/completions"


def test_the_guard_holds_at_the_wire(start: Start) -> None:
    """Key, routes, bounds and websockets, over a real connection."""
    server = start(VLLM_API_KEY="canary")
    server.wait_open()
    key = "Bearer canary"

    assert server.status("/v1/models", host="example.com/foo?") == 401
    assert server.status("/v1/models", host="example.com/foo?", authorization=key) == 200
    assert server.status("/health") == 200
    assert server.status("/v1/unlisted", {}, authorization=key) == 404
    for n in (10000, "10000", 1e4, 10000.0):
        body = {"prompt": "a", "n": n}
        assert server.status(COMPLETIONS, body, authorization=key) == 400
    many = {"prompt": ["a"] * 10_000}
    assert server.status(COMPLETIONS, many, authorization=key) == 400
    upgrade = {"connection": "Upgrade", "upgrade": "websocket"}
    handshake = {"sec-websocket-key": "eA==", "sec-websocket-version": "13"}
    assert _raw_status(server, {**upgrade, **handshake}) != HTTPStatus.SWITCHING_PROTOCOLS


def _raw_status(server: Server, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/v1/realtime", headers=headers)
        return connection.getresponse().status


def test_a_40_mb_body_is_refused(start: Start) -> None:
    """413 comes from the announced length, before the body is read."""
    server = start()
    server.wait_open()

    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(
            b"POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            b"content-length: 40000000\r\n\r\n"
        )
        assert client.recv(4096).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_a_huge_header_is_refused(start: Start, size: int) -> None:
    """uvicorn over httptools has no bound of its own (CVE-2025-48956)."""
    server = start()
    server.wait_open()

    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        try:
            client.sendall(
                b"GET /health HTTP/1.1\r\nhost: a\r\nx-huge: " + b"a" * size + b"\r\n\r\n"
            )
            answer = client.recv(4096)
        except ConnectionError:
            answer = b""

    assert not answer or answer.split()[1] in {b"431", b"400"}
    assert server.status("/health") == 200


def test_endless_trailers_are_refused(start: Start) -> None:
    """After a chunked body the parser takes more fields; they count like the head's."""
    server = start()
    server.wait_open()

    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(
            b"POST /health HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
        )
        sent = 0
        with contextlib.suppress(ConnectionError):
            for sent in range(2_000):
                client.sendall(b"x-%d: " % sent + b"a" * 1000 + b"\r\n")
                time.sleep(0.001)  # lets the other end close

    assert sent < 1_000

    assert server.status("/health") == 200


def test_slow_bodies_to_a_probe_take_no_place(start: Start) -> None:
    """Without a key nobody can fill the queue."""
    server = start(VLLM_API_KEY="canary", MAX_QUEUE="2")
    server.wait_open()
    with contextlib.ExitStack() as clients:
        for _ in range(4):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(b"POST /ping HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nx")

        body = {"prompt": "a"}
        assert server.status(COMPLETIONS, body, authorization="Bearer canary") == 200


def test_a_normal_header_passes(start: Start) -> None:
    """30 kB of cookies are rude but not an attack."""
    server = start()
    server.wait_open()

    assert server.status("/health", cookie="c" * 10_000) == 200


def test_past_the_queue_bound_503_says_when_to_come_back(start: Start) -> None:
    """MAX_QUEUE=3: the fourth request in flight is turned away."""
    server = start(SKIP_PREWARM="1", STANDIN_TOKEN="0.05", MAX_QUEUE="3")
    server.wait_open()
    endless = {"prompt": "a", "max_tokens": 600, "stream": True}
    streams = [server.open(COMPLETIONS, endless) for _ in range(3)]

    with pytest.raises(urllib.error.HTTPError) as full:
        server.open(COMPLETIONS, {"prompt": "a"})

    assert [stream.status for stream in streams] == [200] * 3
    assert full.value.code == 503
    assert full.value.headers["retry-after"] == "1"


def test_the_key_is_in_no_environment_and_no_log(start: Start) -> None:
    """/proc shows a process's first environment for ever, so the process starts over without."""
    server = start(VLLM_API_KEY="canary", HF_TOKEN="canary-hub")
    server.wait_open()

    for pid in (server.process.pid, *children(server.process.pid)):
        assert b"canary" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert b"canary" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert "canary" not in server.log
    assert server.status("/v1/models", authorization="Bearer canary") == 200
