"""What the guard adds to a request, in milliseconds.

usage: bench/guard.py [--requests N]

Serves one FastAPI application twice on loopback, bare and behind the guard, and sends the same
chat request to each in turn over a kept connection.
"""

import argparse
import contextlib
import http.client
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from runtime.drain import Drain
from runtime.guard import Guard
from runtime.settings import Secret, Settings

PATH = "/v1/chat/completions"
BODY = json.dumps(
    {"model": "m", "n": 1, "messages": [{"role": "user", "content": "word " * 500}]}
).encode()
HEADERS = {"content-type": "application/json", "authorization": "Bearer key"}


def application() -> FastAPI:
    """Return an application that reads the body as JSON, as vLLM does."""
    app = FastAPI()

    @app.post(PATH)
    async def chat(request: Request) -> dict[str, int]:
        return {"messages": len((await request.json())["messages"])}

    return app


@contextlib.contextmanager
def serving(app: object) -> Iterator[http.client.HTTPConnection]:
    """Serve `app` on a free port and yield a connection to it."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", loop="uvloop")  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        yield connection
    server.should_exit = True
    thread.join()


def milliseconds(connection: http.client.HTTPConnection) -> float:
    """Time one request."""
    begun = time.perf_counter()
    connection.request("POST", PATH, BODY, HEADERS)
    answer = connection.getresponse()
    answer.read()
    if answer.status != http.HTTPStatus.OK:
        raise SystemExit(f"expected 200, got {answer.status}")
    return (time.perf_counter() - begun) * 1e3


def main() -> None:
    """Print both medians and their difference."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=3000)
    count = parser.parse_args().requests
    guarded = Guard(application(), Settings(api_key=Secret("key")), Drain(1), templates=False)
    with serving(application()) as bare, serving(guarded) as behind:
        times = [(milliseconds(bare), milliseconds(behind)) for _ in range(count)]
    without, with_guard = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"median of {count} requests: bare {without:.3f} ms, guarded {with_guard:.3f} ms,")
    print(f"the guard adds {with_guard - without:.3f} ms")


if __name__ == "__main__":
    main()
