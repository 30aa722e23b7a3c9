"""The exact secrets to look for: by file or by variable, never by the command line."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stages.errors import UsageError
from stages.scan.findings import shown
from stages.scan.needles import LONGEST_SECRET, SHORTEST_SECRET, Needle, needles
from stages.scan.search import Search

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


def read(
    environ: Mapping[str, str], *, files: Sequence[Path], names: Sequence[str]
) -> list[Needle]:
    """Read the secrets and give their forms.

    Raises:
        UsageError: Lists every one that cannot be looked for; shows none.
    """
    problems: list[str] = []
    found: list[Needle] = []
    for label, value in (*_variables(environ, names, problems), *_contents(files, problems)):
        if SHORTEST_SECRET <= len(value) <= LONGEST_SECRET:
            found += needles(label, value)
        else:
            problems.append(
                f"the secret of {label} has {len(value)} bytes, expected {SHORTEST_SECRET} to "
                f"{LONGEST_SECRET}: a shorter one is in every image by chance"
            )
    if problems:
        raise UsageError("; ".join(problems))
    return found


def _variables(
    environ: Mapping[str, str], names: Sequence[str], problems: list[str]
) -> Iterator[tuple[str, bytes]]:
    for name in names:
        label = shown(name, Search())  # somebody may give the secret where its name belongs
        if not _VARIABLE.fullmatch(name):
            problems.append("--secret-env takes the name of a variable, not a value")
        elif name not in environ:
            problems.append(f"--secret-env: the variable {label} is not set")
        elif text := environ[name].strip():  # an empty one says that there is no secret
            yield label, text.encode(errors="surrogateescape")


def _contents(files: Sequence[Path], problems: list[str]) -> Iterator[tuple[str, bytes]]:
    for path in files:
        label = shown(path.name, Search())
        try:
            with path.open("rb") as file:
                yield label, file.read(LONGEST_SECRET + 2).strip()
        except OSError as error:
            problems.append(f"--secret-file: {label} cannot be read: {error.strerror}")
