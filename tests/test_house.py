"""The rules that keep the house easy to see."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import ROOT

RUNTIME = sorted((ROOT / "runtime").glob("*.py"))
STAGES = sorted((ROOT / "ci" / "src" / "stages").rglob("*.py"))
PREWARM = sorted((ROOT / "ci" / "src" / "prewarm").rglob("*.py"))
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


@pytest.mark.parametrize("file", PREWARM, ids=name)
def test_module_leaves_the_work_to_the_stages(file: Path) -> None:
    """It asks Dagger, and what the stages know; it opens no file, process or connection."""
    allowed = {"collections", "dagger", "dataclasses", "enum", "prewarm", "stages", "typing"}

    assert roots(file) <= allowed | {"urllib", "uuid"}
    assert not HTTP & set(imports(file))
    assert not re.search(r"\bopen\(|\bPath\(", file.read_text())


def test_main_object_only_connects() -> None:
    """No loop and no parsing in the file that a user's call comes to."""
    tree = ast.parse((ROOT / "ci" / "src" / "prewarm" / "main.py").read_text())
    loops = (ast.For, ast.AsyncFor, ast.While, ast.comprehension, ast.If, ast.Try)
    words = {"split", "partition", "removeprefix", "startswith", "loads", "match", "strip"}
    nodes = list(ast.walk(tree))

    assert not [node for node in nodes if isinstance(node, loops)]
    assert not [node for node in nodes if isinstance(node, ast.Attribute) and node.attr in words]


def test_private_name_of_dagger_is_imported_once() -> None:
    """A release that moves it costs one edit."""
    private = [file for file in PREWARM if any("._" in module for module in imports(file))]

    assert [file.name for file in private] == ["errors.py"]


@pytest.mark.parametrize("file", RUNTIME, ids=name)
def test_only_vllm_files_name_vllm(file: Path) -> None:
    """A new release of vLLM is read about in one place: modules, flags and versions.

    That place is `vllm.py` and the files beside it that begin with its name, a noun each: what
    releases cache, what they log, in which order they start, and which flags are refused.
    """
    if file.stem == "vllm" or file.stem.startswith("vllm_"):
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
def test_only_two_nouns_speak_http(file: Path) -> None:
    """What leaves the machine is read in hub.py and in registry; smoke asks its own server."""
    speaks = HTTP & {*imports(file), *roots(file)}

    assert not speaks or "registry" in file.parts or file.stem in {"hub", "asking"}


@pytest.mark.parametrize("file", RUNTIME, ids=name)
def test_the_runtime_brings_nothing_along(file: Path) -> None:
    """It runs on the standard library and on what vLLM itself needs."""
    import sys  # noqa: PLC0415 - only this test asks

    allowed = {*sys.stdlib_module_names, "runtime", "uvloop"}

    assert roots(file) <= allowed
