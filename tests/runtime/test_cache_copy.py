"""The kept cache is copied to where it may be written, and only what is whole."""

import os
from pathlib import Path

import pytest

from runtime import cache_copy, helper
from runtime.cache_copy import Copying, Places
from runtime.kept_cache import Kept
from tests.runtime import kept as caches


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Where the copies go."""
    return {kind: tmp_path / "root" / kind for kind in ("vllm", "triton", "inductor", "flashinfer")}


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A cache of one file of each kind."""
    return caches.make(tmp_path / "kept", times={caches.BUILT: 1_700_000_000_123_456_789})


def copied(places: Places) -> dict[str, bytes]:
    """Return what lies in the places: path as in the cache -> content."""
    return {
        path: (places[path.partition("/")[0]] / path.partition("/")[2]).read_bytes()
        for path in cache_copy.snapshot(places)
    }


def test_every_file_is_copied(kept: Kept, places: Places) -> None:
    """Byte for byte, each kind to its own place."""
    problems = cache_copy.copy(kept, places)

    assert problems == []
    assert copied(places) == caches.FILES


def test_a_kernel_that_is_built_again_if_its_time_differs_keeps_it(
    kept: Kept, places: Places
) -> None:
    """Layers have no times; FlashInfer's build compares them to the nanosecond."""
    cache_copy.copy(kept, places)

    built = places["flashinfer"] / caches.BUILT.partition("/")[2]
    assert built.stat().st_mtime_ns == kept.times[caches.BUILT]


@pytest.mark.parametrize("path", sorted(caches.FILES))
def test_a_missing_file_is_told_and_its_artefact_left_out(
    kept: Kept, places: Places, path: str
) -> None:
    """A graph's folder goes as a whole; any other file only with its neighbours."""
    (kept.folder / path).unlink()

    problems = cache_copy.copy(kept, places)

    gone = {caches.GRAPH, caches.ARTEFACT} if path in {caches.GRAPH, caches.ARTEFACT} else {path}
    assert problems == [f"{path} is missing"]
    assert copied(places).keys() == caches.FILES.keys() - gone


@pytest.mark.parametrize("content", [b"", b"x" * len(caches.FILES[caches.KERNEL])])
def test_a_file_that_was_not_baked_is_not_copied(
    kept: Kept, places: Places, content: bytes
) -> None:
    """Neither a short one nor one of the right size: what is cached is code."""
    (kept.folder / caches.KERNEL).write_bytes(content)

    problems = cache_copy.copy(kept, places)

    assert problems == [f"{caches.KERNEL} is not the file that was baked"]
    assert caches.KERNEL not in copied(places)


def test_what_an_earlier_start_left_stays(kept: Kept, places: Places) -> None:
    """A container that starts again copies nothing twice."""
    cache_copy.copy(kept, places)
    before = cache_copy.snapshot(places)

    problems = cache_copy.copy(kept, places)

    assert problems == []
    assert cache_copy.snapshot(places) == before


def test_the_same_bytes_written_again_are_no_change(kept: Kept, places: Places) -> None:
    """What a release unpacks at each start was not compiled; another byte was."""
    cache_copy.copy(kept, places)
    inductor = places["inductor"] / caches.INDUCTOR.partition("/")[2]
    inductor.with_name("new.so").write_bytes(b"new")
    (places["triton"] / caches.KERNEL.partition("/")[2]).write_bytes(b"another")
    paths = [caches.INDUCTOR, caches.KERNEL, "inductor/5a/new.so", "pyc/x.pyc"]

    found = cache_copy.changed(kept, places, paths)
    inductor.unlink()
    gone = cache_copy.changed(kept, places, [caches.INDUCTOR])

    assert found == [caches.KERNEL, "inductor/5a/new.so", "pyc/x.pyc"]
    assert gone == [caches.INDUCTOR]


def test_a_place_that_cannot_be_written_is_told(kept: Kept, places: Places) -> None:
    """The start goes on; the sentence says where it could not write and why."""
    places["triton"].parent.mkdir(parents=True)
    places["triton"].write_text("in the way")

    problems = cache_copy.copy(kept, places)

    (problem,) = problems
    assert f"{caches.KERNEL} cannot be copied into {places['triton']}" in problem


def test_unknown_kinds_stay_where_they_are(tmp_path: Path, places: Places) -> None:
    """A cache of a later version of ours may hold more than this one knows."""
    kept = caches.make(tmp_path / "other", {"new/file": b"a"})

    assert cache_copy.copy(kept, places) == []
    assert copied(places) == {}


def test_the_copy_runs_beside_the_start(kept: Kept, places: Places) -> None:
    """In a process of its own, which hands back what it could not copy."""
    (kept.folder / caches.KERNEL).unlink()

    problems = Copying(kept, places).wait()

    for pid in helper.running.copy():
        helper.reap(pid)
    assert problems == [f"{caches.KERNEL} is missing"]
    assert caches.GRAPH in copied(places)


def test_a_copy_that_was_killed_is_told(kept: Kept, places: Places) -> None:
    """Without an answer there is no cache to count on."""
    for kind in ("vllm", "triton", "inductor", "flashinfer"):
        (places[kind].parent).mkdir(parents=True, exist_ok=True)
        os.mkfifo(places[kind].parent / f"{kind}.fifo")
    (kept.folder / caches.ARTEFACT).unlink()
    os.mkfifo(kept.folder / caches.ARTEFACT)  # reading it never ends
    copying = Copying(kept, places)

    for pid in helper.running.copy():
        helper.reap(pid)

    assert copying.wait() == ["the cache could not be copied"]


def test_users_are_led_to_one_root() -> None:
    """Each variable that is not set names a folder of the root; what was set stays."""
    environ = {"PREWARM_CACHE_ROOT": "/r", "TRITON_CACHE_DIR": "/mine", "HOME": "/h"}

    places = cache_copy.lead(environ)

    assert environ["VLLM_CACHE_ROOT"] == "/r/vllm"
    assert environ["TORCHINDUCTOR_CACHE_DIR"] == "/r/inductor"
    assert places["triton"] == Path("/mine")


def test_the_root_is_in_the_users_cache() -> None:
    """The same folder at the bake and at every start of the image, whose HOME is set."""
    given = cache_copy.lead({"XDG_CACHE_HOME": "/x"})
    own = cache_copy.lead({})

    assert given["vllm"] == Path("/x/prewarm/vllm")
    assert own["vllm"] == Path.home() / ".cache" / "prewarm" / "vllm"
    assert own["flashinfer"] == Path.home() / ".cache" / "flashinfer"
    assert cache_copy.lead({"FLASHINFER_WORKSPACE_BASE": "/w"})["flashinfer"] == Path(
        "/w/.cache/flashinfer"
    )
