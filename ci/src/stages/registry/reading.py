"""What is read from a registry: which digest a tag names, manifests, and blobs."""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import httpx

from stages.credentials import Login
from stages.errors import AccessError, AnswerError, NotFoundError, TransientError
from stages.hub import translated
from stages.names import DIGEST
from stages.origin import Origin
from stages.reference import Reference
from stages.refusal import EXPIRED
from stages.registry.keys import Keys
from stages.registry.wire import Ask, Wire
from stages.retry import Attempts, Patience, persist

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
PIECE = 2**18  # bytes of a blob handed on at a time


@dataclass(frozen=True)
class Registry:
    """Registries, asked as anybody but where the login is known."""

    client: httpx.Client = field(repr=False)
    patience: Patience = field(default_factory=Patience)
    login: Login | None = None
    keys: Keys = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Begin with no token."""
        object.__setattr__(self, "keys", Keys(self.client, self.login))

    def digest(self, reference: Reference) -> str:
        """Give the `sha256:` digest of an image, an index included; one with a digest is its own.

        Raises:
            NotFoundError: The registry has no such image.
            AccessError: It does not show the image to us.
            UnreachableError, AnswerError: No answer, or none that can be understood.
        """
        if reference.digest:
            return reference.digest

        def attempt() -> str:
            return self._digest(reference)

        return persist(attempt, Attempts(patience=self.patience))

    def manifest(self, reference: Reference, digest: str, *, most: int) -> bytes:
        """Read a manifest or an index, whose bytes the caller holds against the digest.

        Args:
            reference: Names the registry and repository.
            digest: Names the manifest.
            most: A longer answer is cut after so many bytes and one more.

        Raises:
            StagesError: As `digest`.
        """
        named = replace(reference, tag=None, digest=digest)
        return self._read(named, f"manifests/{digest}", {"Accept": ", ".join(MANIFESTS)}, most)

    def blob(self, reference: Reference, digest: str, *, most: int) -> bytes:
        """Read a small blob, whose bytes the caller holds against the digest; see `manifest`."""
        named = replace(reference, tag=None, digest=digest)
        return self._read(named, f"blobs/{digest}", {}, most)

    def has(
        self, reference: Reference, digest: str, *, size: int | None = None, actions: str = "pull"
    ) -> bool:
        """Ask whether a repository holds a blob, once.

        Args:
            reference: Names the registry and repository.
            digest: Names the blob.
            size: How many bytes it must have; None takes any number.
            actions: What the token that is asked for shall allow.

        Raises:
            TransientError: This try failed.
            AnswerError: It holds another number of bytes than `size` under the digest.
            StagesError: As `digest`.
        """
        named = replace(reference, tag=None, digest=digest)
        ask = self._ask("HEAD", named, f"blobs/{digest}", {}, follow=True)
        ask = replace(ask, scopes=(f"repository:{reference.repository}:{actions}",))
        with self.wire(reference).stream(ask) as response:
            if response.status_code == httpx.codes.NOT_FOUND:
                return False
            self.check(response, named)
            length = response.headers.get("Content-Length")
        if size is not None and length not in {None, str(size)}:
            raise AnswerError(f"{named} has {length} bytes there, expected {size}")
        return True

    def missing(
        self, reference: Reference, digests: Iterable[str], *, also: Sequence[Reference] = ()
    ) -> list[str]:
        """List the blobs that a push to this repository would have to bring along.

        Args:
            reference: Names the repository.
            digests: The blobs.
            also: Repositories of the same registry that blobs can be mounted from.

        Raises:
            StagesError: As `digest`.
        """
        places = [reference, *also]

        def there(place: Reference, digest: str) -> bool:
            return persist(lambda: self.has(place, digest), Attempts(patience=self.patience))

        return [one for one in digests if not any(there(place, one) for place in places)]

    @contextlib.contextmanager
    def stream(self, reference: Reference, digest: str, start: int) -> Iterator[Iterator[bytes]]:
        """Give a blob's bytes from `start` on, unchecked: one try.

        Raises:
            TransientError: This try failed, maybe while the bytes are read.
            StagesError: As `digest`.
        """
        named = replace(reference, tag=None, digest=digest)
        headers = {"Range": f"bytes={start}-"} if start else {}
        wire = self.wire(reference)
        with wire.stream(
            self._ask("GET", named, f"blobs/{digest}", headers, follow=True)
        ) as response:
            elsewhere = Origin.of(str(response.request.url)) != Origin.of(wire.root)
            if elsewhere and response.status_code in EXPIRED:
                status = response.status_code
                raise TransientError(f"{named}: the storage behind the registry refuses ({status})")
            partial = response.status_code == httpx.codes.PARTIAL_CONTENT
            if not partial:
                self.check(response, named)
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise AnswerError(f"{named}: the registry sends another part than was asked for")
            skip = 0 if partial else start
            yield _pieces(response, wire.host, skip)

    def wire(self, reference: Reference) -> Wire:
        """Give the registry that a reference names."""
        return Wire(self.client, self.keys, reference.host)

    def check(self, response: httpx.Response, reference: Reference) -> None:
        """Refuse what is no success.

        Raises:
            NotFoundError, AccessError, AnswerError: As `digest`.
        """
        _check(response, reference, known=self.login is not None)

    def _digest(self, reference: Reference) -> str:
        path, accept = f"manifests/{reference.tag or 'latest'}", {"Accept": ", ".join(MANIFESTS)}
        wire = self.wire(reference)
        response = wire.send(self._ask("HEAD", reference, path, accept))
        digest: str = response.headers.get("Docker-Content-Digest", "")
        if response.status_code == httpx.codes.OK and not digest:
            response = wire.send(self._ask("GET", reference, path, accept))
            digest = f"sha256:{hashlib.sha256(response.content).hexdigest()}"
        self.check(response, reference)
        if not DIGEST.fullmatch(digest):
            raise AnswerError(f"{reference}: the registry names no sha256 digest")
        return digest

    def _read(self, reference: Reference, path: str, headers: dict[str, str], most: int) -> bytes:
        """Read an answer, trying again when a try fails in passing."""
        follow = path.startswith("blobs/")
        ask = replace(self._ask("GET", reference, path, headers, follow=follow), most=most)

        def attempt() -> bytes:
            response = self.wire(reference).send(ask)
            self.check(response, reference)
            return response.content

        return persist(attempt, Attempts(patience=self.patience))

    def _ask(
        self,
        method: str,
        reference: Reference,
        path: str,
        headers: dict[str, str],
        *,
        follow: bool = False,
    ) -> Ask:
        return Ask(
            method=method,
            address=self.wire(reference).address(reference, path),
            what=reference,
            scopes=(f"repository:{reference.repository}:pull",),
            headers=headers,
            follow=follow,
        )


def _pieces(response: httpx.Response, host: str, skip: int) -> Iterator[bytes]:
    """Read a body as it comes, without its first `skip` bytes."""
    with translated(host, None):
        for piece in response.iter_raw(PIECE):
            if skip < len(piece):
                yield piece[skip:]
            skip = max(0, skip - len(piece))


def _check(response: httpx.Response, reference: Reference, *, known: bool) -> None:
    status = response.status_code
    if status == httpx.codes.NOT_FOUND:
        raise NotFoundError(f"{reference}: the registry has no such image. Check the name and tag")
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise AccessError(
            f"{reference}: the registry does not show it to {'this user' if known else 'anybody'}. "
            "Check the name and the login (BASE_REGISTRY_USERNAME and BASE_REGISTRY_PASSWORD, or "
            "Docker's), or read it from an OCI image layout"
        )
    if status != httpx.codes.OK:
        raise AnswerError(f"{reference}: the registry answers with status {status}")
