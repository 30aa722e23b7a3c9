"""Container registries: which digest a tag names, and what a base's manifests say.

Anonymous: a registry that wants a token is asked for one that anybody gets.
See https://github.com/opencontainers/distribution-spec/blob/main/spec.md and
https://distribution.github.io/distribution/spec/auth/token/
"""

import hashlib
import json
import re
from dataclasses import dataclass, field, replace

import httpx

from stages.errors import AccessError, AnswerError, NotFoundError, TransientError
from stages.hub import LARGEST_ANSWER, MOST_REDIRECTS, REDIRECTS, translated
from stages.names import DIGEST
from stages.origin import Origin
from stages.reference import DOCKER_HUB, Reference
from stages.refusal import PASSING, wait
from stages.retry import Attempts, Patience, persist
from stages.secret import Secret

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
DOCKER_HUB_API = "registry-1.docker.io"  # what answers for docker.io
_OF_THE_BODY = {"content-encoding", "content-length", "transfer-encoding"}  # as it was sent
_PARAMETER = re.compile(r'([a-z]+)="([^"]*)"')


@dataclass(frozen=True)
class Registry:
    """A registry, asked as anybody."""

    client: httpx.Client = field(repr=False)
    patience: Patience = field(default_factory=Patience)

    def digest(self, reference: Reference) -> str:
        """Give the `sha256:` digest of an image, an index included; one with a digest is its own.

        Raises:
            NotFoundError: The registry has no such image.
            AccessError: It does not show the image to anybody.
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

    def _digest(self, reference: Reference) -> str:
        path, accept = f"manifests/{reference.tag or 'latest'}", {"Accept": ", ".join(MANIFESTS)}
        response = self._ask("HEAD", reference, path, accept)
        digest: str = response.headers.get("Docker-Content-Digest", "")
        if response.status_code == httpx.codes.OK and not digest:
            response = self._ask("GET", reference, path, accept)
            digest = f"sha256:{hashlib.sha256(response.content).hexdigest()}"
        _check(response, reference)
        if not DIGEST.fullmatch(digest):
            raise AnswerError(f"{reference}: the registry names no sha256 digest")
        return digest

    def _read(self, reference: Reference, path: str, headers: dict[str, str], most: int) -> bytes:
        """Read an answer, trying again when a try fails in passing."""

        def attempt() -> bytes:
            response = self._ask("GET", reference, path, headers, most=most)
            if path.startswith("blobs/"):
                response = self._followed(response, reference, most)
            _check(response, reference)
            return response.content

        return persist(attempt, Attempts(patience=self.patience))

    def _ask(
        self,
        method: str,
        reference: Reference,
        path: str,
        headers: dict[str, str],
        *,
        most: int = LARGEST_ANSWER,
    ) -> httpx.Response:
        """Ask a repository, with the token that anybody gets where one is wanted."""
        address = f"{_root(reference)}/v2/{reference.repository}/{path}"
        response = self._send(method, address, headers, reference, most=most)
        if response.status_code != httpx.codes.UNAUTHORIZED:
            return response
        token = self._token(response, reference)
        authorized = headers | {"Authorization": f"Bearer {token.reveal()}"}
        return self._send(method, address, authorized, reference, most=most)

    def _followed(
        self, response: httpx.Response, reference: Reference, most: int
    ) -> httpx.Response:
        """Follow a registry to the storage of its blobs, which is never shown a token."""
        for _ in range(MOST_REDIRECTS):
            if response.status_code not in REDIRECTS:
                return response
            try:
                target = response.request.url.join(response.headers.get("Location", ""))
                safe = Origin.of(str(target)).keeps_secrets
            except (ValueError, httpx.InvalidURL):
                safe = False
            if not safe:
                raise AnswerError(f"{reference}: redirected to what is no https address")
            response = self._send("GET", str(target), {}, reference, most=most)
        raise AnswerError(f"{reference}: more than {MOST_REDIRECTS} redirects")

    def _send(
        self,
        method: str,
        address: str,
        headers: dict[str, str],
        reference: Reference,
        *,
        most: int = LARGEST_ANSWER,
    ) -> httpx.Response:
        """Send one request, follow no redirect, and read at most `most` bytes and one more."""
        with (
            translated(reference.host, None),
            self.client.stream(method, address, headers=headers) as response,
        ):
            content = bytearray()
            try:
                for piece in response.iter_bytes():
                    content += piece
                    if len(content) > most:
                        break
            except httpx.DecodingError:
                raise AnswerError(f"{reference}: the answer's encoding is not sound") from None
        if response.status_code in PASSING:
            pause = wait(response.headers)
            raise TransientError(f"{reference}: status {response.status_code}", wait_s=pause)
        return httpx.Response(
            response.status_code,
            headers=[pair for pair in response.headers.items() if pair[0] not in _OF_THE_BODY],
            content=bytes(content[: most + 1]),
            request=response.request,
        )

    def _token(self, response: httpx.Response, reference: Reference) -> Secret:
        """Ask the token service that the registry names for a token to pull with."""
        challenge = response.headers.get("WWW-Authenticate", "")
        scheme, _, rest = challenge.partition(" ")
        parameters = dict(_PARAMETER.findall(rest))
        if scheme.lower() != "bearer" or not _is_safe(parameters.get("realm", "")):
            raise AccessError(f"{reference}: the registry shows it to nobody unknown")
        scope = f"repository:{reference.repository}:pull"
        query = {"service": parameters.get("service", ""), "scope": scope}
        address = str(httpx.URL(parameters["realm"]).copy_merge_params(query))
        answer = self._send("GET", address, {}, reference)
        try:
            value = json.loads(answer.content)
            return Secret(value.get("token") or value["access_token"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise AccessError(f"{reference}: the registry gives anybody no token") from None


def _is_safe(address: str) -> bool:
    """Whether a token may be asked for at this address."""
    try:
        return Origin.of(str(httpx.URL(address))).keeps_secrets
    except (ValueError, httpx.InvalidURL):
        return False


def _root(reference: Reference) -> str:
    """Give the address of a registry: https, but for one on this machine."""
    host = DOCKER_HUB_API if reference.host == DOCKER_HUB else reference.host
    scheme = "http" if Origin.of(f"https://{host}").is_loopback else "https"
    return f"{scheme}://{host}"


def _check(response: httpx.Response, reference: Reference) -> None:
    status = response.status_code
    if status == httpx.codes.NOT_FOUND:
        raise NotFoundError(f"{reference}: the registry has no such image. Check the name and tag")
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        advice = (
            "read it from a copy that is open, or from an OCI image layout"
            if reference.digest
            else "a private base needs its digest: NAME:TAG@sha256:..."
        )
        raise AccessError(
            f"{reference}: the registry does not show it to anybody. Check the name; {advice}"
        )
    if status != httpx.codes.OK:
        raise AnswerError(f"{reference}: the registry answers with status {status}")
