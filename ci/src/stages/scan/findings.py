"""What was found and where; never what it says."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from stages.scan.search import Hit, Search

HIDDEN = "(a name that holds a secret itself)"
UNREADABLE = "cannot be read"
KNOWN_FILE = "file that holds credentials"


@dataclass(frozen=True, order=True, kw_only=True)
class Finding:
    """One leak, or one thing that cannot be searched.

    Attributes:
        source: A blob's digest, `index.json`, or a log's name.
        path: The entry, its member, or the key in a JSON text; empty for the source itself.
        part: What of it: content, name, or header.
        offset: In bytes inside the part, unpacked; None where there is no such number.
        what: The kind of credential, or the variable or file that holds the exact one.
        form: How it is written: plain, base64, ...
    """

    source: str
    path: str
    part: str
    offset: int | None
    what: str
    form: str

    def __str__(self) -> str:
        """Say it in a line."""
        at = "" if self.offset is None else f" at byte {self.offset}"
        where = f"{self.source} {self.path}".rstrip()
        form = "" if self.form == "plain" else f" ({self.form})"
        return f"{where}: {self.part}{at}: {self.what}{form}"


def shown(name: str, search: Search) -> str:
    """Give a name that may be hostile, or secret, as it can be shown."""
    return HIDDEN if search.in_text(name) else ascii(name)[1:-1]


def finding(source: str, path: str, part: str, what: str) -> Finding:
    """Make a finding that is about a whole part."""
    return Finding(source=source, path=path, part=part, offset=None, what=what, form="plain")


def findings(source: str, path: str, part: str, hits: Iterable[Hit]) -> list[Finding]:
    """Make findings of hits inside one part."""
    return [Finding(source=source, path=path, part=part, **asdict(hit)) for hit in hits]
