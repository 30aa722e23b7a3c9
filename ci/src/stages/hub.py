"""The Hugging Face Hub as a client sees it: facts on a repository, and ranges of its files.

The token goes to the Hub's own origin and nowhere else. Redirects are followed by hand, so that
no header crosses to another origin by accident, and no address that may be signed is shown.
See https://huggingface.co/docs/hub/api
"""

import contextlib
import hashlib
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urljoin

import httpx

from stages import refusal
from stages.errors import AnswerError, IntegrityError, TransientError, UnreachableError
from stages.origin import DIRECT, Origin
from stages.repository import Entry, Repository, read_repository
from stages.retry import Attempts, Patience, persist
from stages.secret import Secret

USER_AGENT = "prewarm/0.1"
TIMEOUT = httpx.Timeout(30.0, connect=10.0, pool=None)  # seconds; 30 without a byte is a failure
MOST_REDIRECTS = 5
LARGEST_ANSWER = 64 * 2**20  # bytes, of an API answer or a small file
REDIRECTS = frozenset({301, 302, 303, 307, 308})


def open_client() -> httpx.Client:
    """Make the one client of a program: it follows no redirect and keeps loopback direct."""
    return httpx.Client(
        timeout=TIMEOUT,
        follow_redirects=False,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        mounts=dict.fromkeys(DIRECT),
    )


@dataclass
class Remote:
    """One file on the Hub at one commit.

    Attributes:
        location: Where the Hub sent us for its bytes; may be signed, so it is never shown.
    """

    model: str
    commit: str
    path: str
    location: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Body:
    """An answer whose bytes are still to come.

    Attributes:
        status: 200 or 206.
        headers: Their names ignore case.
        chunks: The body's bytes, once; raises TransientError when they stop coming.
        socket: What `chunks` waits on; None where the transport has none.
    """

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]
    socket: socket.socket | None


@dataclass(frozen=True)
class Hub:
    """A Hub, and who asks it."""

    client: httpx.Client = field(repr=False)
    endpoint: str
    token: Secret | None = None
    patience: Patience = field(default_factory=Patience)

    @property
    def origin(self) -> Origin:
        """The only origin that is sent the token."""
        return Origin.of(self.endpoint)

    def page(self, model: str) -> str:
        """Give the page on which a reader accepts the model's licence."""
        return f"{self.endpoint}/{model}"

    def repository(self, model: str, revision: str) -> Repository:
        """Read a model's commit and files at a branch, tag or commit.

        Raises:
            AccessError, NotFoundError: The Hub refuses, or knows no such model or revision.
            UnsafeError: A file's name is hostile.
            UnreachableError, AnswerError: No answer, or none that can be understood.
        """
        address = f"{self.endpoint}/api/models/{model}/revision/{quote(revision, safe='')}"
        asked = refusal.Asked(model=model, revision=revision, page=self.page(model))
        answer = self._read(f"{address}?blobs=true", asked)
        try:
            value = json.loads(answer)
        except (ValueError, RecursionError) as error:
            raise AnswerError(f"{model}: the Hub's answer is not JSON") from error
        return read_repository(value, model=model)

    def small(self, model: str, commit: str, entry: Entry) -> bytes:
        """Fetch a small file whole, and check it by its git SHA-1 or its sha256.

        Raises:
            IntegrityError: The bytes are not those that the repository lists.
            AccessError, NotFoundError, UnreachableError, AnswerError: As for `repository`.
        """
        if entry.size > LARGEST_ANSWER:
            raise AnswerError(f"{entry.path} is {entry.size} bytes: not a small file")
        asked = refusal.Asked(model, commit, self.page(model), path=entry.path)
        address = self._address(Remote(model, commit, entry.path))
        content = self._read(address, asked, commit=commit)
        if entry.sha256 is not None:
            sound = hashlib.sha256(content).hexdigest() == entry.sha256
        else:
            blob = b"blob %d\0" % len(content) + content
            sound = hashlib.sha1(blob, usedforsecurity=False).hexdigest() == entry.blob
        if len(content) != entry.size or not sound:
            raise IntegrityError(
                f"{entry.path}: the Hub sent {len(content)} bytes that are not the {entry.size} "
                "bytes it lists. Try again; if it happens again, do not trust this Hub or proxy"
            )
        return content

    def check_access(self, model: str, commit: str, path: str) -> None:
        """Ask whether a file may be fetched, without fetching it.

        Raises:
            AccessError, NotFoundError, UnreachableError, AnswerError: As for `repository`.
        """
        asked = refusal.Asked(model, commit, self.page(model), path=path)

        def ask() -> None:
            address = self._address(Remote(model, commit, path))
            for _ in range(MOST_REDIRECTS + 1):
                with self._send("HEAD", address, {}) as response:
                    _check_commit(response, asked)
                    if response.status_code not in REDIRECTS | {200}:
                        raise self._refuse(response, asked)
                    if response.status_code in REDIRECTS:
                        address = self._next(address, response, asked)
                    if response.status_code == httpx.codes.OK or self._is_elsewhere(address):
                        return

        persist(ask, Attempts(patience=self.patience))

    @contextlib.contextmanager
    def stream(self, remote: Remote, start: int, end: int) -> Iterator[Body]:
        """Ask for bytes `start` to `end` (excluded) of a file: one try, its body unread.

        The answer is 206 or 200; whoever reads it checks what range it holds.

        Raises:
            TransientError: This try failed.
            AccessError, NotFoundError, IntegrityError, AnswerError: As for `repository`.
        """
        asked = refusal.Asked(
            remote.model, remote.commit, self.page(remote.model), path=remote.path
        )
        headers = {"Range": f"bytes={start}-{end - 1}"}
        with self._follow(remote, headers, asked) as response:
            network = response.extensions.get("network_stream")
            yield Body(
                status=response.status_code,
                headers=response.headers,
                chunks=self._chunks(response, asked),
                socket=network.get_extra_info("socket") if network else None,
            )

    def _chunks(self, response: httpx.Response, asked: refusal.Asked) -> Iterator[bytes]:
        """Read a body as it comes."""
        with translated(asked, self.token):
            yield from response.iter_raw()

    @contextlib.contextmanager
    def _follow(
        self, remote: Remote, headers: dict[str, str], asked: refusal.Asked
    ) -> Iterator[httpx.Response]:
        """Follow redirects to the file's bytes, starting where they were found before."""
        address = remote.location or self._address(remote)
        for _ in range(MOST_REDIRECTS + 1):
            with self._send("GET", address, headers) as response:
                _check_commit(response, asked)
                if response.status_code in {200, 206}:
                    remote.location = address if self._is_elsewhere(address) else None
                    yield response
                    return
                if response.status_code not in REDIRECTS:
                    remote.location = None
                    raise self._refuse(response, asked)
                address = self._next(address, response, asked)
        raise AnswerError(f"{asked}: more than {MOST_REDIRECTS} redirects")

    def _read(self, address: str, asked: refusal.Asked, *, commit: str = "") -> bytes:
        """Read an answer whole, trying again when a try fails in passing."""

        def attempt() -> bytes:
            remote = Remote(asked.model, commit, asked.path, location=address)
            content = bytearray()
            with self._follow(remote, {}, asked) as response:
                for chunk in self._chunks(response, asked):
                    content += chunk
                    if len(content) > LARGEST_ANSWER:
                        raise AnswerError(f"{asked}: the answer is larger than 64 MiB")
            return bytes(content)

        return persist(attempt, Attempts(patience=self.patience))

    @contextlib.contextmanager
    def _send(self, method: str, address: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Send one request, with the token only if the Hub's own origin gets it."""
        origin = Origin.of(address)
        sent = dict(headers)
        if self.token and origin == self.origin and origin.keeps_secrets:
            sent["Authorization"] = f"Bearer {self.token.reveal()}"
        request = self.client.build_request(method, address, headers=sent)
        with translated(origin, self.token):
            response = self.client.send(request, stream=True)
        try:
            yield response
        finally:
            response.close()

    def _next(self, address: str, response: httpx.Response, asked: refusal.Asked) -> str:
        """Read where a redirect leads; refuses to leave https."""
        try:
            target: str = urljoin(address, response.headers.get("Location", ""))
            origin = Origin.of(str(httpx.URL(target)))
        except (ValueError, httpx.InvalidURL):
            raise AnswerError(f"{asked}: redirected to what is no http address") from None
        if Origin.of(address).scheme == "https" and origin.scheme != "https":
            raise AnswerError(f"{asked}: redirected from https to {origin}, which is refused")
        return target

    def _refuse(self, response: httpx.Response, asked: refusal.Asked) -> Exception:
        """Turn a refusal into the error that says what to do."""
        at_hub = Origin.of(str(response.request.url)) == self.origin
        return refusal.error_for(
            response.status_code, response.headers, asked, token=self.token, at_hub=at_hub
        )

    def _is_elsewhere(self, address: str) -> bool:
        return Origin.of(address) != self.origin

    def _address(self, remote: Remote) -> str:
        return f"{self.endpoint}/{remote.model}/resolve/{remote.commit}/{quote(remote.path)}"


@contextlib.contextmanager
def translated(what: object, token: Secret | None) -> Iterator[None]:
    """Turn failures of the network into ours, which name no address but the origin."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise TransientError(f"{what}: no byte came within the time limit") from error
    except httpx.TransportError as error:
        text = token.hide_in(str(error)) if token else str(error)
        cause = error.__cause__
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise UnreachableError(
                    f"{what}: its certificate is not trusted. Behind a proxy that reads "
                    "TLS, name its certificate in SSL_CERT_FILE"
                ) from None
            cause = cause.__cause__
        raise TransientError(f"{what}: {text or 'the connection was cut'}") from None


def _check_commit(response: httpx.Response, asked: refusal.Asked) -> None:
    """Refuse an answer that is about another commit than the one asked for."""
    commit = response.headers.get("X-Repo-Commit")
    if asked.path and commit is not None and commit != asked.revision:
        raise IntegrityError(
            f"{asked}: the Hub answers with commit {commit[:40]!a}. The commit has moved: "
            "run `lock` again and review what changed"
        )
