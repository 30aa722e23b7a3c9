"""A proxy before a registry: it breaks what a test tells it to, and wants tokens if it is told to.

It speaks real HTTP on both sides. A second listener, `elsewhere`, is another origin that leads to
the same registry; what it is sent tells whether a credential crossed over.
"""

import base64
import contextlib
import http.client
import json
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PIECE = 16 * 1024  # bytes
HOP = {"connection", "keep-alive", "transfer-encoding"}


@dataclass(frozen=True)
class Seen:
    """One request as it came; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    elsewhere: bool

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def kind(self) -> str:
        """What it is about: `PUT upload`, `HEAD blob`, `PUT manifest` ..."""
        for part, name in (
            ("/uploads/", "upload"),
            ("/blobs/", "blob"),
            ("/manifests/", "manifest"),
        ):
            if part in self.path:
                return f"{self.method} {name}"
        return f"{self.method} other"

    @property
    def size(self) -> int:
        """The body's length in bytes."""
        return int(self.headers.get("content-length", 0))


@dataclass(frozen=True, kw_only=True)
class Act:
    """What to do instead of passing a request on.

    Attributes:
        status: Answer with this, unread and unasked; 0 asks the registry.
        body: What such an answer holds.
        cut_after: Break both connections after so many bytes of the body; None does not.
        unheard: Ask the registry, and break the connection instead of passing its answer on.
        before: Called before the registry is asked.
        meanwhile: Called where the body is cut.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"errors":[{"code":"FAULT","message":"told"}]}'
    cut_after: int | None = None
    unheard: bool = False
    before: Callable[[], object] = lambda: None
    meanwhile: Callable[[], object] = lambda: None


@dataclass
class Tokens:
    """A token service: for whom, and which of its tokens still open the registry.

    Attributes:
        user: User and password; None gives a token to anybody.
        basic: The registry itself wants user and password; there are no tokens.
        uses: How often a token opens the registry before it has expired; 0 is without end.
        refuses: Status of the service's own answers; 0 gives tokens.
        post_only: The service does not answer GET.
        asked: What was asked for, as the query or form gave it.
    """

    user: tuple[str, str] | None = None
    basic: bool = False
    uses: int = 0
    refuses: int = 0
    post_only: bool = False
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    scopes: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def basic_header(self) -> str:
        """User and password as a header says them."""
        pair = ":".join(self.user or ("", ""))
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    def give(self, query: dict[str, list[str]], header: str) -> tuple[int, dict[str, str]]:
        """Give a token for what a query or form asks."""
        self.asked.append(query)
        known = header == self.basic_header or query.get("refresh_token") == ["identity"]
        if query.get("grant_type") == ["password"]:
            known = (query["username"][0], query["password"][0]) == self.user
        if self.refuses or (self.user and not known):
            return self.refuses or 401, {}
        token = secrets.token_hex(16)
        with self.lock:
            self.left[token] = self.uses or 10**9
            self.scopes[token] = " ".join(query.get("scope", []))
        return 200, {"token": token}

    def opens(self, header: str) -> bool:
        """Whether a request may pass; counts the use of its token."""
        if self.basic:
            return header == self.basic_header
        token = header.removeprefix("Bearer ")
        with self.lock:
            left = self.left.get(token, 0)
            self.left[token] = left - 1
        return left > 0


@dataclass
class Proxy:
    """The proxy.

    Attributes:
        upstream: The registry's host and port.
        act: Decides on each request; None passes it on.
        tokens: What it wants to be shown; None wants nothing.
        uploads_elsewhere: Sends uploads to the other origin.
        seen: Every request, in order.
        acted: How many requests were not simply passed on.
        received: Bytes of blobs that it was sent.
    """

    upstream: str
    act: Callable[[Seen], Act | None] = lambda _: None
    tokens: Tokens | None = None
    uploads_elsewhere: bool = False
    seen: list[Seen] = field(default_factory=list)
    acted: int = 0
    received: int = 0
    port: int = 0
    other_port: int = 0

    @property
    def host(self) -> str:
        """What stands before the repository in an image's name."""
        return f"127.0.0.1:{self.port}"

    @property
    def elsewhere(self) -> str:
        """The address of the other origin."""
        return f"http://localhost:{self.other_port}"

    def asked(self, kind: str) -> list[Seen]:
        """List requests of one kind."""
        return [one for one in self.seen if one.kind == kind]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy
    is_elsewhere = False

    def log_message(self, *_: object) -> None:
        """Write nothing."""

    def _handle(self) -> None:
        headers = {name.lower(): text for name, text in self.headers.items()}
        seen = Seen(self.command, self.path, headers, self.is_elsewhere)
        self.proxy.seen.append(seen)
        if seen.path == "/token" and self.proxy.tokens:
            self._give_token(self.proxy.tokens, seen)
            return
        if self.proxy.tokens and not self.is_elsewhere:
            header = headers.get("authorization", "")
            if not self.proxy.tokens.opens(header):
                self.close_connection = seen.size > 0
                self._challenge(self.proxy.tokens)
                return
        chosen = self.proxy.act(seen)
        self.proxy.acted += chosen is not None
        act = chosen or Act()
        act.before()
        if act.status:
            self.close_connection = seen.size > 0  # its body stays unread
            self._answer(act.status, act.headers, act.body)
            return
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._pass(seen, act)
            return
        self._break()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

    def _pass(self, seen: Seen, act: Act) -> None:
        """Hand a request on, and its answer back."""
        upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=30)
        with contextlib.closing(upstream):
            upstream.putrequest(seen.method, seen.target, skip_host=True, skip_accept_encoding=True)
            for name, text in self.headers.items():
                if name.lower() not in HOP | {"host", "authorization"}:
                    upstream.putheader(name, text)
            upstream.putheader("Host", self.proxy.host)
            upstream.endheaders()
            left, sent = seen.size, 0
            while left:
                if act.cut_after is not None and sent >= act.cut_after:
                    act.meanwhile()
                    raise ConnectionError
                piece = self.rfile.read(min(PIECE, left))
                if not piece:
                    raise ConnectionError
                upstream.send(piece)
                left, sent = left - len(piece), sent + len(piece)
                self.proxy.received += len(piece) if "/uploads/" in seen.path else 0
            with upstream.getresponse() as answer:
                content = answer.read()
            if act.unheard:
                raise ConnectionError
            found = {name: text for name, text in answer.getheaders() if name.lower() not in HOP}
            if self.proxy.uploads_elsewhere and "/uploads/" in found.get("Location", ""):
                parts = urlsplit(found["Location"])
                found["Location"] = f"{self.proxy.elsewhere}{parts.path}?{parts.query}"
            self._answer(answer.status, found, content)

    def _give_token(self, tokens: Tokens, seen: Seen) -> None:
        query = parse_qs(urlsplit(seen.target).query)
        if seen.method == "POST":
            query = parse_qs(self.rfile.read(seen.size).decode())
        elif tokens.post_only:
            self._answer(404, {}, b"")
            return
        status, answer = tokens.give(query, seen.headers.get("authorization", ""))
        self._answer(status, {}, json.dumps(answer).encode())

    def _challenge(self, tokens: Tokens) -> None:
        realm = f"http://{self.proxy.host}/token"
        text = f'Bearer realm="{realm}",service="registry of tests"'
        if tokens.basic:
            text = 'Basic realm="registry of tests"'
        self._answer(401, {"WWW-Authenticate": text}, b"")

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        """Answer."""
        self.send_response_only(status)
        sent = dict(headers)
        if self.command != "HEAD":
            sent["Content-Length"] = str(len(content))
        for name, text in sent.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _break(self) -> None:
        """End the connection without another byte."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that go away."""


@contextlib.contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    """Run a proxy before the registry at `upstream`, a host with its port."""
    found = Proxy(upstream)
    here = type("Here", (_Handler,), {"proxy": found})
    there = type("There", (_Handler,), {"proxy": found, "is_elsewhere": True})
    with contextlib.ExitStack() as running:
        servers = [
            running.enter_context(_Server(("127.0.0.1", 0), handler)) for handler in (here, there)
        ]
        found.port, found.other_port = (one.server_address[1] for one in servers)
        for one in servers:
            threading.Thread(target=one.serve_forever, args=(0.05,), daemon=True).start()
            running.callback(one.shutdown)
        yield found
