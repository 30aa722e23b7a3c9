"""`build` takes a lock to an image in a registry: Debian's own registry, a Hub on loopback."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.stages.answering import answering
from tests.stages.model import COMMIT, NAME, TOKEN, Ended, everything_below
from tests.stages.packaging import config_of, manifest_of
from tests.stages.pushing import blobs_of
from tests.stages.smoking import sound, write
from tests.support.hub import LoopbackHub
from tests.support.hub_repo import Repo
from tests.support.registry import Registry, registry
from tests.support.server import ROOT, children

Run = Callable[..., Ended]
STEPS = ["download", "rootfs", "image", "smoke, level static", "scan", "push"]
PASSWORD = "password-canary-7c41d9"

pytestmark = pytest.mark.containers


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Registry]:
    """Run a registry."""
    with registry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    """Serve a model that loads, to whom its licence was accepted."""
    files: dict[str, bytes | Path] = dict(sound())
    with ExitStack() as running:
        repo = Repo.of(NAME, files, commit=COMMIT)
        yield running.enter_context(LoopbackHub(repo, gated=True, token=TOKEN))


def words(
    folder: Path, target: Registry, *more: str, tags: tuple[str, ...] = (":v1",)
) -> list[str]:
    """Give the words of a `build` of what lies in a folder."""
    names = [f"{target.host}/acme/tiny{tag}" for tag in tags]
    named = [f"--{name}={folder / name}" for name in ("lock", "runtime", "cache", "work")]
    return ["build", *names, *named, f"--base=oci:{folder / 'base'}", *more]


def steps(ended: Ended) -> list[str]:
    """List the steps that a build told."""
    told = [line.removeprefix("stages: build: ") for line in ended.err.splitlines()]
    return [line for line in told if line in STEPS]


def asked_for_files(hub: LoopbackHub) -> list[str]:
    """List what was asked of the Hub and its storage."""
    return [one.target for wire in (hub.hub, hub.storage) for one in wire.log]


def test_a_lock_becomes_an_image_in_a_registry(
    stages: Run, hub: LoopbackHub, target: Registry, tmp_path: Path
) -> None:
    """Every stage in turn; standard output has the reference alone, and no secret is anywhere."""
    write(tmp_path, sound(), known=False)
    environ = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": TOKEN,
        "REGISTRY_USERNAME": "ci",
        "REGISTRY_PASSWORD": PASSWORD,
    }

    ended = stages(*words(tmp_path, target), environ=environ)

    work = tmp_path / "work"
    image, digest = work / "image", f"sha256:{'0' * 64}"
    assert ended.code == 0, ended.err
    assert steps(ended) == STEPS
    (entry,) = json.loads((image / "index.json").read_bytes())["manifests"]
    digest = entry["digest"]
    assert ended.out == f"{target.host}/acme/tiny:v1@{digest}\n"
    assert target.manifest("acme/tiny", "v1") == manifest_of(image)
    assert all(target.has_blob("acme/tiny", one) for one in blobs_of(manifest_of(image)))
    report = json.loads((work / "report.json").read_bytes())
    scanned = json.loads((work / "scan.json").read_bytes())
    assert (report["verdict"], report["level"]) == ("passed", "static")
    assert report["image"]["layers"] == config_of(image)["rootfs"]["diff_ids"]
    assert ended.err.count("stages: build: vLLM 0.9.0 has CVE-") == 7
    assert scanned["secrets"] == ["HF_TOKEN", "REGISTRY_PASSWORD"]
    assert [one["name"] for one in scanned["logs"]] == ["report.json"]
    kept = everything_below(work, tmp_path / "cache", target.data) + ended.err.encode()
    assert TOKEN.encode() not in kept
    assert PASSWORD.encode() not in kept


def test_weights_that_the_registry_holds_are_not_downloaded(
    stages: Run, hub: LoopbackHub, target: Registry, tmp_path: Path
) -> None:
    """The Hub is not asked at all, nothing of the model is written, and the image is the same."""
    write(tmp_path, sound())
    first = stages(*words(tmp_path, target, f"--weights={tmp_path / 'weights'}"))
    (tmp_path / "runtime" / "__main__.py").write_text("print('edited')\n")
    before = len(target.asked("POST"))

    ended = stages(
        *words(tmp_path, target, tags=(":v2",)),
        environ={"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN},
    )

    assert (first.code, ended.code) == (0, 0), first.err + ended.err
    assert steps(ended) == STEPS[1:]
    assert asked_for_files(hub) == []
    assert not (tmp_path / "work" / "weights").exists()
    assert not (tmp_path / "work" / "tree" / "model-cache").exists()
    assert "holds 3 of 3 layers of the weights" in ended.err
    assert len(target.asked("POST")) - before == 2  # the runtime's layer and the configuration
    report = json.loads((tmp_path / "work" / "report.json").read_bytes())
    assert f"which are not at hand: the lock names {NAME}" in str(report["not_shown"])


def test_the_same_build_gives_the_same_reference(
    stages: Run, hub: LoopbackHub, target: Registry, tmp_path: Path
) -> None:
    """Also a second time in the same folder, and with several tags."""
    write(tmp_path, sound(), known=False)
    environ = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "SOURCE_DATE_EPOCH": "1700000000"}

    first = stages(*words(tmp_path, target), environ=environ)
    both = words(tmp_path, target, "--revision=abc", tags=(":v1", ":latest"))
    second = stages(*both, environ=environ)
    third = stages(*words(tmp_path, target), environ=environ)

    assert (first.code, second.code, third.code) == (0, 0, 0)
    assert first.out == third.out
    assert [line.partition("@")[0] for line in second.out.splitlines()] == [
        f"{target.host}/acme/tiny:v1", f"{target.host}/acme/tiny:latest"
    ]  # fmt: skip
    assert second.out.splitlines()[0] not in first.out
    assert "0 B had to be fetched" in third.err


def test_an_image_that_fails_its_smoke_test_is_not_pushed(
    stages: Run, target: Registry, tmp_path: Path
) -> None:
    """No blob of it arrives, and the report that says why stays."""
    write(tmp_path, sound() | {"chat_template.jinja": b"{% for %}"})

    ended = stages(*words(tmp_path, target, f"--weights={tmp_path / 'weights'}"))

    assert ended.code == 2
    assert ended.out == ""
    assert "FAILED  chat template" in ended.err
    assert "checks failed (chat template): the image must not be pushed" in ended.err
    assert target.asked("POST") == []
    assert json.loads((tmp_path / "work" / "report.json").read_bytes())["verdict"] == "failed"


def test_an_image_that_holds_a_secret_is_not_pushed(
    stages: Run, target: Registry, tmp_path: Path
) -> None:
    """The registry's password is looked for without being asked."""
    write(tmp_path, sound())
    (tmp_path / "runtime" / "__main__.py").write_text(f"x = '{PASSWORD}'\n")
    environ = {"REGISTRY_USERNAME": "ci", "REGISTRY_PASSWORD": PASSWORD}

    ended = stages(*words(tmp_path, target, f"--weights={tmp_path / 'weights'}"), environ=environ)

    assert ended.code == 2
    assert "runtime/__main__.py" in ended.err
    assert PASSWORD not in ended.out + ended.err
    assert target.asked("POST") == []


@pytest.mark.server
@pytest.mark.timeout(300)
def test_a_server_is_asked_before_the_push(
    stages: Run, target: Registry, place: Path, vllm_python: Path
) -> None:
    """At level cpu, alone in a network of its own, while the build itself has the registry's."""
    tiny = [str(vllm_python), str(ROOT / "scripts" / "tiny_model.py"), str(place / "tiny")]
    subprocess.run(tiny, check=True, capture_output=True)
    write(place, {path.name: path.read_bytes() for path in (place / "tiny").iterdir()})
    asked = words(place, target, f"--weights={place / 'weights'}", f"--runtime={ROOT / 'runtime'}")

    ended = stages(*asked, "--level=cpu", f"--python={vllm_python}", "--env=MAX_MODEL_LEN=2048")

    report = json.loads((place / "work" / "report.json").read_bytes())
    scanned = json.loads((place / "work" / "scan.json").read_bytes())
    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"{target.host}/acme/tiny:v1@sha256:")
    assert (report["verdict"], report["level"], report["isolated"]) == ("passed", "cpu", True)
    assert "the image's own MAX_MODEL_LEN: the server had '2048'" in report["not_shown"]
    assert [one["name"] for one in scanned["logs"]] == ["report.json", "server.log"]


def test_a_server_that_fails_ends_the_build(stages: Run, target: Registry, place: Path) -> None:
    """With its log, and nothing pushed."""
    write(place, sound())
    (place / "python3").write_text("#!/bin/sh\necho no vLLM here; exit 3\n")
    (place / "python3").chmod(0o755)
    asked = words(place, target, f"--weights={place / 'weights'}", "--level=cpu")

    ended = stages(*asked, f"--python={place / 'python3'}")

    assert (ended.code, ended.out) == (2, "")
    assert "no vLLM here" in ended.err
    assert "stages: `smoke` ended with exit code 2: what it wrote says why" in ended.err
    assert target.asked("POST") == []


def test_a_build_that_is_stopped_leaves_no_server(target: Registry, place: Path) -> None:
    """SIGTERM ends the smoke test's own process, and the server with it."""
    write(place, sound())
    (place / "python3").write_text("#!/bin/sh\necho begun; sleep 100\n")
    (place / "python3").chmod(0o755)
    asked = words(place, target, f"--weights={place / 'weights'}", "--level=cpu")
    command = [sys.executable, "-m", "stages", *asked, f"--python={place / 'python3'}"]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "ci" / "src")}
    process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
    while not (log := place / "work" / "server.log").exists() or not log.read_text():
        time.sleep(0.05)
    below = children(process.pid)

    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()

    assert (process.returncode, len(below) >= 3) == (-signal.SIGTERM, True)
    assert err.endswith("stages: stopped\n")
    while any(Path(f"/proc/{pid}").exists() for pid in below):  # until they have been reaped
        assert time.monotonic() - begun < 10
    assert target.asked("POST") == []


# What is changed in the folder, the words, and what the message says.
CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "two problems": (lambda _: None, "TAGLESS --env=A=b", "REPOSITORY:TAG; --env goes with"),
    "no tag": (lambda _: None, "TAGLESS", "needs a tag"),
    "bad label": (lambda _: None, "--revision=\x07", "--revision is"),
    "bad time": (lambda _: None, "--created=noon", "--created is 'noon'"),
    "unknown level": (lambda _: None, "--level=gpu", "invalid choice: 'gpu'"),
    "no interpreter": (lambda _: None, "--level=cpu --python=/none", "there is no /none"),
    "no runtime": (lambda at: (at / "runtime" / "__main__.py").unlink(), "", "no __main__.py"),
    "no lock": (lambda at: (at / "lock").unlink(), "", "lock cannot be read"),
    "another's work": (
        lambda at: (at / "work" / "thesis").mkdir(parents=True), "", "holds thesis"
    ),
    "work is a file": (lambda at: (at / "work").touch(), "", "work cannot be written"),
    "no cache folder": (lambda _: None, "--compile-cache=none", "none/cache.json cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused(stages: Run, target: Registry, tmp_path: Path, case: str) -> None:
    """Before the registry or the Hub is asked, with one line and exit code 2."""
    change, more, message = CASES[case]
    write(tmp_path, sound())
    change(tmp_path)
    before = len(target.asked())

    tags = ("",) if "TAGLESS" in more else (":v1",)
    asked = words(tmp_path, target, *more.replace("TAGLESS", "").split(), tags=tags)
    ended = stages(*asked)

    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.count("\nstages: ") == 0
    assert len(target.asked()) == before


def test_a_registry_that_refuses_is_told_before_the_download(
    stages: Run, hub: LoopbackHub, tmp_path: Path
) -> None:
    """A wrong password costs no download."""
    write(tmp_path, sound(), known=False)

    with answering(lambda _, answer: replace(answer, status=401)) as address:
        closed = f"{address.removeprefix('http://')}/acme/tiny:v1"
        named = [f"--{name}={tmp_path / name}" for name in ("lock", "runtime", "cache", "work")]
        named.append(f"--base=oci:{tmp_path / 'base'}")
        environ = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN}
        ended = stages("build", closed, *named, environ=environ)

    assert (ended.code, ended.out) == (2, "")
    assert "the registry shows it to nobody" in ended.err
    assert asked_for_files(hub) == []
