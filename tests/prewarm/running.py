"""Runs recorded programs for real: each in a folder that stands for its container's root.

What was mounted is laid out below that folder, and every absolute path of the command becomes one
below it. Only the installing of packages is left out: a program runs in this environment.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from tests.prewarm.execution import Execution
from tests.prewarm.recipe import Recipe
from tests.prewarm.session import Failed


@dataclass
class Runner:
    """Runs programs below a folder, and keeps what they leave for those that follow.

    Attributes:
        roots: Id of a program's call -> the folder that stood for its root.
        output: Id of a program's call -> what it wrote to standard output.
    """

    folder: Path
    roots: dict[str, Path] = field(default_factory=dict)
    output: dict[str, str] = field(default_factory=dict)

    def outcome(self, one: Execution) -> Failed | None:
        """Run a program of the stages; say how it fails, or None."""
        if one.verb is None:
            return None
        root = self.folder / f"root-{len(self.roots)}"
        self.roots[one.recipe.id] = root
        root.mkdir()
        for path, source in one.mounts.items():
            self._lay_out(source, _below(root, path))
        for path, call in one.caches.items():
            volume = self.folder / call.args["cache"].args["key"]
            volume.mkdir(exist_ok=True)
            _below(root, path).symlink_to(volume)
        done = subprocess.run(
            [sys.executable, *(_mapped(root, word) for word in one.args[1:])],
            cwd=root,
            env=self._env(one, root),
            capture_output=True,
            text=True,
            check=False,
        )
        self.output[one.recipe.id] = done.stdout
        if done.returncode:
            return Failed(code=done.returncode, stderr=done.stderr, stdout=done.stdout)
        return None

    def printed(self, one: Execution) -> str:
        """Give what a program wrote."""
        return self.output[one.recipe.id]

    def path(self, recipe: Recipe) -> Path:
        """Give the file or folder that a program left, or that a test brought in."""
        if isinstance(recipe.given, Path):
            return recipe.given
        made_by = recipe.calls("withExec")
        if recipe.name in {"directory", "file"} and made_by:
            return _below(self.roots[made_by[-1].id], recipe.args["path"])
        assert recipe.parent
        below: str = recipe.args["path"]
        return self.path(recipe.parent) / below

    def _lay_out(self, source: Recipe, target: Path) -> None:
        """Put a file or folder where a program expects it."""
        if source.calls("withExec") and Execution(source.calls("withExec")[-1]).verb is None:
            return  # packages, which this environment has
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.name == "withDirectory":
            if source.parent and source.parent.parent:
                self._lay_out(source.parent, target)
            folder, include = source.args["source"], source.args.get("include")
            _copy(self.path(folder), _below(target, source.args["path"]), include)
        elif source.name == "filter":
            assert source.parent
            _copy(self.path(source.parent), target, source.args["include"])
        elif self.path(source).is_dir():
            _copy(self.path(source), target, None)
        else:
            shutil.copyfile(self.path(source), target)

    def _env(self, one: Execution, root: Path) -> dict[str, str]:
        env = {name: _mapped(root, value) for name, value in one.env.items()}
        secrets = {name: str(secret.given) for name, secret in one.secrets.items()}
        return {"PATH": os.environ["PATH"]} | env | secrets


def _copy(source: Path, target: Path, include: list[str] | None) -> None:
    """Copy a folder with its files' modes and times, or only what the patterns name."""
    for path in _chosen(source, include):
        to = target / path
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / path, to)


def _chosen(source: Path, include: list[str] | None) -> Iterator[str]:
    for found in sorted(source.rglob("*")):
        path = found.relative_to(source).as_posix()
        if (
            found.is_file()
            and "__pycache__" not in path
            and (include is None or any(_fits(path, pattern) for pattern in include))
        ):
            yield path


def _fits(path: str, pattern: str) -> bool:
    return path == pattern or fnmatch(path, pattern.replace("**/", "*"))


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _mapped(root: Path, word: str) -> str:
    """Give a word, or a list of paths as PYTHONPATH is one, below the root where it is absolute."""
    if not word.startswith("/"):
        return word
    return ":".join(f"{root}{part}" for part in word.split(":"))
