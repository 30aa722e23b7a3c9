"""A download can end at any moment, and the next one goes on from there."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stages.fetching import hung
from tests.stages.model import NAME, Ended, noise
from tests.stages.pacing import RATE, SEND_BUFFER, Paced
from tests.support.hub import Fault, LoopbackHub
from tests.support.hub_repo import Content

SIZE = 64 * 2**20  # bytes of weights
Files = dict[str, bytes | Path]


@pytest.fixture
def paced(
    start: Callable[..., LoopbackHub], stages: Callable[..., Ended], files: Files, tmp_path: Path
) -> Paced:
    """Lock a model of 64 MB on a paced Hub."""
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(noise(SIZE))
    hub = start(files | {"model.safetensors": weights}, rate=RATE, send_buffer=SEND_BUFFER)
    environ = {"HF_ENDPOINT": hub.endpoint}
    assert stages("lock", NAME, "--out", tmp_path / "lock", environ=environ).code == 0
    return Paced(hub, tmp_path)


@pytest.mark.timeout(180)
def test_twenty_kills_cost_next_to_nothing(
    paced: Paced, record_property: Callable[[str, object], None]
) -> None:
    """SIGKILL at 20 moments: at most 5 % are fetched twice beyond what sat in sockets."""
    total = SIZE + 300_000  # bytes on the storage: weights and tokenizer

    toll = paced.killed(total)

    record_property("sent / size", toll.sent / total)
    record_property("in sockets / size", toll.in_sockets / total)
    expected = Content(paced.folder / "model.safetensors").sha256
    assert Content(paced.out / "model.safetensors").sha256 == expected
    assert toll.sent <= 1.05 * total + toll.in_sockets


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_by_signal_is_clean_and_passes_through(paced: Paced, number: signal.Signals) -> None:
    """The process ends at once, by that signal, without a traceback; what came is kept."""
    process = paced.start()
    paced.wait_for(SIZE / 2, process)
    begun = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate()
    took = time.monotonic() - begun
    again = paced.start()
    out, _ = again.communicate()

    assert process.returncode == -number
    assert took < 1
    assert "stages: stopped" in err
    assert "Traceback" not in err
    assert again.returncode == 0
    assert paced.hub.storage.sent < 1.1 * SIZE
    assert "had to be fetched" in out


@pytest.mark.parametrize(
    ("where", "path"), [("hub", "/api/"), ("storage", "sig=")], ids=["facts", "bytes"]
)
def test_stop_does_not_wait_for_a_silent_server(paced: Paced, where: str, path: str) -> None:
    """A server that answers nothing holds up neither facts nor bytes."""
    paced.hub.faults.append(Fault(hung, where=where, path=path, times=99))
    wire = paced.hub.hub if where == "hub" else paced.hub.storage
    before = len(wire.log)
    process = paced.start()
    while len(wire.log) == before:
        time.sleep(0.01)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate()

    assert process.returncode == -signal.SIGTERM
    assert time.monotonic() - begun < 1


def test_stopped_lock_writes_nothing(paced: Paced) -> None:
    """A lock is whole or absent."""
    paced.hub.faults.append(Fault(hung, where="hub", path="/resolve-cache/", times=99))
    before = (paced.folder / "lock").read_bytes()
    process = paced.run("lock", NAME, f"--out={paced.folder / 'lock'}")
    count = len(paced.hub.hub.log)
    while len(paced.hub.hub.log) < count + 3:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate()

    assert process.returncode == -signal.SIGINT
    assert (paced.folder / "lock").read_bytes() == before


def test_two_downloads_take_turns(paced: Paced) -> None:
    """The second waits for the first, says so, and finds everything there."""
    first = paced.start()
    paced.wait_for(SIZE / 10, first)
    second = paced.start(f"--out={paced.folder / 'other'}")
    (_, _), (out, err) = first.communicate(), second.communicate()

    assert (first.returncode, second.returncode) == (0, 0)
    assert "another download uses" in err
    assert "0 B had to be fetched" in out


def test_log_gets_lines(paced: Paced) -> None:
    """Without a terminal, nothing redraws."""
    process = paced.start("--progress=auto")
    _, err = process.communicate()

    assert "\r" not in err
    assert "\x1b" not in err
