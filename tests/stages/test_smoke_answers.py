"""Every check of a server can fail: a server that answers wrongly in each way, and what is told."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from stages.smoke import asking
from tests.stages.answering import FITTING, MODEL, START, Answer, Asked, Change, answering
from tests.stages.model import Ended
from tests.stages.smoking import make, sound
from tests.stages.wrong_answers import CASES, KEY, on, start, text, value

Run = Callable[..., Ended]


def asked(stages: Run, tmp_path: Path, change: Change, *, key: str = "") -> tuple[Ended, Any]:
    """Ask a server whose answers are changed; give how that ended, and the report."""
    out = tmp_path / "report.json"
    environ = {"VLLM_API_KEY": key} if key else {}
    with answering(change, key=key) as url:
        ended = stages("smoke", url, f"--out={out}", environ=environ)
    return ended, json.loads(out.read_bytes())


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_answer_fails_its_check(stages: Run, tmp_path: Path, case: str) -> None:
    """The report and the exit code say so, other checks still pass, and the key stays hidden."""
    change, name, detail = CASES[case]

    ended, report = asked(stages, tmp_path, change, key=KEY)

    failed = {check["name"]: check["detail"] for check in report["checks"] if not check["passed"]}
    assert detail in failed.get(name, ""), failed
    assert (ended.code, report["verdict"]) == (2, "failed")
    assert f"FAILED  {name}" in ended.out
    assert "the image must not be pushed" in ended.err
    assert KEY not in ended.out + ended.err + json.dumps(report)
    assert any(check["passed"] for check in report["checks"])


def test_right_answers_pass(stages: Run, tmp_path: Path) -> None:
    """All checks pass, each answer is timed, and the report says what it is about."""
    ended, report = asked(stages, tmp_path, lambda _, answer: answer, key=KEY)

    timed = {check["name"]: check for check in report["checks"] if check["first_s"] is not None}
    assert (ended.code, report["verdict"], report["level"]) == (0, "passed", "cpu")
    assert set(timed) == {"completion", "chat", "streamed chat", "JSON schema", "long prompt"}
    assert all(0 < check["typical_s"] < 1 for check in timed.values())
    assert report["start"] == START
    assert report["vllm"] == {"image": None, "tested": "0.32.0+cpu"}
    assert report["image"] is None
    assert "which image this is: none was named" in report["not_shown"]
    assert ended.out.endswith(f"passed, level cpu: wrote {tmp_path / 'report.json'}\n")


def test_a_schema_may_be_cut_where_it_still_fits(stages: Run, tmp_path: Path) -> None:
    """A small model may spend its tokens on white space; what there is must begin an answer."""
    ended, report = asked(stages, tmp_path, on("schema", text(f"{FITTING[:12]}\n\n\n")))

    (check,) = [one for one in report["checks"] if one["name"] == "JSON schema"]
    assert (ended.code, check["detail"]) == (0, '\'{"size": "sm\', cut after 128 tokens')


def test_a_model_without_a_chat_template_is_not_asked_to_chat(stages: Run, tmp_path: Path) -> None:
    """Its JSON comes as a completion."""
    left_out = {"chat": "the model has no chat template"}

    ended, report = asked(stages, tmp_path, start(warmup=START["warmup"] | {"left_out": left_out}))

    names = [check["name"] for check in report["checks"]]
    assert ended.code == 0
    assert "chat" not in names
    assert "JSON schema" in names


def test_a_level_that_was_not_tried_is_not_claimed(stages: Run, tmp_path: Path) -> None:
    """Asked for a GPU's, a server on a CPU fails."""
    out = tmp_path / "report.json"

    with answering() as url:
        ended = stages("smoke", url, "--level=gpu", f"--out={out}")

    assert ended.code == 2
    assert "FAILED  level" in ended.out
    assert "the server runs on cpu, which is not the level gpu" in ended.out


def test_a_server_is_held_to_the_image_that_is_named(stages: Run, tmp_path: Path) -> None:
    """Its model must be the image's; whether it runs this very image, it cannot tell."""
    made = make(stages, tmp_path, sound())
    other = [{"id": "acme/other", "max_model_len": 400}]

    with answering() as url:
        right = stages(*made.words(url))
    shown = made.report()["not_shown"]
    with answering(on("/v1/models", value(data=other))) as url:
        wrong = stages(*made.words(url))

    assert (right.code, wrong.code) == (0, 2)
    assert "that this very image answers: whoever started it knows" in shown
    assert "vLLM 0.9.0, which the image holds: 0.32.0+cpu answered" in shown
    assert made.failed() == {"models": "it serves 'acme/other', expected 'acme/tiny-it'"}


def test_a_gpu_is_named(stages: Run, tmp_path: Path) -> None:
    """Its level shows nothing of other GPUs."""
    ended, report = asked(stages, tmp_path, start(device="NVIDIA L4"))

    assert (ended.code, report["level"]) == (0, "gpu")
    assert "other GPUs than NVIDIA L4" in report["not_shown"]


def test_a_server_that_is_not_there_is_asked_once(stages: Run, tmp_path: Path) -> None:
    """Nothing else need be asked of it."""
    out = tmp_path / "report.json"
    with answering() as url:
        pass

    ended = stages("smoke", url, f"--out={out}")

    assert ended.code == 2
    assert [check["name"] for check in json.loads(out.read_bytes())["checks"]] == ["health"]
    assert f"nothing answers at {url}" in ended.out


def test_a_server_that_hangs_is_left(
    stages: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a time limit that is explicit."""
    monkeypatch.setattr(asking, "TIMEOUT", httpx.Timeout(0.2))

    ended, _ = asked(stages, tmp_path, on("/health", lambda answer: replace(answer, wait=0.5)))

    assert ended.code == 2
    assert "no whole answer from /health: timed out" in ended.out


def test_a_request_is_never_the_same_twice(stages: Run, tmp_path: Path) -> None:
    """A prefix cache would make the typical answer faster than a user's."""
    seen: list[str] = []

    def note(asked: Asked, answer: Answer) -> Answer:
        if answer.status == 200 and asked.method == "POST":
            seen.append(json.dumps(asked.body))
        return answer

    asked(stages, tmp_path, note)

    assert len(seen) == len(set(seen)) == 21
    assert all(MODEL in body for body in seen)
