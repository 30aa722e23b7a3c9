"""Reading an answer's body, as much of it as is wanted."""

import httpx

from stages.errors import AnswerError


def read(response: httpx.Response, *, most: int, what: object) -> bytes:
    """Read a body; a longer one is cut after `most` bytes and one more.

    Raises:
        AnswerError: Its encoding is not sound.
    """
    content = bytearray()
    try:
        for piece in response.iter_bytes():
            content += piece
            if len(content) > most:
                break
    except httpx.DecodingError:
        raise AnswerError(f"{what}: the answer's encoding is not sound") from None
    return bytes(content[: most + 1])
