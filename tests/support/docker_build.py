"""What a `docker build` of this repository needs on a machine without networks: all of it loopback.

A build context with a lock of its own, an index of Python packages, and the image afterwards as a
layout that holds our blobs only.
"""

import contextlib
import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.dockerd import Docker
from tests.support.registry import ACCEPT, Registry
from tests.support.server import ROOT

COPIED = (  # what .dockerignore lets in
    "Dockerfile",
    ".dockerignore",
    "ci/src/stages",
    "requirements/tool.lock",
    "runtime",
    "scripts/docker-smoke",
)


@dataclass(frozen=True)
class Context:
    """A folder to build from, as a clone of the repository with another lock."""

    folder: Path

    @property
    def lock(self) -> Path:
        """The lock that the build reads."""
        return self.folder / "model.lock.json"

    @classmethod
    def make(cls, folder: Path) -> "Context":
        """Copy what a build reads."""
        for path in COPIED:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / path).is_dir():
                shutil.copytree(ROOT / path, target)
            else:
                shutil.copy2(ROOT / path, target)
        return cls(folder)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Leave the test's output alone."""


@contextlib.contextmanager
def package_index(folder: Path) -> Iterator[Path]:
    """Serve the tool lock's packages in `folder`, and give the pip.conf that names the place."""
    wheels = folder / "wheels"
    lock = ROOT / "requirements/tool.lock"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    words = ["--no-deps", "--require-hashes", "--dest", str(wheels), "--requirement", str(lock)]
    subprocess.run([*pip, *words], check=True)
    handler = functools.partial(_Quiet, directory=str(wheels))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        conf = folder / "pip.conf"
        place = f"http://127.0.0.1:{server.server_port}/"
        conf.write_text(f"[global]\nno-index = true\nfind-links = {place}\n")
        try:
            yield conf
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True, kw_only=True)
class Builder:
    """How this repository is built in the tests.

    Attributes:
        arguments: Build arguments, over the Dockerfile's own.
        secrets: Secret's name -> the file that holds it.
    """

    engine: Docker
    context: Context
    arguments: Mapping[str, str]
    secrets: Mapping[str, Path]

    def build(
        self, tag: str, arguments: Mapping[str, str] | None = None, *, check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """Run `docker build`, with more arguments where they are given."""
        given = dict(self.arguments) | dict(arguments or {})
        words = [f"--build-arg={name}={value}" for name, value in given.items()]
        words += [f"--secret=id={name},src={path}" for name, path in self.secrets.items()]
        # Only on the host's network can a build reach the tests' loopback servers.
        return self.engine.run(
            "build",
            "--network=host",
            *words,
            f"--tag={tag}",
            ".",
            check=check,
            cwd=self.context.folder,
            timeout=600,
        )


def layout_of(engine: Docker, registry: Registry, tag: str, folder: Path) -> Path:
    """Push an image, and write an OCI layout of it without the base's blobs."""
    repository = "acme/dockerfile"
    name = f"{registry.host}/{repository}:{folder.name}"
    engine.run("tag", tag, name)
    engine.run("push", name)
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    content = _read(f"http://{registry.host}/v2/{repository}/manifests/{folder.name}")
    manifest = json.loads(content)
    base = json.loads(_read(f"http://{registry.host}/v2/base/manifests/v0.32.0"))["layers"]
    ours = manifest["layers"][len(base) :]
    named = _keep(blobs, content) | {"mediaType": manifest["mediaType"]}
    for one in (manifest["config"], *ours):
        _keep(blobs, _read(f"http://{registry.host}/v2/{repository}/blobs/{one['digest']}"))
    index = {"schemaVersion": 2, "manifests": [named]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


def _read(address: str) -> bytes:
    request = urllib.request.Request(address, headers={"Accept": ACCEPT})
    with urllib.request.urlopen(request, timeout=60) as answer:
        content: bytes = answer.read()
        return content


def _keep(blobs: Path, content: bytes) -> dict[str, object]:
    found = hashlib.sha256(content).hexdigest()
    (blobs / found).write_bytes(content)
    return {"digest": f"sha256:{found}", "size": len(content)}


def stages(
    *words: object, environ: Mapping[str, str] | None = None, wrapper: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    """Run `python -m stages ...` as a user does, and keep what it writes."""
    keep = {key: text for key, text in os.environ.items() if key in {"PATH", "LANG", "TMPDIR"}}
    return subprocess.run(
        [*wrapper, sys.executable, "-m", "stages", *map(str, words)],
        env=keep | {"PYTHONPATH": str(ROOT / "ci/src")} | dict(environ or {}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
