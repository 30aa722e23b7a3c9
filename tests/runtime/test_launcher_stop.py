"""A release's own launcher around a stand-in engine: how a stop ends it, in each phase."""

import concurrent.futures
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.server import Server, children

Start = Callable[..., Server]
COMPLETIONS = "/v1/completions"


@pytest.mark.parametrize(
    ("environ", "phase"),
    [
        ({"STANDIN_START": "30"}, "compile level"),
        ({"STANDIN_FAIL": "hang"}, "Waiting for application startup"),
    ],
    ids=["engine start", "warm-up"],
)
def test_sigterm_before_the_port_opens_exits_143(
    start: Start, environ: dict[str, str], phase: str
) -> None:
    """Nothing is worth saving yet: the engine is ended and the process is gone at once."""
    server = start(**environ)
    server.wait_for(phase)
    time.sleep(0.5)  # well into the phase that follows the line
    below = children(server.process.pid)

    code, seconds = server.stop()

    assert code == 143
    assert seconds < 2
    assert server.watch.opened_at is None
    deadline = time.monotonic() + 2
    while (left := [pid for pid in below if _lives(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def _lives(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_sigterm_while_idle_exits_0(start: Start) -> None:
    """A server that was told to stop has not failed."""
    server = start()
    server.wait_open()

    code, seconds = server.stop()

    assert code == 0
    assert seconds < 2


def test_streams_finish_within_the_limit_and_longer_ones_are_told(start: Start) -> None:
    """8 streams in flight at SIGTERM: the short ones end whole, the long ones with an error."""
    server = start(SKIP_PREWARM="1", STANDIN_TOKEN="0.05", SHUTDOWN_TIMEOUT="2")
    server.wait_open()
    tokens = [10, 20, 30, 30, 600, 600, 600, 600]
    with concurrent.futures.ThreadPoolExecutor(len(tokens)) as pool:
        streams = [
            server.open(COMPLETIONS, {"prompt": "a", "max_tokens": n, "stream": True})
            for n in tokens
        ]
        texts = pool.map(lambda stream: stream.read().decode(), streams)
        code, seconds = server.stop()
        ended = list(texts)

    assert code == 0
    assert 1.9 < seconds < 3
    for count, text in zip(tokens, ended, strict=True):
        assert text.endswith("data: [DONE]\n\n")
        assert ("error" in text) == (count == 600)
        assert count == 600 or f'"n": {count - 1}' in text


def test_sigterm_is_bounded_even_when_the_event_loop_is_busy(start: Start) -> None:
    """The limit is kept by a thread, not by the loop that is stuck."""
    server = start(SKIP_PREWARM="1", SHUTDOWN_TIMEOUT="1")
    server.wait_open()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        body = b'{"prompt": "block"}'
        client.sendall(
            b"POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )
        time.sleep(0.5)  # the handler blocks by now

        _, seconds = server.stop()

    assert seconds < 3


def test_no_connection_is_taken_while_draining(start: Start) -> None:
    """The port closes at the signal, so that a balancer sends clients elsewhere."""
    server = start(SKIP_PREWARM="1", STANDIN_TOKEN="0.05", SHUTDOWN_TIMEOUT="2")
    server.wait_open()
    stream = server.open(COMPLETIONS, {"prompt": "a", "max_tokens": 30, "stream": True})
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)  # uvicorn looks every 0.1 s whether it shall stop

    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0
    assert b'"n": 29' in stream.read()
    assert server.wait(5) == 0


def test_a_second_sigterm_cuts_at_once(start: Start) -> None:
    """Who asks twice does not want to wait."""
    server = start(SKIP_PREWARM="1", STANDIN_TOKEN="0.05", SHUTDOWN_TIMEOUT="20")
    server.wait_open()
    stream = server.open(COMPLETIONS, {"prompt": "a", "max_tokens": 600, "stream": True})
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)  # the first signal must have been seen

    code, seconds = server.stop()

    assert (code, seconds < 2) == (0, True)
    assert b"told so twice" in stream.read()
