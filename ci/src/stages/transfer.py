"""Fetching files into the cache: parallel ranges, each with its own tries, and a hash that follows.

Threads carry the bytes, because reading a socket, writing a file and hashing all run outside
Python's global lock. The hash reads what was written back from the page cache, in order, right
behind the frontier, so it proves the file and not the network, and ends when the transfer does.
"""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stages.cache import Cache
from stages.errors import (
    AnswerError,
    IntegrityError,
    StorageError,
    TransientError,
)
from stages.hub import Body, Hub, Remote
from stages.lockfile import File
from stages.parallel import together
from stages.partial import Partial
from stages.range_answer import Span, span_of
from stages.ranges import Part
from stages.retry import Attempts, Patience
from stages.stop import Stop

STREAMS = 4  # requests at a time; more gain nothing on one machine's processors
HASHERS = 2
GAIN = 2**20  # bytes after which a transfer counts as moving again
READ = 2**20  # bytes hashed at a time


@dataclass(kw_only=True)
class Incoming:
    """One file on its way.

    Attributes:
        whole: Set by the thread that reads the file in one go, because the server ignores ranges.
    """

    file: File
    remote: Remote
    partial: Partial
    whole: threading.Lock = field(default_factory=threading.Lock)


@dataclass(kw_only=True)
class Transfer:
    """Fetches a set of files.

    Attributes:
        suspect: Files whose bytes, some of them from an earlier run, turned out wrong.
    """

    hub: Hub
    cache: Cache
    incoming: Sequence[Incoming]
    stop: Stop = field(default_factory=Stop)
    patience: Patience = field(default_factory=Patience)
    suspect: list[File] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many bytes are there in all."""
        return sum(one.partial.count for one in self.incoming)

    async def run(self) -> None:
        """Fetch and verify every file, and move it into the cache.

        Raises:
            IntegrityError: A file has another sha256 than the lock; nothing of it is kept.
            StagesError: As `Hub.stream`; what came is kept for the next run.
        """
        jobs = deque(
            (one, part)
            for one in self.incoming
            for part in one.partial.parts
            if one.partial.done[part.index] < part.size
        )
        files = deque(self.incoming)
        works = [lambda: self._fetch_all(jobs)] * STREAMS + [
            lambda: self._hash_all(files)
        ] * HASHERS
        # Abandoned threads may wait for an answer for a while; `stop` lets them write nothing more.
        await together([self._guarded(work) for work in works], stop=self.stop)

    def _guarded(self, work: Callable[[], None]) -> Callable[[], None]:
        """Say what a failure of the disk means."""

        def run() -> None:
            try:
                work()
            except OSError as error:
                raise StorageError(
                    f"the cache {self.cache.folder} cannot be written: {error.strerror}. What "
                    "has been fetched is kept: make room, and run the same command again"
                ) from error

        return run

    def _fetch_all(self, jobs: "deque[tuple[Incoming, Part]]") -> None:
        while True:
            self.stop.check()
            try:
                one, part = jobs.popleft()
            except IndexError:
                return
            self._fetch(one, part)

    def _fetch(self, one: Incoming, part: Part) -> None:
        """Fetch what is missing of a part, however many tries it takes."""
        attempts = Attempts(patience=self.patience, sleep=self.stop.sleep)
        gained = one.partial.done[part.index]
        while (done := one.partial.done[part.index]) < part.size:
            if done - gained >= GAIN:
                attempts.gained()
            gained = done
            try:
                self._try(one, part)
            except TransientError as failure:
                self.stop.check()
                if one.partial.done[part.index] - gained < GAIN:
                    attempts.failed(failure)

    def _try(self, one: Incoming, part: Part) -> None:
        """Make one request for the rest of a part, and write what it brings."""
        start = part.start + one.partial.done[part.index]
        with self.hub.stream(one.remote, start, part.end) as body:
            span = span_of(body.status, body.headers, start, part.end, one.file)
            if not span.whole:
                self._receive(one, span, body)
                return
            if one.whole.acquire(blocking=False):
                try:
                    self._receive(one, span, body)
                finally:
                    one.whole.release()
                return
        while one.partial.done[part.index] < part.size and one.whole.locked():
            self.stop.sleep(0.05)

    def _receive(self, one: Incoming, span: Span, body: Body) -> None:
        """Write an answer's body as it comes; `stop` ends it at once."""
        offset = span.start
        with self.stop.watching(body.socket):
            for chunk in body.chunks:
                if offset + len(chunk) > span.end:
                    raise AnswerError(f"{one.file.path}: the server sent more than it announced")
                self.stop.check()
                one.partial.write(offset, chunk)
                offset += len(chunk)
        if offset < span.end:
            raise TransientError(f"{one.file.path}: the answer ended early")

    def _hash_all(self, files: "deque[Incoming]") -> None:
        while True:
            self.stop.check()
            try:
                one = files.popleft()
            except IndexError:
                return
            self._judge(one, self._hash(one))

    def _hash(self, one: Incoming) -> str:
        """Hash the file behind its frontier, and give the sha256 when the end is reached."""
        hasher = hashlib.sha256()
        room = memoryview(bytearray(READ))
        position = 0
        while position < one.file.size:
            with one.partial.moved:
                while (there := one.partial.frontier) <= position:
                    self.stop.check()
                    one.partial.moved.wait(0.2)
            while position < there:
                self.stop.check()
                piece = room[: min(READ, there - position)]
                count = os.preadv(one.partial.data, [piece], position)
                hasher.update(piece[:count])
                position += count
        return hasher.hexdigest()

    def _judge(self, one: Incoming, sha256: str) -> None:
        """Keep a file with the right sha256; delete any other."""
        if sha256 == one.file.sha256:
            one.partial.complete(self.cache.path(one.file))
            return
        one.partial.discard()
        if one.partial.resumed:
            self.suspect.append(one.file)
            return
        raise IntegrityError(
            f"{one.file.path}: the Hub sent bytes with sha256 {sha256}, the lock says "
            f"{one.file.sha256}. Nothing of it was kept. Run the same command again; if it "
            "happens again, do not trust this Hub or proxy"
        )
