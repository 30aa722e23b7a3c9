"""Whether an answer holds the range that was asked for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from stages.errors import AnswerError, IntegrityError, TransientError
from stages.lockfile import File

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
OK = 200


@dataclass(frozen=True)
class Span:
    """The bytes that an answer's body holds: `start` (included) to `end` (excluded).

    Attributes:
        whole: Whether the server ignored the range and sends the file from its start.
    """

    start: int
    end: int
    whole: bool


def span_of(status: int, headers: Mapping[str, str], start: int, end: int, file: File) -> Span:
    """Read which bytes a 200 or 206 brings, for a request of `start` to `end` (excluded).

    Raises:
        IntegrityError: The file has another size than the lock says.
        TransientError: It is another range than the one asked for.
        AnswerError: The body is encoded, or the header cannot be read.
        See https://www.rfc-editor.org/rfc/rfc9110#section-14
    """
    encoding = headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise AnswerError(f"{file.path}: the server encodes the file as {encoding!a}, unasked")
    if status == OK:
        length = headers.get("Content-Length")
        if length is not None and length != str(file.size):
            raise _other_size(file, length)
        return Span(0, file.size, whole=True)
    text = headers.get("Content-Range", "")
    found = _CONTENT_RANGE.fullmatch(text)
    if found is None:
        raise AnswerError(f"{file.path}: Content-Range {text[:80]!a} cannot be read")
    if found[3] not in {"*", str(file.size)}:
        raise _other_size(file, found[3])
    if (int(found[1]), int(found[2])) != (start, end - 1):
        raise TransientError(
            f"{file.path}: asked for bytes {start}-{end - 1}, the server sent {text[:80]!a}"
        )
    return Span(start, end, whole=False)


def _other_size(file: File, size: str) -> IntegrityError:
    return IntegrityError(
        f"{file.path}: the Hub's file has {size[:20]} bytes, the lock says {file.size}. "
        "Run `lock` again and review what changed"
    )
