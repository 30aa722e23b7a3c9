"""Bad input, verb by verb: each ends with one clear message, exit code 2, and nothing half made."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stages import dockerfile, lockfile
from stages.lockfile import Base
from stages.retry import Attempts
from tests.stages.model import NAME, OTHER_TOKEN, TOKEN, Ended
from tests.stages.packaging import Inputs, SmallBase
from tests.support.hub import LoopbackHub
from tests.support.server import ROOT

Run = Callable[..., Ended]
CLOSED = "127.0.0.1:9"  # nothing listens on the discard port


@dataclass(frozen=True)
class Given:
    """What a case may use: a gated Hub whose lock is written, and a place for its output."""

    hub: LoopbackHub
    folder: Path
    patch: pytest.MonkeyPatch

    @property
    def out(self) -> Path:
        """Where nothing may be afterwards."""
        return self.folder / "out"

    def image(self, base: SmallBase, *, name: str = "docker.io/vllm/vllm-openai:v0.9.0") -> Inputs:
        """Write what an image is made from, on a base of that name."""
        inputs = Inputs.write(self.folder / "inputs", base)
        lock = lockfile.read(inputs.folder / "lock")
        renamed = replace(lock, base=Base(image=name, digest=lock.base.digest))
        (inputs.folder / "lock").write_text(lockfile.dump(renamed))
        return inputs


Case = Callable[[Given, Run], Ended]


def download(given: Given, stages: Run, **environ: str) -> Ended:
    """Download the gated model."""
    return stages(
        *("download", f"--lock={given.folder / 'lock'}", f"--cache={given.folder / 'cache'}"),
        f"--out={given.out}",
        environ={"HF_ENDPOINT": given.hub.endpoint, **environ},
    )


def lock(given: Given, stages: Run, model: str, base: str, *, out: Path | None = None) -> Ended:
    """Lock a model with a token that has access."""
    environ = {"HF_ENDPOINT": given.hub.endpoint, "HF_TOKEN": TOKEN}
    return stages("lock", model, "--base", base, f"--out={out or given.out}", environ=environ)


def image(given: Given, stages: Run, inputs: Inputs) -> Ended:
    """Make a tree and an image of it."""
    assert stages(*inputs.rootfs()).code == 0
    words = [word for word in inputs.image() if not word.startswith("--out=")]
    return stages(*words, f"--out={given.out}")


def no_token(given: Given, stages: Run) -> Ended:
    """A gated model, and no token."""
    return download(given, stages)


def no_access(given: Given, stages: Run) -> Ended:
    """A gated model, and a token whose account has not accepted the licence."""
    return download(given, stages, HF_TOKEN=OTHER_TOKEN)


def unknown_model(given: Given, stages: Run) -> Ended:
    """A model that the Hub does not have."""
    return lock(given, stages, "nobody/nothing", f"{CLOSED}/a/b:v1")


def unreachable_registry(given: Given, stages: Run) -> Ended:
    """A base in a registry that is not there."""
    return lock(given, stages, NAME, f"{CLOSED}/vllm/vllm-openai:v0.9.0")


def base_without_vllm(given: Given, stages: Run) -> Ended:
    """A base that is somebody else's."""
    base = SmallBase(run={"Entrypoint": ["python3"], "Cmd": []})
    return image(given, stages, given.image(base, name="docker.io/library/python:3.12"))


def base_for_arm(given: Given, stages: Run) -> Ended:
    """A base that lists no image for x86-64."""
    return image(given, stages, given.image(SmallBase(platforms=["linux/arm64"])))


def full_disk(given: Given, stages: Run) -> Ended:
    """A disk with less room than the image takes."""
    inputs = given.image(SmallBase())
    assert stages(*inputs.rootfs()).code == 0
    given.patch.setattr("stages.disk.SPARE", 2**60)
    words = [word for word in inputs.image() if not word.startswith("--out=")]
    return stages(*words, f"--out={given.out}")


def arm_host(given: Given, stages: Run) -> Ended:
    """A smoke test in a docker build on an Arm machine."""
    (given.folder / "base/site-packages/vllm-0.9.0.dist-info").mkdir(parents=True)
    given.patch.setattr("platform.machine", lambda: "aarch64")
    path = ROOT / "model.lock.json"
    environ = dockerfile.arguments(lockfile.read(path)) | {"SMOKE": "cpu"}
    words = ("dockerfile", f"--lock={path}", f"--check={given.folder / 'base'}")
    return stages(*words, environ=environ)


CASES: dict[Case, str] = {
    no_token: f"{NAME} is gated and no token was sent. Accept its licence at ",
    no_access: f"{NAME} is gated and this token has no access. Accept its licence at ",
    unknown_model: "nobody/nothing",
    unreachable_registry: f"{CLOSED}",
    base_without_vllm: "docker.io/library/python:3.12 does not mention vLLM",
    base_for_arm: "is for linux/arm64, expected linux/amd64",
    full_disk: "too little disk",
    arm_host: "SMOKE=cpu runs the image, which is for x86-64, and this machine is aarch64",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_bad_input_is_told(
    case: Case,
    stages: Run,
    start: Callable[..., LoopbackHub],
    files: dict[str, bytes | Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One message that says what to do, no traceback, no token, and no output."""
    monkeypatch.setattr(Attempts, "_pause", lambda *_: 0.0)
    hub = start(files, gated=True, token=TOKEN, known=(OTHER_TOKEN,))
    given = Given(hub, tmp_path, monkeypatch)
    base = f"docker.io/vllm/vllm-openai:v0.9.0@sha256:{'d' * 64}"
    assert lock(given, stages, NAME, base, out=tmp_path / "lock").code == 0

    ended = case(given, stages)

    assert ended.code == 2
    assert CASES[case] in ended.err
    assert len([line for line in ended.err.splitlines() if line.startswith("stages: ")]) == 1
    assert "Traceback" not in ended.err
    assert not any(token in ended.err + ended.out for token in (TOKEN, OTHER_TOKEN))
    assert not given.out.exists()
