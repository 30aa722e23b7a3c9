"""Every planted leak is found and named by its place; the clean image passes."""

import base64
import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from stages.scan import members
from tests.stages.model import Ended
from tests.stages.planting import SECRET, Image, token, zipped

Run = Callable[..., Ended]
HF = token("hf_", 34)
AWS = token("/+", 38)
BODY = base64.b64encode(bytes(range(96))).decode()
KEY = f"-----BEGIN {'PRIVATE'} KEY-----\n{BODY}\n"
NOTE = "opt/prewarm/note.txt"


def content(text: str | bytes, *, at: str = NOTE) -> Callable[[Image], None]:
    """Plant a file."""

    def plant(image: Image) -> None:
        image.files[at] = text.encode() if isinstance(text, str) else text

    return plant


def said(attribute: str, **texts: Any) -> Callable[[Image], None]:
    """Plant into one of the image's mappings."""

    def plant(image: Image) -> None:
        getattr(image, attribute).update(texts)

    return plant


def env(text: str) -> Callable[[Image], None]:
    """Plant a variable."""
    return lambda image: image.env.append(text)


def changed(**attributes: Any) -> Callable[[Image], None]:
    """Plant by replacing a part of the image."""

    def plant(image: Image) -> None:
        for name, value in attributes.items():
            setattr(image, name, value)

    return plant


def b64(offset: int) -> bytes:
    """Encode the secret behind some other bytes."""
    return base64.b64encode(b"abc"[:offset] + SECRET.encode() + b" and more")


def tarred(name: str, text: str) -> bytes:
    """Pack a tar."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text.encode()))
    return packed.getvalue()


EXACT, BY_NAME, BY_FILE = "the secret of CANARY", "under the name of", "file that holds"
URLSAFE = base64.urlsafe_b64encode(b"a" + SECRET.encode())

# What is planted, and two texts of the line that names it: the place, and what it is.
PLANTS: dict[str, tuple[Callable[[Image], None], str, str]] = {
    "plain": (content(f"x {SECRET} x"), f"{NOTE}: content at byte 2", EXACT),
    "reversed": (content(SECRET[::-1]), NOTE, "(reversed)"),
    "base64 behind nothing": (content(b64(0)), NOTE, "(base64)"),
    "base64 behind a byte": (content(b64(1)), NOTE, "(base64)"),
    "base64 behind two bytes": (content(b64(2)), NOTE, "(base64)"),
    "urlsafe base64": (content(URLSAFE), NOTE, "(base64)"),
    "URL-encoded": (content(quote(SECRET, safe="")), NOTE, "(URL-encoded)"),
    "JSON-escaped": (content(SECRET.replace("/", r"\/")), NOTE, "(JSON-escaped)"),
    "hex": (content(SECRET.encode().hex()), NOTE, "(hex)"),
    "hex in capitals": (content(SECRET.encode().hex().upper()), NOTE, "(hex)"),
    "gzip": (content(gzip.compress(SECRET.encode()), at="a.log"), "a.log!gzip: content", EXACT),
    "tar.gz": (
        content(gzip.compress(tarred("b", SECRET)), at="a.tgz"), "a.tgz!gzip: content", EXACT
    ),
    "zip": (content(zipped({"in.txt": SECRET.encode()}), at="a.bin"), "a.bin!in.txt", EXACT),
    "wheel": (content(zipped({"c/__init__.py": HF.encode()}), at="c.whl"), "c.whl!c/_", "Hugging"),
    "known file in a zip": (content(zipped({"x/.netrc": b""}), at="z.zip"), "z.zip!x/.n", BY_FILE),
    "name of a file": (content("", at=f"opt/{HF}"), "(a name that holds", "Hugging Face"),
    "link target": (said("links", **{"opt/l": f"/{HF}"}), "opt/l: link at byte 1", "Hugging"),
    "PAX header": (said("pax", comment=SECRET), "opt/prewarm/runtime/__init__.py: header", EXACT),
    "xattr": (
        said("pax", **{"SCHILY.xattr.user.k": HF}), "opt/prewarm/runtime/__init__.py: header", "Hug"
    ),
    "compressed layer": (
        changed(packed=True, files={NOTE: SECRET.encode()}), NOTE, EXACT
    ),
    "variable": (env(f"X={SECRET}"), "config.Env[4]", EXACT),
    "variable by its name": (env("HF_TOKEN=abc"), "config.Env[4] HF_TOKEN", BY_NAME),
    "label": (said("labels", note=HF), "config.Labels.note", "Hugging Face"),
    "label by its name": (said("labels", db_password="x"), "config.Labels.db_password", BY_NAME),
    "label's own name": (said("labels", **{HF: "x"}), "(a name that holds a secret", "Hugging"),
    "command": (said("config", Cmd=["--api-key", "abc"]), "config.Cmd", BY_NAME),
    "entrypoint": (said("config", Entrypoint=["x", SECRET]), "config.Entrypoint[1]", EXACT),
    "history": (changed(history=f"RUN get {HF}"), "history[0].created_by", "Hugging Face"),
    "build argument": (changed(history="ARG HF_TOKEN=abc"), "history[0].created_by", BY_NAME),
    "annotation": (said("annotations", a=SECRET), "annotations.a", EXACT),
    "index": (said("index", a=SECRET), "index.json manifests[0].annotations.a", EXACT),
    "stray blob": (changed(stray=SECRET.encode()), "sha256:", EXACT),
    "organisation's token": (content(token("api_org_", 34)), NOTE, "Hugging Face"),
    "token behind an escape": (content(r'{"a": "b\n' + HF), NOTE, "Hugging Face"),
    "Google key": (content(token("AIza", 35)), NOTE, "Google API key"),
    "Google access": (content(token("ya29.", 60)), NOTE, "Google access"),
    "service account": (content(json.dumps({"private_key": KEY})), NOTE, "private key"),
    "GitHub": (content(token("ghp_", 36)), NOTE, "GitHub token"),
    "GitHub's server token": (content(token("ghs_", 36)), NOTE, "GitHub token"),
    "GitHub, fine-grained": (content(token("github_pat_", 52)), NOTE, "GitHub token"),
    "AWS": (content("AK" + "IA" + "ABCDEFGHIJKLMNOP"), NOTE, "AWS key"),
    "AWS secret": (content(f"aws_secret_access_key = {AWS}"), NOTE, "AWS secret key"),
    "private key": (content(KEY), NOTE, "private key"),
    "npm": (content("//r/:_authToken=abc", at="root/.npmrc"), "root/.npmrc", "npm token"),
    "broken gzip": (content(b"\x1f\x8b\x08\0junk"), NOTE, "cannot be read: gzip"),
    **{
        path: (content("", at=path), f"{path}: name", BY_FILE)
        for path in (
            "model-cache/token", "root/.cache/huggingface/stored_tokens", "/root/.netrc",
            "./x/../root/.git-credentials", "root/.docker/config.json", "x/.pypirc",
            "root/.config/gcloud/application_default_credentials.json", "root/.ssh/id_rsa",
        )
    },
}  # fmt: skip


def scan(stages: Run, folder: Path, *more: object) -> tuple[Ended, str]:
    """Scan for the canary and give the report's text too."""
    out = folder.parent / "report.json"
    arguments = ("scan", folder, "--secret-env", "CANARY", "--out", out, *more)
    ended = stages(*arguments, environ={"CANARY": SECRET})
    return ended, out.read_text()


def test_clean_image_passes(stages: Run, tmp_path: Path) -> None:
    """Our runtime, a licence, a vocabulary full of tokens: nothing of it is a leak."""
    layer = Image().write(tmp_path / "layout")

    ended, report = scan(stages, tmp_path / "layout")

    assert (ended.code, ended.err) == (0, "")
    assert "is clean" in ended.out
    told = json.loads(report)
    assert (told["verdict"], told["findings"], told["secrets"]) == ("clean", [], ["CANARY"])
    assert [one["state"] for one in told["layers"]] == ["base", "searched"]
    assert told["layers"][1]["digest"] == told["layers"][1]["diff_id"] == layer
    assert told["manifest"] in ended.out


def test_an_empty_variable_is_no_secret(stages: Run, tmp_path: Path) -> None:
    """A public model's token is given empty; there is nothing to look for then."""
    Image().write(tmp_path / "layout")

    ended = stages("scan", tmp_path / "layout", "--secret-env", "NONE", environ={"NONE": ""})

    assert (ended.code, ended.err) == (0, "")


@pytest.mark.parametrize("case", PLANTS)
def test_planted_leak_is_found(stages: Run, tmp_path: Path, case: str) -> None:
    """Because of the plant, since the rest is the clean image; the secret itself is not shown."""
    plant, place, what = PLANTS[case]
    image = Image()
    plant(image)
    image.write(tmp_path / "layout")

    ended, report = scan(stages, tmp_path / "layout")

    assert ended.code == 2
    assert any(place in line and what in line for line in ended.out.splitlines()), ended.out
    assert "must not be pushed" in ended.err
    assert json.loads(report)["verdict"] == "leaks"
    for secret in (SECRET, HF, AWS, BODY[:40]):
        assert secret not in report + ended.out + ended.err
        assert json.dumps(secret)[1:-1] not in report


def test_leak_in_a_log_is_found(stages: Run, tmp_path: Path) -> None:
    """A build's own output is searched with the image."""
    Image().write(tmp_path / "layout")
    (tmp_path / "build.log").write_text(f"HF_TOKEN: {SECRET}\n")

    ended, report = scan(stages, tmp_path / "layout", "--log", tmp_path / "build.log")

    assert ended.code == 2
    assert "build.log: content at byte 10: the secret of CANARY" in ended.out
    assert SECRET not in report + ended.out + ended.err


def test_secret_comes_from_a_file_too(stages: Run, tmp_path: Path) -> None:
    """As a mounted secret, whose last line ends as an editor leaves it."""
    image = Image()
    image.files[NOTE] = b"swordfish"
    image.write(tmp_path / "layout")
    (tmp_path / "mounted").write_text("swordfish\n")

    ended = stages("scan", tmp_path / "layout", "--secret-file", tmp_path / "mounted")

    assert ended.code == 2
    assert f"{NOTE}: content at byte 0: the secret of mounted" in ended.out
    assert "swordfish" not in ended.out + ended.err


def test_report_is_the_same_each_time(stages: Run, tmp_path: Path) -> None:
    """It says nothing of when or where."""
    texts = []
    for folder in ("a", "b"):
        image = Image()
        content(SECRET)(image)
        image.write(tmp_path / folder / "layout")
        texts.append(scan(stages, tmp_path / folder / "layout")[1])

    assert texts[0] == texts[1]


def test_zstd_is_read_or_told(stages: Run, tmp_path: Path) -> None:
    """Where nothing reads zstd, a member is a finding: what is not read is not clean."""
    image = Image()
    image.files["a.zst"] = b"\x28\xb5\x2f\xfd\x04\x00\x41\x00\x00junk"
    image.write(tmp_path / "layout")

    ended, _ = scan(stages, tmp_path / "layout")

    assert ended.code == 2
    reason = "broken" if members.zstd() else "needs Python 3.14"
    assert f"a.zst: content: cannot be read: zstd: {reason}" in ended.out
