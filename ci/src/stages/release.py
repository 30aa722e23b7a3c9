"""What must hold before an image leaves the machine: its reports name this very image, and pass it.

The reports come from other runs and other machines, so nothing in them is trusted: a text of
theirs is shown in ASCII, cut, and the values of variables are not shown at all.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.errors import IntegrityError, UnprovenError, UsageError
from stages.scan.layout import Layout

VERSION = 1  # of both reports
LARGEST = 64 * 2**20  # bytes of a report
LONGEST = 100  # characters of a report's text that are shown
MOST = 5  # names that are listed
_SEARCHED = frozenset({"searched", "weights"})  # what a scan may say of a layer of ours


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What a passing smoke test showed, and what it says that it did not."""

    level: str
    not_shown: tuple[str, ...]


def read(path: Path, option: str, *, verb: str) -> Any:
    """Read a report.

    Args:
        path: Where it lies.
        option: The option that names it.
        verb: The verb that writes it.

    Raises:
        UsageError: There is none, or it is not JSON.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(
            f"{option}: {path} cannot be read: {error.strerror}. `{verb}` writes it with --out"
        ) from error
    try:
        # A report that is cut is no JSON any more.
        return json.loads(content[:LARGEST], object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise UsageError(f"{option}: {path} is not a report: `{verb}` writes one") from None


def check(image: Layout, *, smoke: Any, scan: Any) -> Proof:
    """Refuse an image that its reports do not name, or do not pass.

    Args:
        image: The image.
        smoke: What `smoke` reported, as JSON values.
        scan: What `scan` reported, as JSON values.

    Raises:
        UnprovenError: Lists every reason.
        IntegrityError: The image's configuration is not sound.
    """
    wrong = [
        *(f"the smoke test's report {one}" for one in _smoke_problems(image, smoke)),
        *(f"the scan's report {one}" for one in _scan_problems(image, scan)),
    ]
    if wrong:
        raise UnprovenError(
            f"{image.manifest} is not pushed: {'; '.join(wrong)}. Run `smoke` and `scan` on this "
            "very layout"
        )
    told = smoke.get("not_shown")
    return Proof(
        level=_shown(smoke.get("level")),
        not_shown=tuple(map(_shown, told)) if isinstance(told, list) else (),
    )


def arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """Say how an image starts, as a smoke test's report does: entrypoint, cmd, env by name.

    Raises:
        IntegrityError: The configuration does not say it in a way that an engine understands.
    """
    try:
        run = config.get("config") or {}
        return {
            "entrypoint": list(run.get("Entrypoint") or ()),
            "cmd": list(run.get("Cmd") or ()),
            "env": dict(one.split("=", 1) for one in run.get("Env") or ()),
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise IntegrityError(
            "the image's configuration does not say soundly how it starts: make the layout again"
        ) from error


def _smoke_problems(image: Layout, report: Any) -> Iterator[str]:
    if problem := _unsound(report, "verdict", ("passed", "failed")):
        yield problem
        return
    checks = report.get("checks")
    if not isinstance(checks, list) or not all(isinstance(one, dict) for one in checks):
        yield "has no sound list of checks"
        return
    failed = [_shown(one.get("name")) for one in checks if one.get("passed") is not True]
    if report["verdict"] != "passed" or failed or not checks:
        named = f": {_listed(failed)}" if failed else ""
        yield f"does not pass it{named}"
    about = report.get("image")
    if not isinstance(about, dict):
        yield "names no image"
        return
    layers = [one.diff_id for one in image.layers]
    if about.get("layers") != layers:
        yield f"is of other layers{_first_difference(about.get('layers'), layers)}"
    yield from _argument_problems(about.get("arguments"), arguments(image.texts[image.config]))


def _argument_problems(seen: Any, wanted: Mapping[str, Any]) -> Iterator[str]:
    """Name what differs in how the image starts; of variables the names alone."""
    if not isinstance(seen, dict):
        yield "names no arguments"
        return
    for name in ("entrypoint", "cmd"):
        if seen.get(name) != wanted[name]:
            yield f"is of another {name}: {_shown(seen.get(name))}, expected {wanted[name]}"
    env, ours = seen.get("env"), wanted["env"]
    if not isinstance(env, dict):
        yield "names no env"
        return
    names = sorted({*env, *ours})
    if other := [_shown(name) for name in names if env.get(name) != ours.get(name)]:
        yield f"is of another env: {_listed(other)}"


def _scan_problems(image: Layout, report: Any) -> Iterator[str]:
    if problem := _unsound(report, "verdict", ("clean", "leaks")):
        yield problem
        return
    if report.get("manifest") != image.manifest:
        yield f"is of another image: {_shown(report.get('manifest'))}"
    findings = report.get("findings")
    if not isinstance(findings, list):
        yield "has no sound list of findings"
    elif report["verdict"] != "clean" or findings:
        yield f"has {len(findings)} findings"
    layers = report.get("layers")
    if not isinstance(layers, list) or not all(isinstance(one, dict) for one in layers):
        yield "has no sound list of layers"
        return
    if [one.get("digest") for one in layers] != [one.digest for one in image.layers]:
        yield "is of other layers"
        return
    pairs = zip(layers, image.layers, strict=True)
    if left := [
        blob.digest for one, blob in pairs if blob.ours and one.get("state") not in _SEARCHED
    ]:
        yield f"passes over layers of ours: {_listed(left)}"


def _unsound(report: Any, key: str, known: tuple[str, ...]) -> str | None:
    """Say why a report cannot be read at all."""
    if not isinstance(report, dict):
        return "is not an object"
    version = report.get("version")
    if type(version) is not int or version != VERSION:
        return f"is of version {_shown(version)}, expected {VERSION}"
    if report.get(key) not in known:
        return f"has the {key} {_shown(report.get(key))}, expected {' or '.join(known)}"
    return None


def _first_difference(seen: Any, wanted: list[str]) -> str:
    """Say where two lists of layers part."""
    if not isinstance(seen, list):
        return ""
    if len(seen) != len(wanted):
        return f": it names {len(seen)}, the image has {len(wanted)}"
    number = next(n for n, pair in enumerate(zip(seen, wanted, strict=True)) if pair[0] != pair[1])
    return f": number {number + 1} is {_shown(seen[number])}, expected {wanted[number]}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that names a key twice, whose first value would not be looked at."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object names a key twice")
    return value
