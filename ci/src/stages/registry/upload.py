"""Sending blobs: each in one streamed request, or in chunks that go on after a failure.

See https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-blobs
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

from stages.errors import StagesError, TransientError
from stages.registry import answers
from stages.registry.blob import Blob
from stages.registry.target import Target
from stages.retry import Attempts
from stages.stop import Stop

CHUNK = 8 * 2**20  # bytes sent at a time where a registry keeps what has come
PATIENCE = 300.0  # seconds for a registry to check and store what it has been sent
MOST_SESSIONS = 4  # uploads of one blob that a registry may lose, before it is sent no more chunks
_DONE = frozenset({200, 201, 202, 204})
_LOST = frozenset({400, 404, 410, 416})  # what is said of an upload that is not known, or no more
_BINARY = "application/octet-stream"


class LostError(TransientError):
    """The registry has given up the upload: the blob must be sent from its beginning."""


class NoChunksError(Exception):
    """The registry does not take blobs in chunks."""


@dataclass
class _Session:
    """An upload that a registry has begun.

    Attributes:
        address: Where it goes on; may be signed, so it is never shown.
        chunk: Bytes to send at a time; None where the registry wants more than is held.
        offset: Bytes that the registry has.
        furthest: The most that it ever had.
        doubtful: Whether it must be asked for the offset.
    """

    address: str = field(repr=False)
    chunk: int | None
    offset: int = 0
    furthest: int = 0
    doubtful: bool = False


@dataclass
class Uploads:
    """Sends blobs to one repository.

    Attributes:
        in_chunks: Whether to send chunks; a registry that does not take them ends it for all.
    """

    target: Target
    stop: Stop
    in_chunks: bool = False

    def send(self, blob: Blob, session: str | None) -> None:
        """Send a blob, however many tries it takes.

        Args:
            blob: What is sent.
            session: Address of an upload that the registry has already begun for it, if any.

        Raises:
            UnreachableError: Patience ran out.
            AccessError, AnswerError, NotFoundError: The registry refuses it.
            IntegrityError: The blob's bytes are not what they should be.
        """
        if self.in_chunks:
            try:
                return self._send_chunks(blob, session)
            except NoChunksError:
                self.in_chunks, session = False, None
        return self._send_whole(blob, session)

    def _send_whole(self, blob: Blob, session: str | None) -> None:
        attempts, tried = self._attempts(), False
        while True:
            try:
                if tried and self.target.has(blob.digest, size=blob.size):
                    return
                tried = True
                address, session = session or self._begin(blob).address, None
                self._finish(blob, address, whole=True)
            except TransientError as failure:
                self.stop.check()
                attempts.failed(failure)
            else:
                return

    def _send_chunks(self, blob: Blob, address: str | None) -> None:
        attempts, lost, tried = self._attempts(), 0, False
        session = _Session(address, chunk=CHUNK) if address else None
        while True:
            try:
                if tried and self.target.has(blob.digest, size=blob.size):
                    return
                tried = True
                session = session or self._begin(blob)
                self._go_on(blob, session, attempts)
                self._finish(blob, session.address, whole=False)
            except LostError as failure:
                session, lost = None, lost + 1
                if lost == MOST_SESSIONS:
                    raise NoChunksError from None
                attempts.failed(failure)
            except TransientError as failure:
                self.stop.check()
                if session:
                    session.doubtful = True
                attempts.failed(failure)
            else:
                return

    def _begin(self, blob: Blob) -> _Session:
        """Have the registry begin an upload."""
        ask = self.target.ask("POST", "blobs/uploads/", blob.digest)
        response = self.target.wire.send(ask)
        if response.status_code != httpx.codes.ACCEPTED:
            raise self._refused(response, blob)
        size = answers.chunk_size(response.headers, CHUNK)
        return _Session(self._next(response, blob), chunk=size)

    def _go_on(self, blob: Blob, session: _Session, attempts: Attempts) -> None:
        """Send what the registry has not got, chunk by chunk."""
        if session.chunk is None:
            raise NoChunksError
        if session.doubtful:
            self._ask_offset(blob, session)
        if session.offset == blob.size:
            return
        with blob.open(session.offset) as pieces:
            for chunk in _chunks(pieces, session.chunk):
                self.stop.check()
                self._send_chunk(blob, session, chunk)
                if session.offset > session.furthest:
                    session.furthest = session.offset
                    attempts.gained()

    def _send_chunk(self, blob: Blob, session: _Session, chunk: list[bytes]) -> None:
        size = sum(map(len, chunk))
        end = session.offset + size
        headers = {
            "Content-Type": _BINARY,
            "Content-Length": str(size),
            "Content-Range": f"{session.offset}-{end - 1}",
        }
        # An iterator lets go of the chunk when it has been sent, whoever still holds the request.
        ask = self.target.ask(
            "PATCH", session.address, blob.digest, headers=headers, content=lambda: iter(chunk)
        )
        response = self.target.wire.send(ask)
        if response.status_code not in _DONE:
            raise self._chunk_refused(response, blob, session)
        kept = answers.kept(response.headers)
        if kept not in {None, end}:
            raise LostError(f"{self._what(blob)}: the registry has {kept} bytes, it was sent {end}")
        session.offset, session.address = end, self._next(response, blob)

    def _ask_offset(self, blob: Blob, session: _Session) -> None:
        """Ask how far an upload has come; see the specification's "resuming an upload"."""
        response = self.target.wire.send(self.target.ask("GET", session.address, blob.digest))
        offset = answers.kept(response.headers)
        if response.status_code not in _DONE or offset is None or offset > blob.size:
            if response.status_code in {401, 403}:
                raise self._refused(response, blob)
            raise LostError(f"{self._what(blob)}: the registry has lost the upload")
        session.offset, session.doubtful = offset, False
        if "Location" in response.headers:
            session.address = self._next(response, blob)

    def _finish(self, blob: Blob, address: str, *, whole: bool) -> None:
        """End an upload by the blob's digest, with all its bytes or none."""
        size = blob.size if whole else 0
        ask = self.target.ask(
            "PUT",
            answers.with_digest(address, blob.digest),
            blob.digest,
            headers={"Content-Type": _BINARY, "Content-Length": str(size)},
            content=(lambda: self._bytes(blob)) if whole else None,
            patience=PATIENCE,
        )
        response = self.target.wire.send(ask)
        if response.status_code in _DONE:
            return
        if answers.code(response.content) == "DIGEST_INVALID":
            blob.check()
        if response.status_code in _LOST:
            raise LostError(f"{self._what(blob)}: {self._said(response)}")
        raise self._refused(response, blob)

    def _bytes(self, blob: Blob) -> Iterator[bytes]:
        """Give all bytes of a blob, until the work must stop."""
        with blob.open(0) as pieces:
            for piece in pieces:
                self.stop.check()
                yield piece

    def _next(self, response: httpx.Response, blob: Blob) -> str:
        """Read where an upload goes on."""
        location = response.headers.get("Location", "")
        address = str(response.request.url)
        return answers.next_address(address, location, what=self._what(blob))

    def _chunk_refused(self, response: httpx.Response, blob: Blob, session: _Session) -> Exception:
        """Tell an upload that is lost from a registry that takes no chunks."""
        status = response.status_code
        if status in {401, 403}:
            return self._refused(response, blob)
        known = status in {404, 410} or (status in _LOST and session.offset)
        if known:
            return LostError(f"{self._what(blob)}: {self._said(response)}")
        return NoChunksError()

    def _refused(self, response: httpx.Response, blob: Blob) -> StagesError:
        return self.target.refused(response, self._what(blob))

    def _said(self, response: httpx.Response) -> str:
        return f"status {response.status_code}{answers.words(response.content)}"

    def _what(self, blob: Blob) -> str:
        return f"{self.target}: {blob.digest}"

    def _attempts(self) -> Attempts:
        return self.target.attempts(self.stop)


def _chunks(pieces: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    """Put pieces together to chunks of `size` bytes; the last may have fewer."""
    chunk, room = list[bytes](), size
    for one in pieces:
        piece = one
        while len(piece) >= room:
            yield [*chunk, piece[:room]]
            piece, chunk, room = piece[room:], [], size
        chunk, room = [*chunk, piece], room - len(piece)
    if room < size:
        yield chunk
