"""What a refusing Hub means, and what the reader can do about it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import time

from stages.errors import (
    AccessError,
    AnswerError,
    NotFoundError,
    StagesError,
    TransientError,
)
from stages.secret import Secret

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
EXPIRED = frozenset({400, 401, 403, 404, 410})  # what storage says to a signature past its time
LONGEST_WORDS = 200  # characters of the Hub's own words that are shown
_LIMIT = re.compile(r";\s*r=0\s*;\s*t=(\d+)")


@dataclass(frozen=True)
class Asked:
    """What a request was about; `path` is empty when it was about the repository."""

    model: str
    revision: str
    page: str
    path: str = ""

    def __str__(self) -> str:
        """Name the file, or else the model."""
        return self.path or self.model


def error_for(
    status: int, headers: Mapping[str, str], asked: Asked, *, token: Secret | None, at_hub: bool
) -> StagesError:
    """Choose the error for an answer that is neither a success nor a redirect.

    Args:
        status: The answer's status.
        headers: Its headers, whose names ignore case.
        asked: What was asked.
        token: The token that was sent, to be masked.
        at_hub: Whether the Hub itself answered, and not the storage it refers to.
    """
    if status in PASSING:
        return TransientError(f"{asked}: status {status}", wait_s=wait(headers))
    if not at_hub and status in EXPIRED:
        return TransientError(f"{asked}: the storage behind the Hub refuses ({status})")
    words = _words(headers, token)
    if status in {401, 403}:
        return _access(headers, asked, token, words)
    if status == HTTPStatus.NOT_FOUND:
        return _not_found(headers, asked, words)
    return AnswerError(f"{asked}: unexpected status {status}{words}")


def wait(headers: Mapping[str, str]) -> float | None:
    """Read for how many seconds the server asks to be left alone; None when it does not say.

    See https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3 and, for the Hub's own header,
    https://www.ietf.org/archive/id/draft-ietf-httpapi-ratelimit-headers-09.html
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (ValueError, OverflowError):
        pass
    limit = _LIMIT.search(headers.get("RateLimit", ""))
    return float(limit[1]) if limit else None


def _access(
    headers: Mapping[str, str], asked: Asked, token: Secret | None, words: str
) -> StagesError:
    code = headers.get("X-Error-Code")
    if code == "GatedRepo" and token is None:
        return AccessError(
            f"{asked.model} is gated and no token was sent. Accept its licence at {asked.page}, "
            "then give a token of that account by HF_TOKEN or --token-file"
        )
    if code == "GatedRepo":
        return AccessError(
            f"{asked.model} is gated and this token has no access. Accept its licence at "
            f"{asked.page} with the token's account, and let a fine-grained token read gated "
            f"repositories{words}"
        )
    if token is None:
        return AccessError(
            f"{asked.model} is private or does not exist{words}. Check the name; "
            "for a private model give a token by HF_TOKEN or --token-file"
        )
    return AccessError(
        f"{asked.model}: the Hub refuses this token{words}. Check that it is whole, not "
        "expired, and may read this model"
    )


def _not_found(headers: Mapping[str, str], asked: Asked, words: str) -> StagesError:
    code = headers.get("X-Error-Code")
    if code == "RevisionNotFound":
        return NotFoundError(
            f"{asked.model} has no branch, tag or commit {asked.revision}: see {asked.page}"
        )
    if asked.path:
        return NotFoundError(
            f"{asked.model} has no file {asked.path} at {asked.revision}. The repository has "
            "changed: run `lock` again and review what changed"
        )
    return NotFoundError(f"there is no model {asked.model} on this Hub{words}: see {asked.page}")


def _words(headers: Mapping[str, str], token: Secret | None) -> str:
    """Quote the Hub's own explanation, with neither the token nor the query of an address."""
    text = headers.get("X-Error-Message", "")[:LONGEST_WORDS]
    if not text:
        return ""
    if token:
        text = token.hide_in(text)
    text = re.sub(r"\?\S*", "?...", "".join(sign for sign in text if sign.isprintable()))
    return f" (the Hub says: {text})"
