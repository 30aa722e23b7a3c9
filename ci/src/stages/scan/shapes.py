"""What credentials look like when nobody says which ones to look for.

A pattern matches a bounded number of bytes and looks at nothing after them, so that a search by
pieces finds what a search of the whole does.
"""

import re
from dataclasses import dataclass

# Begins a word; n of `\n` and D of `%3D` end the one before.
_BEGIN = rb"(?:(?<![A-Za-z0-9])|(?<=\\[abfnrtv])|(?<=%[0-9A-Fa-f]{2}))"
SHORTEST_RUN = 32  # signs of [A-Za-z0-9_-] in a row, in every shape that is said to hold a run
LONGEST_MATCH = 1024  # bytes


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A kind of credential.

    Attributes:
        name: As a reader knows it.
        anchors: Literals, one of which is in every match. Looking for them is fast.
        pattern: What a match is.
        run: Whether every match holds a run, or ends in one.
    """

    name: str
    anchors: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    run: bool = True


def _shape(name: str, pattern: bytes, *anchors: bytes, run: bool = True) -> Shape:
    return Shape(name=name, anchors=anchors, pattern=re.compile(pattern), run=run)


SHAPES = (
    _shape("Hugging Face token", _BEGIN + rb"(?:hf|api_org)_[A-Za-z0-9]{30}", b"hf_", b"api_org_"),
    _shape("Google API key", _BEGIN + rb"AIza[A-Za-z0-9_-]{35}", b"AIza"),
    _shape("Google access token", _BEGIN + rb"ya29\.[A-Za-z0-9_-]{40}", b"ya29."),
    _shape(
        "GitHub token",
        _BEGIN + rb"(?:gh[oprsu]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40})",
        *(b"gho_", b"ghp_", b"ghr_", b"ghs_", b"ghu_", b"github_pat_"),
    ),
    _shape("npm token", _BEGIN + rb"npm_[A-Za-z0-9]{36}", b"npm_"),
    _shape("AWS key", _BEGIN + rb"A[KS]IA[A-Z2-7]{16}", b"AKIA", b"ASIA", run=False),
    _shape(
        "AWS secret key",
        rb"""(?i:secret_?access_?key)[\\"' \t]{0,8}[=:][\\"' \t]{0,8}[A-Za-z0-9/+]{40}""",
        *(b"secret_access_key", b"SECRET_ACCESS_KEY", b"ecretAccessKey"),
        run=False,
    ),
    _shape(
        "private key",
        rb"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        rb"(?:(?!-----END)[\s\S]){0,300}?[A-Za-z0-9+/]{40}",
        b"PRIVATE KEY",
        run=False,
    ),
)

# TOKENIZERS_PARALLELISM and MAX_TOKENS hold no token, and HF_TOKEN_PATH says where one lies.
_NAMES = re.compile(
    r"(?:TOKEN(?!IZ|S)|SECRET|PASSWORD|PASSWD|API[_.-]?KEY|ACCESS[_.-]?KEY)"
    r"(?!.*[_.-](?:PATH|FILE|DIR)$)",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    r"(?<![A-Za-z0-9_-])(?:--)?([A-Za-z][A-Za-z0-9_-]{0,99})[= ](?=[\"']?[^\s$\"'-])"
)


def names_secret(name: str) -> bool:
    """Whether a variable, label or option of this name would hold a credential."""
    return _NAMES.search(name) is not None


def assigns_secret(line: str) -> bool:
    """Whether a command line gives a value to such a name: NAME=value, --name value."""
    return any(
        names_secret(found[1]) and (found[0].endswith("=") or found[0].startswith("--"))
        for found in _ASSIGNED.finditer(line)
    )
