"""The token reaches the Hub's origin alone, and nobody sees it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from stages.errors import UnreachableError
from stages.hub import Hub, open_client
from stages.retry import Patience
from stages.secret import Secret
from tests.stages.model import NAME, OTHER_TOKEN, TOKEN, Ended, everything_below
from tests.support.hub import SIGNATURE, Fault, LoopbackHub
from tests.support.hub_wire import Answer

Run = Callable[..., Ended]
Files = dict[str, bytes | Path]


@pytest.fixture
def gated(start: Callable[..., LoopbackHub], files: Files) -> LoopbackHub:
    """Serve the small model to who has accepted its licence."""
    return start(files, gated=True, token=TOKEN, known=(OTHER_TOKEN,))


def run(stages: Run, hub: LoopbackHub, folder: Path, **environ: str) -> tuple[Ended, Ended]:
    """Lock and download."""
    environment = {"HF_ENDPOINT": hub.endpoint} | environ
    lock = folder / "lock"
    locked = stages("lock", NAME, "--out", lock, environ=environment)
    folders = ("--cache", folder / "cache", "--out", folder / "out")
    return locked, stages("download", "--lock", lock, *folders, environ=environment)


def test_token_reaches_the_hub_alone(stages: Run, gated: LoopbackHub, tmp_path: Path) -> None:
    """Every request to the Hub has it; none to the storage does, by whatever name."""
    locked, downloaded = run(stages, gated, tmp_path, HF_TOKEN=TOKEN)

    assert (locked.code, downloaded.code) == (0, 0)
    assert gated.storage.log
    assert {one.headers.get("authorization") for one in gated.hub.log} == {f"Bearer {TOKEN}"}
    for one in gated.storage.log:
        assert "authorization" not in one.headers
        assert TOKEN not in f"{one}"


def test_token_and_signed_addresses_are_nowhere(
    stages: Run, gated: LoopbackHub, tmp_path: Path
) -> None:
    """No file, name or output of a run that went well holds them."""
    ended = run(stages, gated, tmp_path, HF_TOKEN=TOKEN)

    seen = everything_below(tmp_path) + "".join(one.out + one.err for one in ended).encode()
    assert TOKEN.encode() not in seen
    assert SIGNATURE.encode() not in seen


@pytest.mark.parametrize("code", [401, 403, 404, 400, 418, 200])
def test_token_and_signed_addresses_are_in_no_error(
    stages: Run, gated: LoopbackHub, tmp_path: Path, code: int
) -> None:
    """Not even when the Hub echoes them in its explanation."""
    words = f"no {TOKEN} at http://cdn/x?sig={SIGNATURE}\x1b[2J"

    def echo(_: Answer) -> Answer:
        return Answer(code, {"X-Error-Message": words, "X-Error-Code": words}, words.encode())

    gated.faults.append(Fault(echo, where="hub", times=99))

    locked, _ = run(stages, gated, tmp_path, HF_TOKEN=TOKEN)

    assert locked.code == 2
    assert TOKEN not in locked.err
    assert SIGNATURE not in locked.err
    assert "\x1b" not in locked.err


def test_redirect_of_the_api_to_another_origin_takes_no_token(gated: LoopbackHub) -> None:
    """Whatever is redirected, the other origin gets no Authorization."""
    elsewhere = f"http://localhost:{gated.storage.port}/{'a' * 64}?sig={SIGNATURE}"
    gated.faults.append(
        Fault(lambda _: Answer(302, {"Location": elsewhere}), path="/api/", where="hub")
    )

    with open_client() as client:
        hub = Hub(client, gated.endpoint, Secret(TOKEN), Patience(attempts=1))
        with pytest.raises(UnreachableError, match="storage behind the Hub refuses"):
            hub.repository(NAME, "main")

    assert [one.headers.get("authorization") for one in gated.storage.log] == [None]


def test_proxy_is_not_asked_for_loopback(
    gated: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of the environment must not see what stays on this machine."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    with open_client() as client:
        hub = Hub(client, gated.endpoint, Secret(TOKEN), Patience(attempts=1))
        assert hub.repository(NAME, "main").name == NAME


@pytest.mark.parametrize("endpoint", ["https://hub.example", "http://hub.example"])
def test_plain_http_takes_no_token(endpoint: str) -> None:
    """Beyond this machine only https carries the token."""
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("Authorization"))
        return httpx.Response(418)

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        hub = Hub(client, endpoint, Secret(TOKEN), Patience(attempts=1))
        with pytest.raises(Exception, match="unexpected status 418"):
            hub.repository(NAME, "main")
        assert TOKEN not in repr(hub)

    assert seen == ([f"Bearer {TOKEN}"] if endpoint.startswith("https") else [None])


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "is gated and no token was sent. Accept its licence at"),
        ({"HF_TOKEN": OTHER_TOKEN}, "is gated and this token has no access. Accept its licence at"),
        ({"HF_TOKEN": "hf_unknown"}, "the Hub refuses this token (the Hub says: Invalid cred"),
    ],
    ids=["no token", "no access", "unknown token"],
)
def test_no_access_is_told_before_the_first_byte(
    stages: Run, gated: LoopbackHub, tmp_path: Path, environ: dict[str, str], message: str
) -> None:
    """Both verbs name the page where the licence is accepted, where that is what helps."""
    run(stages, gated, tmp_path, HF_TOKEN=TOKEN)
    folder = tmp_path / "again"
    folder.mkdir()
    (folder / "lock").write_bytes((tmp_path / "lock").read_bytes())
    gated.storage.log.clear()

    locked, downloaded = run(stages, gated, folder, **environ)

    for ended in (locked, downloaded):
        assert ended.code == 2
        assert message in ended.err
        assert "licence" not in message or f"{gated.endpoint}/{NAME}" in ended.err
        assert not any(token in ended.err for token in (TOKEN, OTHER_TOKEN, "hf_unknown"))
    assert gated.storage.log == []
    assert not (folder / "out").exists()


def test_answers_that_only_lack_a_header_are_enough(
    stages: Run, gated: LoopbackHub, tmp_path: Path
) -> None:
    """A mirror that sends no X-Repo-Commit is served by what the sha256 proves."""

    def bare(answer: Answer) -> Answer:
        kept = {name: text for name, text in answer.headers.items() if name != "X-Repo-Commit"}
        return replace(answer, headers=kept)

    gated.faults += [Fault(bare, where="hub", times=99, method=one) for one in ("GET", "HEAD")]

    assert [one.code for one in run(stages, gated, tmp_path, HF_TOKEN=TOKEN)] == [0, 0]
