"""The forms that an exact secret takes on its way into an image."""

import base64
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote_from_bytes

SHORTEST_SECRET = 8  # bytes; anything shorter is in every image by chance
LONGEST_SECRET = 16 * 1024  # bytes


@dataclass(frozen=True, kw_only=True)
class Needle:
    """One form of one secret.

    Attributes:
        secret: Who holds the secret: a variable's or a file's name.
        form: What was done to it, as `base64` or `hex`.
        text: What to look for.
    """

    secret: str
    form: str
    text: bytes = field(repr=False)


def needles(secret: str, value: bytes) -> list[Needle]:
    """List every form of a secret once, the plainest first."""
    seen: dict[bytes, str] = {}
    for form, text in _forms(value):
        if len(text) >= SHORTEST_SECRET:
            seen.setdefault(text, form)
    return [Needle(secret=secret, form=form, text=text) for text, form in seen.items()]


def _forms(value: bytes) -> Iterator[tuple[str, bytes]]:
    yield "plain", value
    yield "reversed", value[::-1]
    encoded = quote_from_bytes(value, safe="").encode()
    yield "URL-encoded", encoded
    yield "URL-encoded", quote_from_bytes(value, safe="/").encode()
    yield "URL-encoded", _lower_percent(encoded)
    yield "URL-encoded", encoded.replace(b"%20", b"+")
    text = value.decode(errors="surrogateescape")
    if value.isascii() or value == text.encode(errors="replace"):
        for ascii_only in (True, False):
            escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode()
            yield "JSON-escaped", escaped
            yield "JSON-escaped", escaped.replace(b"/", rb"\/")
            # What Go's encoder writes for the three signs that HTML gives a meaning.
            yield "JSON-escaped", _go(escaped)
        yield "shell-quoted", shlex.quote(text).strip("'").encode()
    yield "hex", value.hex().encode()
    yield "hex", value.hex().upper().encode()
    for offset in range(3):
        yield "base64", (core := _base64(value, offset))
        yield "base64", core.translate(bytes.maketrans(b"+/", b"-_"))


def _base64(value: bytes, offset: int) -> bytes:
    """Encode as when `offset` bytes stand before, leaving out signs that hold other bytes' bits."""
    encoded = base64.b64encode(bytes(offset) + value)
    return encoded[-(-offset * 8 // 6) : (offset + len(value)) * 8 // 6]


def _lower_percent(encoded: bytes) -> bytes:
    """Write the digits of each %XX in lower case."""
    first, *rest = encoded.split(b"%")
    return b"%".join([first, *(part[:2].lower() + part[2:] for part in rest)])


def _go(escaped: bytes) -> bytes:
    for sign in b"<>&":
        escaped = escaped.replace(bytes([sign]), rb"\u00%02x" % sign)
    return escaped
