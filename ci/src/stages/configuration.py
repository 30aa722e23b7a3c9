"""What an OCI image says in JSON: ours merged over the base's, the same bytes every time.

See https://github.com/opencontainers/image-spec/blob/main/config.md
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stages.base import (
    ARCHITECTURE,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    OS,
    BaseImage,
    Descriptor,
)
from stages.image import OURS, Image, Layer

REF_NAME = "org.opencontainers.image.ref.name"
SECOND = 10**9  # an engine counts a health check's times in nanoseconds
# Of the base's own fields: what holds for the new image too. The rest tells of the base's making.
_KEPT = ("architecture", "author", "os", "os.features", "os.version", "variant")


def config(image: Image, base: BaseImage, diff_ids: Sequence[str]) -> bytes:
    """Write the configuration: ours over the base's, as FROM does it in a Dockerfile."""
    top: dict[str, Any] = {key: base.config[key] for key in _KEPT if base.config.get(key)}
    top["created"] = image.created
    top["config"] = _run(image, base.config.get("config") or {})
    top["rootfs"] = {
        "type": "layers",
        "diff_ids": [*base.config["rootfs"]["diff_ids"], *diff_ids],
    }
    ours = [{"created": image.created, "created_by": one.told} for one in image.layers]
    settings = {
        "created": image.created,
        "created_by": "prewarm: environment, user, entrypoint, health check, labels",
        "empty_layer": True,
    }
    top["history"] = [*_history(base), *ours, settings]
    return text(top)


def manifest(
    image: Image, base: BaseImage, *, config: Descriptor, layers: Sequence[Descriptor]
) -> bytes:
    """Write the manifest; the base's layers are referred to, whoever holds them."""
    return text(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _descriptor(config),
            "layers": [_descriptor(one) for one in (*base.layers, *layers)],
            "annotations": dict(image.annotations),
        }
    )


def index(manifest: Descriptor, *, ref_name: str | None) -> bytes:
    """Write the index of a layout that holds one image."""
    named = {"annotations": {REF_NAME: ref_name}} if ref_name else {}
    platform = {"architecture": ARCHITECTURE, "os": OS}
    return text(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [{**_descriptor(manifest), "platform": platform, **named}],
        }
    )


def layer(one: Layer, *, digest: str, size: int) -> Descriptor:
    """Refer to a layer of ours, and say what it holds."""
    said = {f"{OURS}.layer": str(one.kind)}
    return Descriptor(media_type=OCI_LAYER, digest=digest, size=size, annotations=said)


def configuration(*, digest: str, size: int) -> Descriptor:
    """Refer to a configuration."""
    return Descriptor(media_type=OCI_CONFIG, digest=digest, size=size)


def text(value: object) -> bytes:
    """Write JSON whose bytes follow from the value alone."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _run(image: Image, base: Mapping[str, Any]) -> dict[str, Any]:
    """Merge how a container starts; an absent Cmd leaves nothing of the base's to be passed on."""
    run = {key: value for key, value in base.items() if key not in {"Cmd", "Image", "Hostname"}}
    run |= {
        "Env": _env(base.get("Env") or [], image.env),
        "User": image.user,
        "Entrypoint": list(image.entrypoint),
        "ExposedPorts": {**(base.get("ExposedPorts") or {}), **{port: {} for port in image.ports}},
        "Healthcheck": {
            "Test": ["CMD", *image.health.command],
            "Interval": image.health.interval * SECOND,
            "Timeout": image.health.timeout * SECOND,
            "StartPeriod": image.health.start_period * SECOND,
            "Retries": image.health.retries,
        },
        "WorkingDir": image.working_dir,
        "StopSignal": image.stop_signal,
        "Labels": {**(base.get("Labels") or {}), **image.labels},
    }
    if image.command:
        run["Cmd"] = list(image.command)
    return run


def _env(base: Iterable[str], ours: Mapping[str, str]) -> list[str]:
    """Set our variables by name: in the place of the base's where it has them, else at the end."""
    merged = {one.partition("=")[0]: one for one in base}
    merged |= {name: f"{name}={value}" for name, value in ours.items()}
    return list(merged.values())


def _history(base: BaseImage) -> list[dict[str, Any]]:
    """Give the base's history, or one line a layer where its own does not fit its layers."""
    told: list[dict[str, Any]] = base.config.get("history") or []
    if sum(not one.get("empty_layer") for one in told) == len(base.layers):
        return told
    return [{"created_by": f"base: {one.digest}"} for one in base.layers]


def _descriptor(one: Descriptor) -> dict[str, Any]:
    said = {"annotations": dict(one.annotations)} if one.annotations else {}
    return {"mediaType": one.media_type, "digest": one.digest, "size": one.size, **said}
