"""The compile cache: a folder that says in cache.json what each of its files must be.

cache.json holds, beside the facts that the cache was made under,
{"files": [{"path", "size" in bytes, "sha256"}, ...]}: every file but itself. What is cached is
code that will run, so a file that is not listed is refused as one that differs.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from stages import verify
from stages.errors import IntegrityError
from stages.lockfile import File
from stages.names import SHA256, path_problem
from stages.stop import Stop

FACTS = "cache.json"
_ADVICE = "Take the folder as `bake` wrote it"


def read(folder: Path, stop: Stop) -> tuple[File, ...]:
    """Give every file of the cache, cache.json included, each checked.

    Raises:
        IntegrityError: A file is absent, differs, or is not listed.
    """
    facts = folder / FACTS
    try:
        content = facts.read_bytes()
    except OSError as error:
        raise IntegrityError(f"{facts} cannot be read: {error.strerror}. {_ADVICE}") from error
    files = parse(content, facts)
    there, wanted = set(verify.files_below(folder)), {file.path for file in files}
    if other := sorted(there ^ wanted):
        what = "holds" if other[0] in there else "lacks"
        raise IntegrityError(f"{folder} {what} {other[0]}, against its {FACTS}. {_ADVICE}")
    for file in files:
        verify.check(file, folder / file.path, stop=stop, advice=_ADVICE)
    return files


def parse(content: bytes, where: Path = Path(FACTS)) -> tuple[File, ...]:
    """Give every file that cache.json lists, and cache.json itself, in order.

    Raises:
        IntegrityError: The text lists no files.
    """
    try:
        listed = [_file(item) for item in json.loads(content)["files"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"{where} does not list the cache's files. {_ADVICE}") from error
    sha256 = hashlib.sha256(content).hexdigest()
    itself = File(path=FACTS, size=len(content), sha256=sha256)
    return tuple(sorted((*listed, itself), key=lambda file: file.path))


def _file(item: Any) -> File:
    """Read one item of the list, trusting nothing in it."""
    file = File(path=str(item["path"]), size=int(item["size"]), sha256=str(item["sha256"]))
    if path_problem(file.path) or not SHA256.fullmatch(file.sha256):
        raise ValueError(file.path)
    return file
