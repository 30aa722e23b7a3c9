"""Real Gemma 3 weights go from a gated Hub into a folder that can be served.

PREWARM_REAL_MODEL names the folder of the real model.
"""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stages import layer, lockfile
from tests.stages.model import TOKEN, Ended
from tests.stages.pacing import RATE, SEND_BUFFER, Paced
from tests.support.hub import SIGNATURE, LoopbackHub
from tests.support.hub_repo import Content, Repo

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

NAME = "google/gemma-3-270m-it"
Run = Callable[..., Ended]


@pytest.fixture
def model() -> Path:
    """Give the real model's folder; a run that asks for this test must name it."""
    folder = Path(os.environ.get("PREWARM_REAL_MODEL") or "not-named")
    if not (folder / "model.safetensors").is_file():
        pytest.fail("PREWARM_REAL_MODEL must name a folder with a real model.safetensors")
    return folder


def test_real_weights_are_locked_and_downloaded(stages: Run, model: Path, tmp_path: Path) -> None:
    """Behind a gate, with a token: the folder equals the source, and the token is nowhere."""
    lock, out = tmp_path / "lock", tmp_path / "out"
    repo = Repo.of_folder(NAME, model)
    with LoopbackHub(repo, gated=True, token=TOKEN) as hub:
        environ = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN}
        folders = ("--cache", tmp_path / "cache", "--out", out)
        runs = [
            stages("lock", NAME, "--out", lock, environ=environ),
            stages("download", "--lock", lock, *folders, environ=environ),
            stages("lock", NAME, "--out", lock, "--weights", out, environ=environ),
        ]
        authorized = [one for one in hub.storage.log if "authorization" in one.headers]

    assert [one.code for one in runs] == [0, 0, 0], runs[-1].err
    for file in lockfile.read(lock).model.files:
        assert Content(out / file.path).sha256 == Content(model / file.path).sha256
    assert authorized == []
    small = [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size < 10**6]
    seen = "".join(one.out + one.err for one in runs).encode()
    seen += b"".join(path.read_bytes() for path in small)
    assert TOKEN.encode() not in seen
    assert SIGNATURE.encode() not in seen


def test_real_layers_are_tars_of_the_locked_bytes(stages: Run, model: Path, tmp_path: Path) -> None:
    """The digest in the lock is that of a tar whose files have the locked sha256."""
    lock = tmp_path / "lock"
    with LoopbackHub(Repo.of_folder(NAME, model)) as hub:
        environ = {"HF_ENDPOINT": hub.endpoint}
        stages("lock", NAME, "--out", lock, "--weights", model, environ=environ)

    read = lockfile.read(lock).model
    sha256 = {file.path: file.sha256 for file in read.files}
    for one in read.layers:
        pieces = layer.stream(read.name, lockfile.entries(read, one), model)
        content = b"".join(bytes(piece) for piece in pieces)
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            for member in tar:
                if member.isfile() and (file := tar.extractfile(member)):
                    path = member.name.removeprefix(f"{layer.MODELS}/{NAME}/")
                    assert Content(file.read()).sha256 == sha256[path]
        assert (len(content), f"sha256:{Content(content).sha256}") == (one.size, one.digest)


def test_twenty_kills_of_a_real_download_cost_next_to_nothing(
    stages: Run, model: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """SIGKILL at 20 moments: at most 5 % are fetched twice beyond what sat in sockets."""
    repo = Repo.of_folder(NAME, model)
    with LoopbackHub(repo, rate=RATE, send_buffer=SEND_BUFFER) as hub:
        environ = {"HF_ENDPOINT": hub.endpoint}
        stages("lock", NAME, "--out", tmp_path / "lock", environ=environ)
        lfs = ("model.safetensors", "tokenizer.json")
        total = sum((model / path).stat().st_size for path in lfs)
        paced = Paced(hub, tmp_path)

        toll = paced.killed(total)

    record_property("sent / size", toll.sent / total)
    record_property("in sockets / size", toll.in_sockets / total)
    for path in lfs:
        assert Content(paced.out / path).sha256 == Content(model / path).sha256
    assert toll.sent <= 1.05 * total + toll.in_sockets
