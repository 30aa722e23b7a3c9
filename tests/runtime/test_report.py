"""The report holds what a start measured, and no secret."""

import json

from runtime.report import Report, Timing, process_age, redacted


def test_phases_add_up_to_the_whole() -> None:
    """The first phase begins with the process, each next one where the last ended."""
    report = Report(model="tiny")
    report.end_phase("settings")
    report.end_phase("engine")
    report.timings = [Timing(kind="chat", first_s=1.23456, repeat_s=0.1)]
    report.left_out = {"responses": "no such route"}

    read = json.loads(report.log_line())["prewarm"]

    assert read["model"] == "tiny"
    assert list(read["phases"]) == ["settings", "engine"]
    assert abs(sum(read["phases"].values()) - read["seconds_to_warm"]) < 0.01
    assert read["warmup"] == {
        "skipped": False,
        "requests": [{"kind": "chat", "first_s": 1.2346, "repeat_s": 0.1}],
        "left_out": {"responses": "no such route"},
    }


def test_a_skipped_warmup_is_said() -> None:
    """The log line does not call a cold server warm."""
    report = Report()
    report.skipped = True

    assert "open without a warm-up" in json.loads(report.log_line())["message"]


def test_arguments_that_speak_of_secrets_are_hidden() -> None:
    """Flags stay readable, their secret values do not."""
    given = ["--hf-token", "canary", "--hf-tok", "canary", "--api-key=canary", "--seed", "1"]
    given += ["--loader", '{"aws_secret_key": "canary", "n": 1}', "--trace", "https://u:canary@h/p"]
    harmless = ["--max-num-batched-tokens", "512", "--tokenizer", "t", "--ssl-keyfile", "f"]

    shown = redacted([*given, *harmless])

    assert "canary" not in " ".join(shown)
    assert shown[8] == '{"aws_secret_key": ***, "n": 1}'
    assert shown[len(given) :] == harmless


def test_the_process_knows_its_age() -> None:
    """A start is timed from the process's creation, imports of Python included."""
    assert 0 < process_age() < 3600
