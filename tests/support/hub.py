"""A Hugging Face Hub on loopback, with storage on another origin, and faults on demand.

It speaks what the real one speaks: model info with blobs, resolve with redirects (LFS files to a
signed address on the storage's origin, small files within the Hub), ranges, ETag and
X-Repo-Commit, gated 401 and 403, 404 with its error codes, and answers that go wrong.

usage: python -m tests.support.hub NAME FOLDER [--token-file FILE] [--port N]
"""

import argparse
import asyncio
import json
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from tests.support.hub_repo import Content, Repo, is_lfs
from tests.support.hub_wire import Answer, Pace, Request, Wire

SIGNATURE = "signed-canary-5f1e"  # in every storage address; must never be shown

Change = Callable[[Answer], Answer]


@dataclass
class Fault:
    """Changes the first `times` answers whose path contains `path`, on one of the origins."""

    change: Change
    path: str = ""
    where: str = "storage"
    times: int = 1
    method: str = "GET"


@dataclass
class LoopbackHub:
    """A Hub with one model, run in a thread of its own while the block lasts.

    Attributes:
        gated: Whether files need a token whose account has accepted the licence.
        token: The token of an account with access; others are of accounts without.
        known: Further tokens that exist but have no access.
        facts: Changes the model info before it is sent.
    """

    repo: Repo
    gated: bool = False
    token: str = ""
    known: tuple[str, ...] = ()
    faults: list[Fault] = field(default_factory=list)
    facts: Callable[[dict[str, object]], dict[str, object]] = field(default=lambda facts: facts)
    rate: float = 0.0
    send_buffer: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        """Make both origins."""
        self.hub = Wire(self._hub, port=self.port)
        self.storage = Wire(self._storage, Pace(self.rate), self.send_buffer)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self.hub.port}"

    def fetched(self, path: str) -> int:
        """Count the GET requests for a file's bytes on the storage."""
        sha256 = next(iter(self.repo.commits.values()))[path].sha256
        return sum(sha256 in one.target for one in self.storage.log if one.method == "GET")

    def __enter__(self) -> Self:
        """Start listening."""
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening and break what is open."""
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._serve())
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _serve(self) -> None:
        started = asyncio.Barrier(3)

        async def wait() -> None:
            await started.wait()

        async with asyncio.TaskGroup() as group:
            group.create_task(self.hub.serve(wait))
            group.create_task(self.storage.serve(wait))
            await started.wait()
            self._ready.set()

    def _hub(self, request: Request) -> Answer:
        return self._faulty("hub", request, self._hub_answer(request))

    def _storage(self, request: Request) -> Answer:
        return self._faulty("storage", request, self._storage_answer(request))

    def _faulty(self, where: str, request: Request, answer: Answer) -> Answer:
        for fault in self.faults:
            fits = fault.where == where and fault.method == request.method
            if fits and fault.times > 0 and fault.path in request.target:
                fault.times -= 1
                return fault.change(answer)
        return answer

    def _hub_answer(self, request: Request) -> Answer:
        sent = request.headers.get("authorization", "").removeprefix("Bearer ")
        if sent and sent not in {self.token, *self.known}:
            words = "Invalid credentials in Authorization header"
            return Answer(401, {"X-Error-Message": words}, b'{"error":"Invalid"}')
        if found := re.fullmatch(r"/api/models/(.+?)/tree/([^/]+)/?", request.path):
            return self._info(found[1], found[2], tree=True)
        if found := re.fullmatch(r"/api/models/(.+?)(?:/revision/(.+))?", request.path):
            return self._info(found[1], found[2] or "main")
        cached = re.fullmatch(r"/api/resolve-cache/models/(.+?)/([0-9a-f]{40})/(.+)", request.path)
        found = cached or re.fullmatch(r"/(.+?)/resolve/([^/]+)/(.+)", request.path)
        if found is None or found[1] != self.repo.name:
            return _missing("RepoNotFound", "Repository not found", status=404 if sent else 401)
        if self.gated and sent != self.token:
            return self._closed(authenticated=bool(sent))
        return self._resolve(request, found[2], found[3], cached=bool(cached))

    def _info(self, name: str, revision: str, *, tree: bool = False) -> Answer:
        if name != self.repo.name:
            return _missing("RepoNotFound", "Repository not found", status=401)
        commit = self.repo.resolve(revision)
        if commit is None:
            return _missing("RevisionNotFound", f"Invalid rev id: {revision}")
        value = self.repo.tree(commit) if tree else self.facts(self.repo.facts(commit))
        text = json.dumps(value).encode()
        return Answer(200, {"Content-Type": "application/json"}, text)

    def _closed(self, *, authenticated: bool) -> Answer:
        name = self.repo.name
        words = f"Access to model {name} is restricted"
        if authenticated:
            words += f" and you are not in the authorized list. Visit {name} to ask for access."
        else:
            words += ". You must have access to it and be authenticated to access it."
        headers = {"X-Error-Code": "GatedRepo", "X-Error-Message": words}
        return Answer(403 if authenticated else 401, headers, words.encode())

    def _resolve(self, request: Request, revision: str, path: str, *, cached: bool) -> Answer:
        commit = self.repo.resolve(revision)
        if commit is None:
            return _missing("RevisionNotFound", f"Invalid rev id: {revision}")
        content = self.repo.commits[commit].get(path)
        if content is None:
            answer = _missing("EntryNotFound", "Entry not found")
            return replace(answer, headers=answer.headers | {"X-Repo-Commit": commit})
        etag = f'"{self.repo.etag(path, content)}"'
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if is_lfs(path):
            location = f"http://127.0.0.1:{self.storage.port}/{content.sha256}?sig={SIGNATURE}"
            linked = {"X-Linked-Size": str(content.size), "X-Linked-Etag": etag}
            return Answer(302, headers | linked | {"Location": location, "ETag": etag})
        if not cached:
            location = f"/api/resolve-cache/models/{self.repo.name}/{commit}/{quote(path)}"
            return Answer(307, headers | {"Location": location, "ETag": etag})
        return _ranged(request, content, headers | {"ETag": etag})

    def _storage_answer(self, request: Request) -> Answer:
        if request.query.get("sig") != [SIGNATURE]:
            return Answer(403, {}, b"AccessDenied")
        for files in self.repo.commits.values():
            for content in files.values():
                if content.sha256 == request.path.strip("/"):
                    return _ranged(request, content, {"Accept-Ranges": "bytes"})
        return Answer(404, {}, b"NoSuchKey")


def _missing(code: str, words: str, *, status: int = 404) -> Answer:
    return Answer(status, {"X-Error-Code": code, "X-Error-Message": words}, words.encode())


def _ranged(request: Request, content: Content, headers: dict[str, str]) -> Answer:
    """Answer with the whole file, or the range that is asked for."""
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if found is None:
        return Answer(200, headers, content=content, end=content.size)
    start, end = int(found[1]), min(int(found[2] or content.size - 1) + 1, content.size)
    if start >= content.size:
        return Answer(416, headers | {"Content-Range": f"bytes */{content.size}"})
    headers = headers | {"Content-Range": f"bytes {start}-{end - 1}/{content.size}"}
    return Answer(206, headers, content=content, start=start, end=end)


def main(argv: list[str]) -> None:
    """Serve a folder as a model until interrupted; gated if there is a token."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--token-file", type=Path)
    parser.add_argument("--port", type=int, default=0)
    found = parser.parse_args(argv)
    token = found.token_file.read_text().strip() if found.token_file else ""
    repo = Repo.of_folder(found.name, found.folder)
    with LoopbackHub(repo, gated=bool(token), token=token, port=found.port) as hub:
        sys.stdout.write(f"{hub.endpoint}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
