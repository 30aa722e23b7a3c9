"""Lays a vLLM release's own launcher around the stand-in engine of `standin/`.

What decides when a port opens is the launcher: the order of bind, engine, application, lifespan
and listen, and the signal handlers. Those modules and functions are the release's own; everything
that needs weights or a GPU is the stand-in's.
"""

import ast
import shutil
import sys
from pathlib import Path

STANDIN = Path(__file__).parent / "standin"

WHOLE_FILES = (
    "entrypoints/launcher.py",
    "entrypoints/constants.py",
    "entrypoints/launchers/launcher.py",
    "entrypoints/launchers/utils/constants.py",
)
SERVERS = ("entrypoints/launchers/api_server/entry.py", "entrypoints/openai/api_server.py")
FUNCTIONS = {
    "build_and_serve",
    "create_server_socket",
    "create_server_unix_socket",
    "run_server",
    "run_server_worker",
    "setup_server",
}
_IMPORTABLE = {*sys.stdlib_module_names, "vllm", "uvicorn", "uvloop", "fastapi", "starlette"}


def build(source: Path, out: Path, release: str) -> Path:
    """Write the tree into `out` and return it.

    Args:
        source: the release's `vllm` folder.
        out: new folder, to be put on PYTHONPATH.
        release: such as "0.9.0"; becomes the metadata's version, marked as a CPU build.
    """
    shutil.copytree(STANDIN, out / "vllm")
    for name in WHOLE_FILES:
        if (source / name).is_file():
            _write(out / "vllm" / name, (source / name).read_text())
    server = next(name for name in SERVERS if (source / name).is_file())
    _write(out / "vllm" / server, _server(source / server))
    metadata = out / f"vllm-{release}+cpu.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {release}+cpu\n")
    return out


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    folder = file.parent
    while folder.name != "vllm":
        (folder / "__init__.py").touch()
        folder = folder.parent
    file.write_text(text)


def _server(file: Path) -> str:
    """Keep the release's imports and the functions that start a server; override the engine."""
    kept: list[ast.stmt] = []
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            if _importable(node):
                kept.append(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in FUNCTIONS:
            kept.append(node)
        elif isinstance(node, ast.Assign):
            name = ast.unparse(node.targets[0])
            if name == "logger" or (name.isupper() and isinstance(node.value, ast.Constant)):
                kept.append(node)
    source = ast.unparse(ast.Module(kept, []))
    return f"{source}\n\nfrom vllm.standin import *\n"


def _importable(node: ast.Import | ast.ImportFrom) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.level > 0 or (node.module or "").partition(".")[0] in _IMPORTABLE
    return all(alias.name.partition(".")[0] in _IMPORTABLE for alias in node.names)
