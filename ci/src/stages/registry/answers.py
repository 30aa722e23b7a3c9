"""What a registry's answers say, read with no trust in them."""

import json
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urljoin, urlsplit

from stages.errors import AnswerError
from stages.origin import Origin
from stages.secret import Secret

LONGEST_WORDS = 200  # characters of a registry's own words that are shown
LARGEST_CHUNK = 64 * 2**20  # bytes; a registry that wants larger ones gets none
_CODE = re.compile(r"[A-Z_]{1,60}")
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})")


def code(content: bytes) -> str:
    """Give the first error code in an answer, such as DENIED; empty where there is none."""
    return _first(content)[0]


def words(content: bytes, secrets: Sequence[Secret] = ()) -> str:
    """Quote a registry's own explanation, with neither a secret nor the query of an address."""
    found, message = _first(content)
    for secret in secrets:
        message = secret.hide_in(message)
    message = "".join(sign for sign in message if sign.isprintable())[:LONGEST_WORDS]
    plain = re.sub(r"[?]\S*", "?...", message)
    text = f"{found} {plain}".strip()
    return f" (it says: {text})" if text else ""


def next_address(address: str, location: str, *, what: object) -> str:
    """Resolve where a registry sends us: to https, or to this machine.

    Raises:
        AnswerError: It is no such address; the message shows its origin alone.
    """
    try:
        target = urljoin(address, location)
        origin = Origin.of(target)
    except ValueError:
        raise AnswerError(f"{what}: redirected to what is no https address") from None
    if not location or not origin.keeps_secrets:
        raise AnswerError(f"{what}: redirected to {origin}, which is no https address")
    return target


def with_digest(address: str, digest: str) -> str:
    """Add to an upload's address what its bytes must be; the rest of it stays as it was given."""
    joint = "&" if urlsplit(address).query else "?"
    return f"{address}{joint}digest={digest.replace(':', '%3A')}"


def kept(headers: Mapping[str, str]) -> int | None:
    """Read how many bytes of an upload a registry holds; None where it does not say.

    A registry that holds nothing says `0-0`, as one would that holds a single byte.
    """
    found = _RANGE.fullmatch(headers.get("Range", "").strip())
    if found is None:
        return None
    last = int(found[1])
    return last + 1 if last else 0


def chunk_size(headers: Mapping[str, str], default: int) -> int | None:
    """Choose how many bytes a chunk has; None where the registry wants more than is held."""
    text = headers.get("OCI-Chunk-Min-Length", "").strip()
    least = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0  # noqa: PLR2004
    return None if least > LARGEST_CHUNK else max(default, least)


def _first(content: bytes) -> tuple[str, str]:
    """Read code and message of the first error. See the specification's "Error Codes"."""
    try:
        one = json.loads(content)["errors"][0]
        found, message = one.get("code"), one.get("message")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return "", ""
    sound = isinstance(found, str) and _CODE.fullmatch(found)
    return (str(found) if sound else "", message if isinstance(message, str) else "")
