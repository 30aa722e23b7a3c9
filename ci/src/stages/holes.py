"""The holes that are known in releases of vLLM, and what closes them in our image. Decides only.

A hole that stays open is a reason to lock a newer base.
"""

import re
from dataclasses import dataclass

NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True, kw_only=True)
class Hole:
    """One hole.

    Attributes:
        fixed: The first release without it.
        closed: What closes it in our image; None when nothing does.
    """

    name: str
    what: str
    fixed: str
    closed: str | None

    def __str__(self) -> str:
        """Write it as one line."""
        how = f"closed by {self.closed}" if self.closed else f"open: fixed in vLLM {self.fixed}"
        return f"{self.name}, {self.what}: {how}"


# See https://www.cve.org/, by name.
HOLES = (
    Hole(
        name="CVE-2026-48746",
        what="a Host header takes a request past the key",
        fixed="0.22.0",
        closed="the guard, which judges the path",
    ),
    Hole(
        name="CVE-2026-34756",
        what="one request can ask for any number of sequences",
        fixed="0.19.0",
        closed="the guard's MAX_N",
    ),
    Hole(
        name="CVE-2026-22778, CVE-2026-22773 and CVE-2026-24779",
        what="images and video that a request brings to a multimodal model",
        fixed="0.14.1",
        closed=None,
    ),
    Hole(
        name="CVE-2025-66448",
        what="a model's configuration can run code from another repository",
        fixed="0.11.1",
        closed="the lock, which refuses auto_map",
    ),
    Hole(
        name="CVE-2025-62426",
        what="a request's chat_template_kwargs can hold up the server",
        fixed="0.11.1",
        closed=None,
    ),
    Hole(
        name="CVE-2025-61620",
        what="a request can bring a chat template that never ends",
        fixed="0.11.0",
        closed="the guard, which refuses templates",
    ),
    Hole(
        name="CVE-2025-48956",
        what="a huge header fills the memory",
        fixed="0.10.1.1",
        closed="the limit on a request's head",
    ),
)


def holes(version: str) -> list[Hole]:
    """List the holes of a release, those that stay open first."""
    found = [hole for hole in HOLES if _numbers(version) < _numbers(hole.fixed)]
    return sorted(found, key=lambda hole: hole.closed is not None)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, NUMBERS.findall(version)))
