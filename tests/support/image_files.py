"""What an image holds and how it starts, read from a layout so that two makers can be compared."""

import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.stages.packaging import blob, config_of, manifest_of

RUNTIME = "opt/prewarm/runtime"


def start_of(layout: Path) -> dict[str, Any]:
    """Read how a container starts and what the image says, without what says nothing."""
    run: dict[str, Any] = config_of(layout)["config"]
    found = {key: value for key, value in run.items() if value}
    return found | {"Env": dict(one.split("=", 1) for one in found["Env"])}


def files_of(layout: Path) -> list[dict[str, tuple[object, ...]]]:
    """Read each layer of ours: path -> type, mode, owner, time and content; not the base's /opt.

    Neighbours that both hold our code count as one: `stages image` divides it, a Dockerfile cannot.
    """
    layers = [one["digest"] for one in manifest_of(layout)["layers"]]
    found: list[dict[str, tuple[object, ...]]] = []
    for content in (_layer(blob(layout, one)) for one in layers if blob(layout, one).exists()):
        if found and RUNTIME in content and RUNTIME in found[-1]:
            found[-1] |= content
        else:
            found.append(content)
    return found


def _layer(path: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    with tarfile.open(path) as tar:
        for one in tar:
            file = tar.extractfile(one) if one.isfile() else None
            content = sha256(file.read()).hexdigest() if file else None
            name = one.name.rstrip("/")
            found[name] = (one.type, one.mode & 0o7777, one.uid, one.gid, one.mtime, content)
    found.pop("opt", None)
    return found
