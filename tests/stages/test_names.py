"""Names are hostile until checked."""

import pytest

from stages import names


@pytest.mark.parametrize(
    "path",
    [
        "config.json",
        "a/b/c.jinja",
        "model-00001-of-00002.safetensors",
        "LICENSE",
        "日本.json",
        "a..b",
    ],
)
def test_ordinary_path_is_accepted(path: str) -> None:
    """A relative POSIX path of printable parts names a file."""
    assert names.path_problem(path) is None


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "empty"),
        ("../config.json", "leaves its folder"),
        ("a/../../b", "leaves its folder"),
        ("a/./b", "leaves its folder"),
        ("a//b", "empty part"),
        ("a/", "empty part"),
        ("/etc/passwd", "absolute"),
        ("C:\\x", "absolute"),
        ("c:x", "absolute"),
        ("a\\b", "backslash"),
        ("a\nb", "control characters"),
        ("a\0b", "control characters"),
        ("a\x1b[2Jb", "control characters"),
        ("evil\u202egnp.json", "control characters"),
        ("\ud800.json", "control characters"),
        ("x" * 256, "too long"),
        ("/".join(["x" * 200] * 6), "too long"),
    ],
)
def test_hostile_path_is_refused(path: str, problem: str) -> None:
    """A path that leaves its folder, or hides what it is, is refused, and shown escaped."""
    found = names.path_problem(path)

    assert found is not None
    assert problem in found
    assert found.isprintable()


@pytest.mark.parametrize("name", ["google/gemma-3-1b-it", "gpt2", "a/b.c_d-e", "_x/y"])
def test_model_name_is_accepted(name: str) -> None:
    """A model is OWNER/NAME, or NAME alone for the oldest ones."""
    assert names.model_problem(name) is None


@pytest.mark.parametrize(
    "name", ["", "a/b/c", "../x", "a/..", "a b", "a/", "/a", "a--b", "é/a", "a?b"]
)
def test_other_model_name_is_refused(name: str) -> None:
    """Anything else would change the meaning of an address."""
    assert names.model_problem(name) is not None


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/1", "c" * 40])
def test_revision_is_accepted(revision: str) -> None:
    """Branches, tags, pull requests and commits are revisions."""
    assert names.revision_problem(revision) is None


@pytest.mark.parametrize("revision", ["", "..", "a..b", "-x", "/a", ".a", "a b", "a\n", "x" * 256])
def test_other_revision_is_refused(revision: str) -> None:
    """What git would refuse as a name is refused."""
    assert names.revision_problem(revision) is not None


@pytest.mark.parametrize(
    ("paths", "problem"),
    [
        (["a.json", "A.json"], "are one on some file systems"),
        (["a", "a"], "are one on some file systems"),
        (["a", "a/b"], "lies below another file"),
        (["a/b", "a/b/c/d"], "lies below another file"),
    ],
)
def test_paths_that_cannot_share_a_folder_are_refused(paths: list[str], problem: str) -> None:
    """Twins by case, and a file where another needs a folder, are refused."""
    assert problem in (names.set_problem(paths) or "")


def test_paths_that_share_a_folder_are_accepted() -> None:
    """Neighbours in one folder are no problem."""
    assert names.set_problem(["a/b", "a/c", "ab"]) is None
