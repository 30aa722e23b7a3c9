"""Stand-ins for what a publishing step runs (curl, gcloud, docker, dagger) and what they saw."""

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.server import ROOT

PUSHED = "us-docker.pkg.dev/acme/repo/image:tag@sha256:" + "a" * 64
GCLOUD = "ya29.registry-canary-0123456789"
# Takes --output FILE, and writes the installer there; it makes a dagger that records its call.
CURL = r"""#!/usr/bin/env bash
printf 'curl %s\n' "$*" >>"$RECORD"
while [ "$1" != --output ]; do shift; done
cat >"$2" <<'INSTALLER'
printf 'installer DAGGER_VERSION=%s\n' "$DAGGER_VERSION" >>"$RECORD"
cp "$STANDIN_DAGGER" "$BIN_DIR/dagger"
INSTALLER
"""
DAGGER = r"""#!/usr/bin/env python3
import json, os, subprocess, sys
words = sys.argv[1:]
password = words[words.index("--password") + 1]
scheme, _, place = password.partition("://")
secret = os.environ[place] if scheme == "env" else subprocess.check_output(place, shell=True)
docker = subprocess.run(["docker", "version"], check=True, capture_output=True, text=True).stdout
call = {"words": words, "secret": str(secret), "token": os.environ["HF_TOKEN"], "docker": docker}
with open(os.environ["RECORD"], "a") as record:
    record.write("dagger " + json.dumps(call) + "\n")
print(os.environ["PUSHED"])
"""
GCLOUD_PROGRAM = r"""#!/bin/sh
echo "gcloud $*" >>"$RECORD"
echo "$GCLOUD_TOKEN"
"""
DOCKER = "#!/bin/sh\necho 'a client'\n"


@dataclass(frozen=True)
class Ran:
    """How a script ended, and what the stand-ins wrote down."""

    code: int
    out: str
    err: str
    record: list[str]

    @property
    def call(self) -> dict[str, Any]:
        """The one call of dagger."""
        (line,) = [one for one in self.record if one.startswith("dagger ")]
        found: dict[str, Any] = json.loads(line.removeprefix("dagger "))
        return found

    @property
    def flags(self) -> dict[str, str]:
        """The flags of the function that was called."""
        words = self.call["words"]
        rest = words[words.index("publish") + 1 :]
        return dict(zip(rest[::2], rest[1::2], strict=True))


@dataclass(frozen=True)
class Workspace:
    """A checkout with the scripts, and stand-ins for the programs that they run."""

    folder: Path

    def run(self, command: list[str], environ: Mapping[str, str]) -> Ran:
        """Run a command as a build step does."""
        record = self.folder / "record"
        record.touch()
        own = {
            "RECORD": str(record),
            "PUSHED": PUSHED,
            "GCLOUD_TOKEN": GCLOUD,
            "STANDIN_DAGGER": str(self.folder / "standin-dagger"),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
        }
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=own | dict(environ),
            capture_output=True,
            text=True,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr, record.read_text().splitlines())

    @classmethod
    def make(cls, folder: Path) -> "Workspace":
        """Lay out scripts and stand-ins."""
        (folder / "bin").mkdir()
        (folder / "scripts").mkdir()
        for name in ("publish", "dagger-cli"):
            shutil.copy(ROOT / "scripts" / name, folder / "scripts")
        (folder / "dagger.json").write_text('{\n  "engineVersion": "v1.2.3"\n}\n')
        programs = {"curl": CURL, "gcloud": GCLOUD_PROGRAM, "docker": DOCKER}
        for path, text in {f"bin/{name}": text for name, text in programs.items()}.items():
            program(folder / path, text)
        program(folder / "standin-dagger", DAGGER)
        return cls(folder)


def program(path: Path, text: str) -> None:
    """Write a program."""
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
