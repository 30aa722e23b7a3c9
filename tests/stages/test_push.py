"""No byte travels twice, and none touches this machine's disk that need not."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stages import lockfile
from stages.hub import open_client
from stages.reference import parse
from stages.registry import Registry as Asked
from tests.stages.model import Ended
from tests.stages.packaging import manifest_of
from tests.stages.pushing import Ready, blobs_of, large_base, made_on, put_image
from tests.support.registry import Registry, registry
from tests.support.registry_faults import Proxy

pytestmark = pytest.mark.containers

Run = Callable[..., Ended]
ROOT = Path(__file__).parents[2]
LARGE = 10**9  # bytes of the base
# Runs the command line, and then says how many bytes this process had the disk write, and its peak
# in kB: the kernel's for its own memory, since ru_maxrss begins with that of who started it.
MEASURED = (
    "import os, sys; from stages.__main__ import main; "
    "code = main(sys.argv[1:], os.environ); "
    "read = lambda name: dict(line.split(':', 1) for line in open(name).read().splitlines()); "
    'io, status = read("/proc/self/io"), read("/proc/self/status"); '
    'print(io["write_bytes"].strip(), status["VmHWM"].split()[0], file=sys.stderr); '
    "sys.exit(code)"
)


def test_push_gives_a_reference_by_digest_for_each_tag(
    stages: Run, ready: Ready, shelf: Registry
) -> None:
    """What is on standard output alone, a program can read."""
    names = [f"{shelf.host}/a/b:v1", f"{shelf.host}/a/b:latest"]

    ended = stages(*ready.words(*names))

    (index,) = json.loads((ready.layout / "index.json").read_bytes())["manifests"]
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == [f"{name}@{index['digest']}" for name in names]
    assert shelf.manifest("a/b", "latest") == manifest_of(ready.layout)


def test_push_reads_everything_back_before_it_writes_a_tag(
    stages: Run, ready: Ready, shelf: Registry
) -> None:
    """Manifest by digest, its bytes, the configuration's, each blob; only then the tag."""
    stages(*ready.words(f"{shelf.host}/a/b:v1"))

    asked = shelf.asked()
    (index,) = json.loads((ready.layout / "index.json").read_bytes())["manifests"]
    by_digest = asked.index(f"PUT /v2/a/b/manifests/{index['digest']} 201")
    tagged = asked.index("PUT /v2/a/b/manifests/v1 201")
    between = asked[by_digest + 1 : tagged]
    config = manifest_of(ready.layout)["config"]["digest"]
    assert between[0] == f"GET /v2/a/b/manifests/{index['digest']} 200"
    assert between[1] == f"GET /v2/a/b/blobs/{config} 200"
    assert set(between[2:]) == {f"HEAD /v2/a/b/blobs/{one} 200" for one in ready.digests}
    assert asked[tagged + 1 :] == ["GET /v2/a/b/manifests/v1 200"]


def test_second_push_sends_no_blob(stages: Run, ready: Ready, front: Proxy) -> None:
    """Every blob is there already."""
    stages(*ready.words(f"{front.host}/a/b:v1"))
    before = front.received

    ended = stages(*ready.words(f"{front.host}/a/b:v2"))

    assert ended.code == 0
    assert front.received == before > 0
    assert ended.err.count("is there") == len(ready.digests)


def test_edit_of_the_runtime_sends_little(stages: Run, ready: Ready, front: Proxy) -> None:
    """This repository's own runtime, a line longer: its layer and the configuration travel."""
    runtime = ready.inputs.folder / "runtime"
    for path in (ROOT / "runtime").glob("*.py"):
        (runtime / path.name).write_bytes(path.read_bytes())
    ready.build(stages)
    assert stages(*ready.words(f"{front.host}/a/b:v1")).code == 0
    before = front.received
    with (runtime / "__main__.py").open("a") as file:
        file.write("# edited\n")
    ready.build(stages)

    ended = stages(*ready.words(f"{front.host}/a/b:v2"))

    assert ended.code == 0
    assert 0 < front.received - before < 200_000


def test_blobs_of_another_repository_are_mounted(
    stages: Run, ready: Ready, front: Proxy, shelf: Registry
) -> None:
    """--mount-from names a repository of the same registry: nothing is sent."""
    stages(*ready.words(f"{front.host}/a/b:v1"))
    before = front.received

    ended = stages(*ready.words(f"{front.host}/c/d:v1", more=(f"--mount-from={front.host}/a/b",)))

    mounts = [line for line in shelf.asked("POST") if "mount=" in line and "from=a%2Fb" in line]
    assert ended.code == 0
    assert front.received == before
    assert len(mounts) == len(ready.digests)
    assert all(line.endswith(" 201") for line in mounts)


def test_repository_without_the_blobs_costs_no_upload(
    stages: Run, ready: Ready, front: Proxy
) -> None:
    """The upload that a registry begins instead of a mount is the one that is used."""
    ended = stages(*ready.words(f"{front.host}/c/d:v1", more=(f"--mount-from={front.host}/a/b",)))

    assert ended.code == 0
    assert len(front.asked("POST upload")) == len(front.asked("PUT upload"))


def base_layer(ready: Ready) -> str:
    """Name the base's layer."""
    digest: str = manifest_of(ready.layout)["layers"][0]["digest"]
    return digest


@pytest.mark.timeout(240)
def test_large_base_in_the_same_registry_is_mounted(
    stages: Run, front: Proxy, shelf: Registry, tmp_path: Path
) -> None:
    """1 GB under another name: the registry's log shows the mount, and no byte of it moves."""
    digest = large_base(tmp_path / "large", LARGE)
    put_image(shelf, "vllm/base", tmp_path / "large", digest)
    place = f"{front.host}/vllm/base"
    ready = made_on(stages, tmp_path / "made", place, digest)

    ended = stages(*ready.words(f"{front.host}/a/b:v1", base=place))

    layer = base_layer(ready)
    mount = f"mount={layer.replace(':', '%3A')}&from=vllm%2Fbase"
    assert ended.code == 0, ended.err
    assert f"POST /v2/a/b/blobs/uploads/?{mount} 201" in shelf.asked("POST")
    assert f"GET /v2/vllm/base/blobs/{layer} 200" not in shelf.asked("GET")
    assert 0 < front.received < 10**7
    assert shelf.has_blob("a/b", layer)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("mode", ["single", "chunked"])
def test_large_base_in_another_registry_streams(
    stages: Run, shelf: Registry, tmp_path: Path, mode: str
) -> None:
    """1 GB goes from there to here through 150 MB of memory, and nothing is written to disk."""
    digest = large_base(tmp_path / "large", LARGE)
    with registry(tmp_path / "other") as other:
        put_image(other, "vllm/base", tmp_path / "large", digest)
        place = f"{other.host}/vllm/base"
        ready = made_on(stages, tmp_path / "made", place, digest)
        words = ready.words(f"{shelf.host}/a/b:v1", base=place, more=(f"--uploads={mode}",))

        ended = subprocess.run(
            [sys.executable, "-c", MEASURED, *words],
            env={"PYTHONPATH": str(ROOT / "ci/src"), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )

    written, peak = map(int, ended.stderr.splitlines()[-1].split())
    assert ended.returncode == 0, ended.stderr
    assert f"{base_layer(ready)}  1.00 GB  streamed from the base" in ended.stderr
    assert shelf.has_blob("a/b", base_layer(ready))
    assert written < 10**7
    assert peak < 150_000  # kB


def without_weights(stages: Run, ready: Ready) -> str:
    """Make the image anew on a machine that has no weights; give its digest."""
    shutil.rmtree(ready.inputs.folder / "weights")
    shutil.rmtree(ready.inputs.folder / "tree")
    shutil.rmtree(ready.layout)
    for words in (ready.inputs.rootfs(known=True), ready.inputs.image("--known")):
        ended = stages(*words)
        assert ended.code == 0, ended
    ready.prove(stages)
    return ended.out.strip()


def test_known_weights_need_not_be_at_hand(
    stages: Run, ready: Ready, front: Proxy, shelf: Registry
) -> None:
    """An image of the same digest is pushed with no model file on the machine."""
    first = stages(*ready.words(f"{front.host}/a/b:v1")).out
    before = front.received

    digest = without_weights(stages, ready)
    ended = stages(*ready.words(f"{front.host}/a/b:v2"))

    weights = [one.digest for one in lockfile.read(ready.inputs.folder / "lock").model.layers]
    assert ended.code == 0, ended.err
    assert first.split("@")[1] == ended.out.split("@")[1] == f"{digest}\n"
    assert front.received == before
    assert not any((ready.layout / "blobs/sha256" / str(one)[7:]).exists() for one in weights)
    assert blobs_of(shelf.manifest("a/b", "v2")) == ready.digests


def test_known_weights_are_mounted(stages: Run, ready: Ready, front: Proxy) -> None:
    """From a repository of the same registry that holds them."""
    stages(*ready.words(f"{front.host}/a/b:v1"))
    before = front.received
    without_weights(stages, ready)

    ended = stages(*ready.words(f"{front.host}/c/d:v1", more=(f"--mount-from={front.host}/a/b",)))

    assert ended.code == 0, ended.err
    assert front.received == before


def test_known_weights_that_are_nowhere_are_told(
    stages: Run, ready: Ready, shelf: Registry
) -> None:
    """The message says which layer, and what to run; no manifest is written."""
    without_weights(stages, ready)

    ended = stages(*ready.words(f"{shelf.host}/a/b:v1"))

    assert ended.code == 2
    assert f"{shelf.host}/a/b does not hold the weights' layer sha256:" in ended.err
    assert "Run `download`" in ended.err
    assert not [line for line in shelf.asked("PUT") if "/manifests/" in line]


def test_registry_tells_which_layers_are_missing(
    stages: Run, ready: Ready, shelf: Registry
) -> None:
    """A build asks before it downloads: here, or where it could be mounted from."""
    stages(*ready.words(f"{shelf.host}/a/b:v1"))
    here, there = (parse(f"{shelf.host}/{name}") for name in ("c/d", "a/b"))
    none = f"sha256:{'0' * 64}"
    with open_client() as client:
        asked = Asked(client)

        assert asked.missing(there, [*ready.digests, none]) == [none]
        assert sorted(asked.missing(here, ready.digests)) == sorted(ready.digests)
        assert asked.missing(here, ready.digests, also=[there]) == []
