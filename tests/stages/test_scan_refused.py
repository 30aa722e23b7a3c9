"""What cannot be searched to its end is refused or told, and never counts as clean."""

import gzip
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stages import lockfile
from stages.lockfile import Base, File, Lock, Model
from stages.scan import members
from tests.stages.model import COMMIT, Ended
from tests.stages.planting import SECRET, Image, digest, token, zipped

Run = Callable[..., Ended]
HF = token("hf_", 34)
NAME = "acme/tiny"


def head(name: str, *, kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    """Pack a tar's header alone."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.USTAR_FORMAT)


def padded(content: bytes) -> bytes:
    """Fill up to a whole block."""
    return content + bytes(-len(content) % 512)


END = bytes(1024)
PAX = head("pax", kind=b"x", size=12) + padded(b"12 size=1x \n")
TARS: dict[str, tuple[bytes, str]] = {
    "no tar": (b"x" * 2048, "entry at byte 0 has no sound header"),
    "empty": (b"", "entry at byte 0 is cut off"),
    "cut header": (head("a") + b"x" * 100, "entry at byte 512 is cut off"),
    "cut content": (head("a", size=4096) + bytes(512), "entry at byte 0 is cut off"),
    "no end": (head("a"), "entry at byte 512 is cut off"),
    "huge PAX": (head("p", kind=b"x", size=2**30) + END, "has a header of 1073741824 bytes"),
    "huge name": (head("p", kind=b"L", size=2**21) + END, "has a header of 2097152 bytes"),
    "malformed PAX": (
        head("p", kind=b"x", size=9) + padded(b"99 path=a") + head("a") + END, "malformed PAX"
    ),
    "PAX size": (PAX + head("a") + END, "has a PAX size that is no number"),
    "global path": (
        head("p", kind=b"g", size=9) + padded(b"9 path=a\n") + head("a") + END, "moves all entries"
    ),
    "sparse": (head("a", kind=b"S") + END, "is of the kind"),
    "content of a link": (head("a", kind=b"2", size=9) + padded(b"x") + END, "has content"),
    "more behind the end": (head("a") + bytes(512) + head("b") + END, "but more follows"),
}  # fmt: skip


def write(folder: Path, image: Image | None = None) -> str:
    """Write an image to FOLDER/layout."""
    return (image or Image()).write(folder / "layout")


@pytest.mark.parametrize("case", TARS)
def test_hostile_tar_is_refused(stages: Run, tmp_path: Path, case: str) -> None:
    """By its place, without reading more than there is."""
    tar, message = TARS[case]
    layer = write(tmp_path, Image(tar=tar))

    ended = stages("scan", tmp_path / "layout")

    assert (ended.code, ended.out) == (2, "")
    assert f"stages: layer {layer}: the tar's entry" in ended.err
    assert message in ended.err


def test_hostile_names_are_shown_harmlessly(stages: Run, tmp_path: Path) -> None:
    """Nothing is unpacked, so absolute names do no harm; control signs reach no terminal."""
    image = Image()
    image.files |= {"/etc/../\x1b[31mred": HF.encode(), "a\udcff": HF.encode()}
    write(tmp_path, image)

    ended = stages("scan", tmp_path / "layout")

    assert ended.code == 2
    assert r" /etc/../\x1b[31mred: content at byte 0: Hugging Face token" in ended.out
    assert r" a\udcff: content" in ended.out
    assert "\x1b" not in ended.out


def test_bombs_are_read_within_bounds(
    stages: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What unpacks to more than the bound is told, not read."""
    monkeypatch.setattr(members, "LARGEST_UNPACKED", 2**20)
    image = Image()
    image.files |= {
        "a.gz": gzip.compress(bytes(2**21)),
        "b.zip": zipped({"x": bytes(2**19), "y": bytes(2**20)}),
        "c.zip": b"PK\3\4 and no more",
    }
    write(tmp_path, image)

    ended = stages("scan", tmp_path / "layout")

    assert ended.code == 2
    assert "a.gz: content: cannot be read: unpacks to more than 1048576 bytes" in ended.out
    assert "b.zip: content: cannot be read: unpacks to more than" in ended.out
    assert "c.zip: content: cannot be read: zip: broken or encrypted" in ended.out


def test_compressed_layer_passes_and_a_bomb_does_not(stages: Run, tmp_path: Path) -> None:
    """A layer may be compressed, if it does not unpack to far more than its size."""
    write(tmp_path / "a", Image(packed=True))
    bomb = head("a", size=2**27) + bytes(2**27) + END
    write(tmp_path / "b", Image(tar=bomb, packed=True))

    clean, refused = (stages("scan", tmp_path / name / "layout") for name in "ab")

    assert clean.code == 0
    assert refused.code == 2
    assert "unpacks to far more than its size" in refused.err


def locked(content: bytes, layer: str | None = None) -> str:
    """Write a lock that names one small file, and its layer's digest if it is known."""
    config = File(path="config.json", size=len(content), sha256=digest(content)[7:])
    (made,) = lockfile.layers(NAME, (config,))
    of = lockfile.Layer(files=made.files, size=made.size, digest=layer)
    model = Model(name=NAME, revision="main", commit=COMMIT, files=(config,), layers=(of,))
    base = Base(image="docker.io/acme/base:1", digest=f"sha256:{'0' * 64}")
    return lockfile.dump(Lock(model=model, base=base))


@pytest.mark.parametrize("by", ["file", "layer"])
def test_weights_are_matched_and_not_searched(stages: Run, tmp_path: Path, by: str) -> None:
    """Bytes that the lock names are the publisher's; the same bytes are searched without it."""
    image = Image()
    image.files["model-cache/weights"] = HF.encode()
    layer = write(tmp_path, image)
    lock = locked(HF.encode(), layer if by == "layer" else None)
    (tmp_path / "lock").write_text(lock)
    report = tmp_path / "report.json"

    found = stages("scan", tmp_path / "layout")
    passed = stages("scan", tmp_path / "layout", "--lock", tmp_path / "lock", "--out", report)

    assert (found.code, passed.code) == (2, 0)
    told = json.loads(report.read_text())["layers"][1]
    assert told["state"] == ("weights" if by == "layer" else "searched")
    assert told["weights"] == ([] if by == "layer" else ["model-cache/weights"])


def spoil(path: str, content: str) -> Callable[[Path], object]:
    """Overwrite a file of the layout."""
    return lambda folder: (folder / path).write_text(content)


def blob(change: Callable[[Path], object]) -> Callable[[Path], None]:
    """Change the layer's blob, which is the largest."""

    def apply(folder: Path) -> None:
        change(max((folder / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size))

    return apply


def named(change: Callable[[Path], object]) -> Callable[[Path], None]:
    """Change the manifest's blob."""

    def apply(folder: Path) -> None:
        entry = json.loads((folder / "index.json").read_text())["manifests"][0]
        change(folder / "blobs" / Path(*entry["digest"].split(":")))

    return apply


# How the layout is spoilt, the command line behind it, and what the message says.
CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no layout": (lambda _: None, "scan none", "none is no OCI image layout: `image` writes one"),
    "layout missing": (lambda _: None, "scan", "required: LAYOUT"),
    "secret as an argument": (lambda _: None, "scan layout --secret x", "unrecognized arguments"),
    "no index": (lambda f: (f / "index.json").unlink(), "scan layout", "index.json cannot be read"),
    "index is no JSON": (spoil("index.json", "{"), "scan layout", "index.json is not sound JSON"),
    "index is a list": (spoil("index.json", "[]"), "scan layout", "is not a JSON object"),
    "key twice": (spoil("index.json", '{"a":1,"a":2}'), "scan layout", "is not sound JSON"),
    "no image": (spoil("index.json", '{"manifests": []}'), "scan layout", "names 0 images"),
    "image index": (
        spoil("index.json", '{"manifests": [{"mediaType": "x"}]}'), "scan layout", "image manifest"
    ),
    "no manifest": (named(Path.unlink), "scan layout", "cannot be read: No such file"),
    "wrong manifest": (
        named(lambda path: path.write_text("{}")), "scan layout", "the manifest sha256:"
    ),
    "no blob of ours": (blob(Path.unlink), "scan layout", "is absent, and it is no layer of the"),
    "wrong blob": (
        blob(lambda path: path.write_bytes(b"x")), "scan layout", "with 1 bytes, the manifest says"
    ),
    "no lock": (lambda _: None, "scan layout --lock none", "none cannot be read: No such file"),
    "no secret": (lambda _: None, "scan layout --secret-env NONE", "variable NONE is not set"),
    "secret for its name": (
        lambda _: None, f"scan layout --secret-env {HF}", "(a name that holds a secret"
    ),
    "value for a name": (lambda _: None, "scan layout --secret-env a=b", "takes the name of a"),
    "short secret": (lambda _: None, "scan layout --secret-env SHORT", "has 3 bytes, expected 8"),
    "two problems": (
        lambda _: None, "scan layout --secret-env NONE --secret-file none", "set; --secret-file: no"
    ),
    "no log": (lambda _: None, "scan layout --log none", "--log: none cannot be read: No such"),
    "unwritable out": (lambda _: None, "scan layout --out no/r", "no/r cannot be written: No such"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused(
    stages: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """Each case has exit code 2 and a message of one line, shows no secret and writes no file."""
    change, line, message = CASES[case]
    monkeypatch.chdir(tmp_path)
    image = Image(env=[])
    image.files = {"a": bytes(9000)}
    write(tmp_path, image)
    change(tmp_path / "layout")

    ended = stages(*line.split(), environ={"SHORT": "abc", "CANARY": SECRET})

    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.startswith("stages: ")
    assert ended.err.count("\n") == 1
    assert HF not in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["layout"]
