"""The server that `smoke --serve` starts: alone, asked, stopped, and told of when it fails."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from stages.smoke import network
from tests.stages.answering import answering
from tests.stages.model import Ended
from tests.stages.packaging import config_of
from tests.stages.smoking import Made, make, sound
from tests.support.server import ROOT, children

Run = Callable[..., Ended]
ALONE = ["unshare", "--user", "--map-root-user", "--net"]


def begin(
    made: Made, *more: str, wrapper: Sequence[str] = (), python: Path | str = sys.executable
) -> "subprocess.Popen[str]":
    """Start a `smoke --serve`, in a process of its own because it changes its network."""
    words = made.words("--level=cpu", f"--serve={made.folder / 'tree'}", f"--python={python}")
    return subprocess.Popen(
        [*wrapper, sys.executable, "-m", "stages", *map(str, words), *more],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "ci" / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def smoke(made: Made, *more: str, wrapper: Sequence[str] = ()) -> Ended:
    """Run a `smoke --serve` to its end."""
    process = begin(made, *more, wrapper=wrapper)
    out, err = process.communicate()
    return Ended(process.returncode, out, err)


def program(path: Path, text: str) -> Path:
    """Write what stands for an interpreter."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_start_that_fails_shows_the_log(stages: Run, place: Path) -> None:
    """The report is written, and the log's end says why."""
    made = make(stages, place, sound())
    failing = program(place / "python3", "echo no vLLM here; exit 3")

    ended = smoke(made, f"--python={failing}")

    assert ended.code == 2
    assert made.failed() == {"start": "the server ended with code 3 before its port opened"}
    assert "stages: the end of the server's log:\nno vLLM here\n" in ended.err
    assert ended.err.splitlines()[-1].startswith("stages: 1 of 10 checks failed (start)")
    assert (place / "server.log").read_text() == "no vLLM here\n"


def test_the_server_has_the_images_user_settings_and_no_network(stages: Run, place: Path) -> None:
    """As a container of the image would, and nothing of the caller's environment."""
    made = make(stages, place, sound())
    told = "id -u; id -g; cat /proc/net/dev | wc -l; env | sort; exit 1"
    telling = program(place / "python3", told)

    smoke(made, f"--python={telling}", "--env=DTYPE=float32")

    user, group, interfaces, *env = (place / "server.log").read_text().splitlines()
    given = dict(one.split("=", 1) for one in env)
    assert (user, group) == (("2000", "0") if os.geteuid() == 0 else (user, group))
    assert interfaces == "3"  # two lines of head, and loopback
    assert given["HF_HOME"] == f"{place}/tree/model-cache"
    assert given["DTYPE"] == "float32"
    assert given["VLLM_TORCH_COMPILE_LEVEL"] == "0"
    assert not Path(given["HOME"]).exists()  # it was the server's alone


def test_a_host_without_the_rights_is_told(stages: Run, place: Path) -> None:
    """With what to do; nothing was started."""
    made = make(stages, place, sound())
    none = ["sh", "-c", 'echo 0 >/proc/sys/user/max_net_namespaces; exec "$@"', "sh"]

    ended = smoke(made, wrapper=[*ALONE, *none])

    assert ended.code == 2
    assert "no network of its own could be made for the server" in ended.err
    assert "--network host" in ended.err
    assert not (place / "server.log").exists()


def test_a_user_namespace_will_do(stages: Run, place: Path) -> None:
    """Who may not make a network may make one in a user namespace; the report says as whom."""
    made = make(stages, place, sound())
    place.chmod(0o777)
    nobody = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    telling = program(place / "python3", "id -u; cat /proc/net/dev | wc -l; exit 1")

    smoke(made, f"--python={telling}", wrapper=nobody)

    user, interfaces = (place / "server.log").read_text().splitlines()
    assert user == ("65534" if nobody else str(os.geteuid()))
    assert interfaces == "3"
    assert "the image's user 2000:0: the server ran as another" in made.report()["not_shown"]


def test_a_server_that_is_waited_for_ends_with_the_wait(stages: Run, place: Path) -> None:
    """SIGTERM to the smoke test ends the server and the test at once."""
    made = make(stages, place, sound())
    process = begin(made, python=program(place / "python3", "echo begun; sleep 100"))
    while not (log := place / "server.log").exists() or not log.read_text():
        time.sleep(0.05)
    below = children(process.pid)

    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate()

    assert below
    assert process.returncode == -signal.SIGTERM
    assert time.monotonic() - begun < 5
    while any(Path(f"/proc/{pid}").exists() for pid in below):  # until they have been reaped
        assert time.monotonic() - begun < 10


def test_a_program_that_is_not_there_is_told(stages: Run, place: Path) -> None:
    """A wrong --python is the caller's mistake."""
    made = make(stages, place, sound())

    ended = smoke(made, "--python=/nowhere/python3")

    assert ended.code == 2
    assert "--python: there is no /nowhere/python3" in ended.err


def test_a_log_that_cannot_be_written_is_told(stages: Run, place: Path) -> None:
    """Before anything is started."""
    made = make(stages, place, sound())

    ended = smoke(made, f"--log={place / 'none' / 'log'}")

    assert ended.code == 2
    assert "log cannot be written" in ended.err


def test_loopback_alone_is_isolated(tmp_path: Path) -> None:
    """A running server, reached over loopback where no other interface is, had no network."""
    code = "from stages.smoke import network; print(network.isolated())"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "ci" / "src")}

    alone = subprocess.run(
        [*ALONE, sys.executable, "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    out = tmp_path / "report.json"
    with answering() as url:
        words = ["smoke", url, f"--out={out}"]
        subprocess.run(
            [sys.executable, "-m", "stages", *words], env=environ, capture_output=True, check=True
        )

    assert alone.stdout == "True\n"
    assert json.loads(out.read_bytes())["isolated"] is network.isolated()


@pytest.mark.server
@pytest.mark.timeout(300)
def test_real_vllm_passes_alone(stages: Run, place: Path, vllm_python: Path) -> None:
    """A tiny Gemma 3 out of the image's tree, in a network of its own, asked everything."""
    tiny = [str(vllm_python), str(ROOT / "scripts" / "tiny_model.py"), str(place / "tiny")]
    subprocess.run(tiny, check=True, capture_output=True)
    files = {path.name: path.read_bytes() for path in (place / "tiny").iterdir()}
    made = make(stages, place, files, runtime=ROOT / "runtime")
    (place / "key").write_text("key-canary-51c7d0\n")

    ended = smoke(made, f"--python={vllm_python}", f"--key-file={place / 'key'}")

    report = made.report()
    assert (ended.code, made.failed()) == (0, {})
    assert (report["verdict"], report["level"], report["isolated"]) == ("passed", "cpu", True)
    assert report["vllm"] == {"image": "0.9.0", "tested": "0.32.0+cpu"}
    assert report["image"]["layers"] == config_of(made.image)["rootfs"]["diff_ids"]
    assert report["start"]["warmup"]["left_out"] == {}
    assert report["checks"][-1]["name"] == "SIGTERM"
    assert report["checks"][-1]["detail"].startswith("exit code 0 after ")
    assert "stages: smoke: 10 s: acme/tiny-it on vLLM 0.32.0+cpu" in ended.err
    everything = ended.out + ended.err + json.dumps(report) + (place / "server.log").read_text()
    assert "key-canary-51c7d0" not in everything
