"""The rules that keep the house easy to see."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import ROOT

RUNTIME = sorted((ROOT / "runtime").glob("*.py"))
STAGES = sorted((ROOT / "ci" / "src" / "stages").rglob("*.py"))
HTTP = {"httpx", "urllib.request", "http.client", "requests", "aiohttp"}


def name(file: Path) -> str:
    """Name a file as a reader would: folder and file."""
    return f"{file.parent.name}/{file.name}"


def imports(file: Path) -> Iterator[str]:
    """Yield every module that a file imports, at the top or inside."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def roots(file: Path) -> set[str]:
    """Return the top-level packages that a file imports."""
    return {module.partition(".")[0] for module in imports(file)}


@pytest.mark.parametrize("file", [*RUNTIME, *STAGES], ids=name)
def test_runtime_and_stages_stand_alone(file: Path) -> None:
    """Neither imports dagger nor the other: each works where the other is not."""
    other = "stages" if file in RUNTIME else "runtime"

    assert roots(file).isdisjoint({"dagger", "prewarm", other})


@pytest.mark.parametrize("file", RUNTIME, ids=name)
def test_only_vllm_files_name_vllm(file: Path) -> None:
    """A new release of vLLM is read about in one place: modules, flags and versions.

    That place is `vllm.py`, with `vllm_cache.py` for what releases cache, `vllm_engine.py` and
    `vllm_order.py` for how the engine begins, and `vllm_log.py` for
    what they say.
    """
    if file.name in {"vllm.py", "vllm_cache.py", "vllm_engine.py", "vllm_log.py", "vllm_order.py"}:
        return
    code = ast.unparse(_without_docstrings(ast.parse(file.read_text())))

    assert "vllm" not in roots(file)
    assert not re.search(r"['\"]--(?!(out|pyc)\b)[a-z]", code), "a flag of vLLM's"
    assert not re.search(r"(?<![\d.])0\.\d+\.\d+\b", code), "a version of vLLM's"


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                statement
                for statement in body
                if not (
                    isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
                )
            ] or [ast.Pass()]
    return tree


@pytest.mark.parametrize("file", STAGES, ids=name)
def test_only_two_files_speak_http(file: Path) -> None:
    """What leaves the machine is read in hub.py and registry.py."""
    speaks = HTTP & {*imports(file), *roots(file)}

    assert not speaks or file.stem in {"hub", "registry", "__main__"}


@pytest.mark.parametrize("file", RUNTIME, ids=name)
def test_the_runtime_brings_nothing_along(file: Path) -> None:
    """It runs on the standard library and on what vLLM itself needs."""
    import sys  # noqa: PLC0415 - only this test asks

    allowed = {*sys.stdlib_module_names, "runtime", "uvloop"}

    assert roots(file) <= allowed
