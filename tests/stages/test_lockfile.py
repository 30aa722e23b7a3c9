"""A lock is hostile until it has been parsed."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import lockfile
from stages.errors import LockError
from stages.lockfile import Base, File, Lock, Model

SHA = "a" * 64


def a_lock(*files: File) -> Lock:
    """Make a sound lock of these files and a config.json."""
    config = File(path="config.json", size=2, sha256=SHA)
    ordered = tuple(sorted((config, *files), key=lambda file: file.path))
    model = Model(
        name="acme/tiny",
        revision="main",
        commit="c" * 40,
        files=ordered,
        layers=lockfile.layers("acme/tiny", ordered),
    )
    return Lock(model=model, base=Base(image="docker.io/a/b:v1", digest=f"sha256:{SHA}"))


SOUND = json.loads(lockfile.dump(a_lock(File(path="m.safetensors", size=5, sha256=SHA))))


def changed(*keys: str | int, to: object) -> str:
    """Write the sound lock with one value replaced."""
    value: Any = copy.deepcopy(SOUND)
    place = value
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    return json.dumps(value)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}\.(json|safetensors)", fullmatch=True), st.integers(0, 2**50)
    )
)
def test_lock_reads_back_as_written(files: dict[str, int]) -> None:
    """Parsing what was dumped gives the same lock, and dumping that the same text."""
    files.pop("config.json", None)
    lock = a_lock(*(File(path=path, size=size, sha256=SHA) for path, size in files.items()))

    text = lockfile.dump(lock)

    assert lockfile.parse(text) == lock
    assert lockfile.dump(lockfile.parse(text)) == text


def test_known_digest_is_kept() -> None:
    """A layer's digest may be known."""
    digest = f"sha256:{'b' * 64}"

    lock = lockfile.parse(changed("model", "layers", 0, "digest", to=digest))

    assert [one.digest for one in lock.model.layers] == [digest, None]


FILES = ("model", "files")
BAD = {
    "not json": ("{", "not a lock"),
    "not an object": ("[]", "the lock must be an object"),
    "nested too deeply": ("[" * 100_000, "recursion"),
    "key twice": ('{"version": 1, "version": 1}', "names a key twice"),
    "huge number": ('{"version": ' + "1" * 5000 + "}", "not a lock"),
    "unknown key": (changed("extra", to=1), "exactly version, model, base"),
    "other version": (changed("version", to=2), "version is 2"),
    "true as version": (changed("version", to=True), "version is True"),
    "digest as base": (
        changed("base", "image", to=f"docker.io/a/b@sha256:{SHA}"), "without a digest"
    ),
    "short base": (changed("base", "image", to="b:v1"), "must be written in full"),
    "no base": (changed("base", "image", to=" "), "not an image's name"),
    "base digest": (changed("base", "digest", to="sha512:00"), "not a sha256:... digest"),
    "model name": (changed("model", "name", to="../x"), "not a model's name"),
    "revision": (changed("model", "revision", to=""), "not a branch"),
    "commit": (changed("model", "commit", to="main"), "not a commit"),
    "number as commit": (changed("model", "commit", to=7), "must be a text"),
    "files": (changed(*FILES, to={}), "must be a list"),
    "no files": (changed(*FILES, to=[]), "config.json among them"),
    "out of order": (changed(*FILES, to=SOUND["model"]["files"][::-1]), "paths in order"),
    "file twice": (changed(*FILES, to=SOUND["model"]["files"] * 2), "are one"),
    "path": (changed(*FILES, 1, "path", to="../m.safetensors"), "leaves its folder"),
    "absolute path": (changed(*FILES, 1, "path", to="/m.safetensors"), "absolute"),
    "size below 0": (changed(*FILES, 0, "size", to=-1), "number of bytes"),
    "fraction as size": (changed(*FILES, 0, "size", to=2.0), "number of bytes"),
    "true as size": (changed(*FILES, 0, "size", to=True), "number of bytes"),
    "size past reason": (changed(*FILES, 0, "size", to=2**51), "number of bytes"),
    "sha256": (changed(*FILES, 0, "sha256", to=SHA.upper()), "64 hex digits"),
    "other size": (changed(*FILES, 1, "size", to=9999), "does not follow"),
    "layers": (changed("model", "layers", to=[]), "does not follow"),
    "layer digest": (changed("model", "layers", 0, "digest", to="x"), "not a sha256:... digest"),
    "layer size": (changed("model", "layers", 0, "size", to=7), "does not follow"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_unsound_lock_is_refused(case: str) -> None:
    """Each text is refused with the place and the reason."""
    text, message = BAD[case]

    with pytest.raises(LockError) as caught:
        lockfile.parse(text)

    assert message in str(caught.value)


def test_file_that_is_no_lock_is_refused_with_its_name(tmp_path: Path) -> None:
    """Absent, huge, binary and wrong files each say what they are."""
    huge, binary, wrong = (tmp_path / name for name in ("huge", "binary", "wrong"))
    huge.write_bytes(b" " * (lockfile.LARGEST_TEXT + 1))
    binary.write_bytes(b"\xff\xfe")
    wrong.write_text("{}")

    for path, message in {
        tmp_path / "absent": "cannot be read",
        huge: "larger than 16 MiB",
        binary: "not UTF-8",
        wrong: "must be an object",
    }.items():
        with pytest.raises(LockError, match=f"{path.name}.*{message}"):
            lockfile.read(path)
