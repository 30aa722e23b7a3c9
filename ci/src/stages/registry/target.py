"""The repository that is pushed to."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

import httpx

from stages.errors import AccessError, AnswerError, NotFoundError, StagesError, TransientError
from stages.reference import Reference
from stages.registry import answers
from stages.registry.reading import Registry
from stages.registry.wire import Ask, Wire
from stages.retry import Attempts, Patience
from stages.stop import Stop

PUSHING = Patience(attempts=10)  # a registry that is started again needs a while
ACTIONS = "pull,push"
KEPT = "What has been uploaded is kept: run the same command again to go on"


@dataclass(frozen=True)
class Target:
    """A repository and who pushes to it.

    Attributes:
        reference: Names it, with neither tag nor digest.
    """

    registry: Registry = field(repr=False)
    reference: Reference
    patience: Patience = PUSHING

    @property
    def wire(self) -> Wire:
        """The registry."""
        return self.registry.wire(self.reference)

    def attempts(self, stop: Stop) -> Attempts:
        """Count the failures of one piece of work."""
        return Attempts(patience=self.patience, sleep=stop.sleep, kept=KEPT)

    def has(self, digest: str, *, size: int) -> bool:
        """Ask once whether a blob is there; raises as `Registry.has`."""
        return self.registry.has(self.reference, digest, size=size, actions=ACTIONS)

    def mount(self, digest: str, *, source: Reference) -> tuple[bool, str | None]:
        """Ask once for a blob of another repository of the same registry.

        Returns:
            Whether it is there now; else where the registry begins an upload instead, if it does.

        Raises:
            TransientError: This try failed.
        """
        query = urlencode({"mount": digest, "from": source.repository})
        ask = self.ask("POST", f"blobs/uploads/?{query}", digest)
        wanted = f"repository:{source.repository}:pull"
        try:
            response = self.wire.send(replace(ask, scopes=(*ask.scopes, wanted)))
        except AccessError:
            return False, None  # no leave to read there: the blob comes another way
        if response.status_code == httpx.codes.ACCEPTED:
            location, address = response.headers.get("Location", ""), str(response.request.url)
            return False, answers.next_address(address, location, what=ask.what)
        return response.status_code == httpx.codes.CREATED, None

    def put_manifest(self, content: bytes, kind: str, name: str) -> None:
        """Write a manifest once, by its digest or under a tag.

        Raises:
            TransientError: This try failed.
            AccessError, AnswerError, NotFoundError: The registry refuses it.
        """
        ask = self.ask(
            "PUT",
            f"manifests/{name}",
            name,
            headers={"Content-Type": kind, "Content-Length": str(len(content))},
            content=lambda: [content],
        )
        response = self.wire.send(ask)
        if response.status_code not in {200, 201, 202, 204}:
            raise self.refused(response, ask.what)

    def manifest(self, kind: str, name: str, *, most: int) -> str:
        """Read a manifest once, by its digest or tag, and give the digest of its bytes.

        Raises:
            TransientError: This try failed.
            AccessError, AnswerError, NotFoundError: The registry does not give it.
        """
        ask = replace(
            self.ask("GET", f"manifests/{name}", name, headers={"Accept": kind}), most=most
        )
        return self._digest(ask)

    def blob(self, digest: str, *, most: int) -> str:
        """Read a small blob once, and give the digest of its bytes; raises as `manifest`."""
        ask = self.ask("GET", f"blobs/{digest}", digest)
        return self._digest(replace(ask, follow=True, most=most))

    def ask(
        self,
        method: str,
        path: str,
        name: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: Callable[[], Iterable[bytes]] | None = None,
        patience: float | None = None,
    ) -> Ask:
        """Make a request of this repository, for a path in it or an address it gave."""
        address = path if "://" in path else self.wire.address(self.reference, path)
        return Ask(
            method=method,
            address=address,
            what=f"{self}: {name}",
            scopes=(f"repository:{self.reference.repository}:{ACTIONS}",),
            headers=headers or {},
            content=content,
            follow=method in {"POST", "PUT", "PATCH"},
            patience=patience,
        )

    def refused(self, response: httpx.Response, what: object) -> StagesError:
        """Choose the error for an answer that is no success and will not become one."""
        status = response.status_code
        login = self.registry.login
        said = answers.words(response.content, [login.password] if login else [])
        if status in {401, 403}:
            who = "this user" if login else "anybody"
            return AccessError(
                f"{what}: the registry does not let {who} push{said}. Check REGISTRY_USERNAME and "
                "REGISTRY_PASSWORD, or Docker's login, and what it may do in this repository"
            )
        if status == httpx.codes.NOT_FOUND:
            return NotFoundError(f"{what}: the registry knows no such place{said}. Create it first")
        if status in {408, 429} or status >= 500:  # noqa: PLR2004
            return TransientError(f"{what}: status {status}{said}")
        return AnswerError(f"{what}: the registry answers with status {status}{said}")

    def _digest(self, ask: Ask) -> str:
        response = self.wire.send(ask)
        if response.status_code != httpx.codes.OK:
            raise self.refused(response, ask.what)
        return f"sha256:{hashlib.sha256(response.content).hexdigest()}"

    def __str__(self) -> str:
        """Name the repository as a reader would."""
        return f"{self.reference.host}/{self.reference.repository}"
