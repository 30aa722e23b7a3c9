"""What names may be: of models, revisions, commits and files. All are hostile until checked.

Each function answers what is wrong with a name, or None when nothing is.
"""

import re

MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,95})?")
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
LONGEST_SEGMENT = 255  # bytes, the limit of every file system in use
LONGEST_PATH = 1024  # bytes
LONGEST_REVISION = 255  # characters


def model_problem(name: str) -> str | None:
    """Say why `name` cannot name a model on the Hub."""
    if not MODEL.fullmatch(name) or ".." in name or "--" in name:
        return f"{name!a} is not a model's name; expected OWNER/NAME, as google/gemma-3-1b-it"
    return None


def revision_problem(revision: str) -> str | None:
    """Say why `revision` cannot name a branch, tag or commit."""
    wrong = (
        not 0 < len(revision) <= LONGEST_REVISION
        or not revision.isprintable()
        or " " in revision
        or ".." in revision
        or revision.startswith(("-", ".", "/"))
    )
    return f"{revision!a} is not a branch, tag or commit" if wrong else None


def path_problem(path: str) -> str | None:
    """Say why `path` cannot name a file inside a model's folder.

    A good path is relative and POSIX, is printable, and no part of it is empty, `.` or `..`.
    """
    shown = ascii(path[:LONGEST_PATH])
    if not path or not path.isprintable():
        return f"the file name {shown} is empty or holds control characters"
    if path.startswith("/") or "\\" in path or re.match(r"[A-Za-z]:", path):
        return f"the file name {shown} is absolute or holds a backslash"
    segments = path.split("/")
    if any(segment in {"", ".", ".."} for segment in segments):
        return f"the file name {shown} leaves its folder or has an empty part"
    encoded = [len(segment.encode(errors="replace")) for segment in segments]
    if max(encoded) > LONGEST_SEGMENT or len(path.encode(errors="replace")) > LONGEST_PATH:
        return f"the file name {shown} is too long"
    return None


def set_problem(paths: list[str]) -> str | None:
    """Say why these paths cannot lie in one folder: a twin by case, or a file as a folder."""
    seen: dict[str, str] = {}
    for path in paths:
        if (twin := seen.get(path.casefold())) is not None:
            return f"the file names {twin!a} and {path!a} are one on some file systems"
        seen[path.casefold()] = path
    for path in seen:
        parents = path.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            if "/".join(parents[:depth]) in seen:
                return f"the file name {path!a} lies below another file"
    return None
