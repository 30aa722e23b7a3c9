"""One registry as a client sees it: requests with what it wants to be shown, and to it alone."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import httpx

from stages.errors import AnswerError, TransientError
from stages.hub import LARGEST_ANSWER, MOST_REDIRECTS, REDIRECTS, translated
from stages.origin import Origin
from stages.reference import DOCKER_HUB, Reference
from stages.refusal import PASSING, wait
from stages.registry import answers, body
from stages.registry.keys import Keys, Scopes

DOCKER_HUB_API = "registry-1.docker.io"  # what answers for docker.io
MOST_RENEWALS = 2  # of what is shown, for one request: other threads may use up what was got
_OF_THE_BODY = {"content-encoding", "content-length", "transfer-encoding"}  # as it was sent


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request.

    Attributes:
        what: What it is about, for messages.
        scopes: What must be allowed for it.
        content: Gives the body's bytes, anew for each time that they are sent; None sends none.
        follow: Follow redirects; else they are an answer like any other.
        most: Bytes of an answer that are read; one more is given where there are more.
        patience: Seconds to wait for an answer; None waits as the client does.
    """

    method: str
    address: str
    what: object
    scopes: Scopes
    headers: Mapping[str, str] = field(default_factory=dict)
    content: Callable[[], Iterable[bytes]] | None = field(default=None, repr=False)
    follow: bool = False
    most: int = LARGEST_ANSWER
    patience: float | None = None


@dataclass(frozen=True)
class Wire:
    """A registry, by its host as references name it."""

    client: httpx.Client = field(repr=False)
    keys: Keys
    host: str

    @property
    def root(self) -> str:
        """The registry's address: https, but for one on this machine."""
        host = DOCKER_HUB_API if self.host == DOCKER_HUB else self.host
        scheme = "http" if Origin.of(f"https://{host}").is_loopback else "https"
        return f"{scheme}://{host}"

    def address(self, reference: Reference, path: str) -> str:
        """Give the address of something in a repository."""
        return f"{self.root}/v2/{reference.repository}/{path}"

    def send(self, ask: Ask) -> httpx.Response:
        """Make one try, and read the answer.

        Raises:
            TransientError: The try failed.
            AccessError: The registry gives us no token.
            AnswerError: The answer cannot be read, or redirects to where no request may go.
        """
        with self.stream(ask) as response, translated(self.host, None):
            content = body.read(response, most=ask.most, what=ask.what)
        return httpx.Response(
            response.status_code,
            headers=[pair for pair in response.headers.items() if pair[0] not in _OF_THE_BODY],
            content=content,
            request=response.request,
        )

    @contextlib.contextmanager
    def stream(self, ask: Ask) -> Iterator[httpx.Response]:
        """Make one try; the answer's body is still to be read. Raises as `send`."""
        home, address = Origin.of(self.root), ask.address
        shown, renewals = self.keys.held(self.host, ask.scopes), 0
        for _ in range(MOST_REDIRECTS + MOST_RENEWALS + 1):
            at_home = Origin.of(address) == home
            headers = dict(ask.headers)
            if at_home and shown:
                headers["Authorization"] = shown.reveal()
            with self._send(ask, address, headers) as response:
                unknown = response.status_code == httpx.codes.UNAUTHORIZED and at_home
                if unknown and renewals < MOST_RENEWALS:
                    shown = self.keys.renew(
                        ask.what, self.host, ask.scopes, refused=shown, response=response
                    )
                    renewals += 1
                elif ask.follow and response.status_code in _redirects(ask.method):
                    location = response.headers.get("Location", "")
                    address = answers.next_address(address, location, what=ask.what)
                else:
                    self._check(ask, response)
                    yield response
                    return
        raise AnswerError(f"{ask.what}: more than {MOST_REDIRECTS} redirects")

    @contextlib.contextmanager
    def _send(self, ask: Ask, address: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        try:
            request = self.client.build_request(
                ask.method,
                address,
                headers=headers,
                content=ask.content() if ask.content else None,
                timeout=self._timeout(ask),
            )
        except httpx.InvalidURL:
            raise AnswerError(f"{ask.what}: redirected to what is no https address") from None
        with translated(self.host, None):
            response = self.client.send(request, stream=True)
        try:
            yield response
        finally:
            response.close()

    def _check(self, ask: Ask, response: httpx.Response) -> None:
        if response.status_code in PASSING:
            pause = wait(response.headers)
            raise TransientError(f"{ask.what}: status {response.status_code}", wait_s=pause)

    def _timeout(self, ask: Ask) -> httpx.Timeout:
        ours = self.client.timeout
        if ask.patience is None:
            return ours
        return httpx.Timeout(
            connect=ours.connect, read=ask.patience, write=ours.write, pool=ours.pool
        )


def _redirects(method: str) -> frozenset[int]:
    """Say which redirects let a request be made again as it was."""
    return REDIRECTS if method in {"GET", "HEAD"} else frozenset({307, 308})
