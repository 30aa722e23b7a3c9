"""What `dagger check` runs: the checks of scripts/check that need neither vLLM nor Docker."""

import dagger
from dagger import dag

from prewarm import tool
from prewarm.given import Given
from prewarm.pulled import pulled

SOURCE = "/source"
_INSTALL = f"{tool.PIP} --requirement /check.lock"
LINT = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("codespell",),
    ("validate-pyproject", "pyproject.toml", "ci/pyproject.toml"),
    ("yamllint", "--strict", "."),
    ("mypy",),
)
PYTEST = "not (real or releases or containers or server)"
TEST = (("pytest", "tests/test_house.py", "tests/stages", "tests/prewarm", "-m", PYTEST),)


async def run(
    given: Given, source: dagger.Directory, commands: tuple[tuple[str, ...], ...]
) -> None:
    """Run commands in the repository, with what requirements/check.lock holds.

    Raises:
        FunctionError: One of them failed.
    """
    lock = source.file("requirements/check.lock")
    container = tool.pip(pulled(dag.container(), given.tool_image, given), given)
    container = container.with_mounted_file("/check.lock", lock).with_exec(_INSTALL.split())
    container = container.with_mounted_directory(SOURCE, source).with_workdir(SOURCE)
    for command in commands:
        # Tests of a server's own network make one, which takes root's capabilities.
        container = container.with_exec(list(command), insecure_root_capabilities=command in TEST)
    await tool.finished(container, "checking")
