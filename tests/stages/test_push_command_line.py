"""Bad input to `push` ends with a message and exit code 2, before anybody is asked."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stages.model import Ended
from tests.stages.pushing import Ready

Run = Callable[..., Ended]
NOBODY = "127.0.0.1:9/a/b"  # where no registry listens
DIGEST = f"sha256:{'d' * 64}"


# What is asked, in what environment, and what the message says; IMAGE stands for the layout.
BAD: dict[str, tuple[str, dict[str, str], str]] = {
    "nothing": ("", {}, "required: LAYOUT, TARGET, --report, --scan"),
    "no target": ("IMAGE --report=R --scan=S", {}, "required: TARGET"),
    "no report": (f"IMAGE {NOBODY}:v1 --scan=S", {}, "required: --report"),
    "no scan": (f"IMAGE {NOBODY}:v1 --report=R", {}, "required: --scan"),
    "report that is absent": (
        f"IMAGE {NOBODY}:v1 --report=none --scan=S", {}, "--report: none cannot be read: No such"
    ),
    "scan that is absent": (
        f"IMAGE {NOBODY}:v1 --report=R --scan=none", {}, "--scan: none cannot be read: No such fil"
    ),
    "scan that is a folder": (f"IMAGE {NOBODY}:v1 --report=R --scan=.", {}, "Is a directory"),
    "no layout": (f"none {NOBODY}:v1 --report=R --scan=S", {}, "none is no OCI image layout"),
    "target without a tag": (f"IMAGE {NOBODY} --report=R --scan=S", {}, "needs a tag"),
    "target with a digest": (
        f"IMAGE {NOBODY}:v1@{DIGEST} --report=R --scan=S", {}, "needs a tag, and no digest"
    ),
    "target that is no name": ("IMAGE A:B --report=R --scan=S", {}, "TARGET: 'A:B' is not an im"),
    "two repositories": (
        f"IMAGE {NOBODY}:v1 {NOBODY}/c:v1 --report=R --scan=S", {}, "all must be tags of one repos"
    ),
    "two problems": (
        "IMAGE A:B --report=R --scan=S --mount-from=C:D", {}, "name; expected HOST/REPOSITORY:TAG; "
    ),
    "mount that is no name": (
        f"IMAGE {NOBODY}:v1 --report=R --scan=S --mount-from=A:B", {}, "--mount-from: 'A:B' is not"
    ),
    "mount from elsewhere": (
        f"IMAGE {NOBODY}:v1 --report=R --scan=S --mount-from=ghcr.io/a/b",
        {},
        "ghcr.io/a/b is not in the target's registry; expected 127.0.0.1:9/REPOSITORY",
    ),
    "base that is no name": (
        f"IMAGE {NOBODY}:v1 --report=R --scan=S --base=A:B", {}, "--base: 'A:B' is not an image's"
    ),
    "unknown mode": (
        f"IMAGE {NOBODY}:v1 --report=R --scan=S --uploads=fast", {}, "invalid choice: 'fast'"
    ),
    "no lock": (
        f"IMAGE {NOBODY}:v1 --report=R --scan=S --lock=none", {}, "none cannot be read: No such fi"
    ),
    "user without a password": (
        f"IMAGE {NOBODY}:v1 --report=R --scan=S",
        {"REGISTRY_USERNAME": "ada"},
        "REGISTRY_PASSWORD is not set, REGISTRY_USERNAME is",
    ),
    "password file that is absent": (
        f"IMAGE {NOBODY}:v1 --report=R --scan=S",
        {"REGISTRY_USERNAME": "ada", "REGISTRY_PASSWORD_FILE": "none"},
        "REGISTRY_PASSWORD_FILE (none) cannot be read: No such file",
    ),
    "base's user without a password": (
        f"IMAGE {NOBODY}:v1 --report=R --scan=S --base=ghcr.io/a/b",
        {"BASE_REGISTRY_USERNAME": "ada"},
        "BASE_REGISTRY_PASSWORD is not set, BASE_REGISTRY_USERNAME is",
    ),
    "Docker's configuration that is none": (
        f"IMAGE {NOBODY}:v1 --report=R --scan=S",
        {"DOCKER_CONFIG": "docker"},
        "docker/config.json is not Docker's configuration",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(
    stages: Run, ready: Ready, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """Each case has exit code 2 and a message of one line, and asks nobody."""
    line, environ, message = BAD[case]
    monkeypatch.chdir(ready.inputs.folder)
    Path("docker").mkdir()
    Path("docker/config.json").write_text("[]")
    named = {"IMAGE": ready.layout, "--report=R": f"--report={ready.report}"}
    named["--scan=S"] = f"--scan={ready.scan}"

    ended = stages("push", *(named.get(word, word) for word in line.split()), environ=environ)

    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.splitlines()[-1].startswith("stages: ")
    assert "Traceback" not in ended.err
