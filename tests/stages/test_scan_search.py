"""A search by pieces finds what a search of the whole does, wherever the pieces end."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.scan.needles import needles
from stages.scan.search import Search
from stages.scan.shapes import assigns_secret, names_secret
from tests.stages.planting import LETTERS, SECRET, token

BY = Search(needles("CANARY", SECRET.encode()))
KEY = f"-----BEGIN RSA {'PRIVATE'} KEY-----\nProc-Type: 4\n\n{LETTERS}"
PLANTS = [
    *(one.text for one in needles("CANARY", SECRET.encode())),
    *(token(prefix, 60).encode() for prefix in ("hf_", "AIza", "ya29.", "github_pat_", "npm_")),
    KEY.encode(),
    b"AK" + b"IA" + b"ABCDEFGHIJKLMNOP",
    f"secretAccessKey: {LETTERS}".encode(),
]
FILLING = st.one_of(
    st.binary(max_size=60), st.sampled_from([b"a" * 3000, b" " * 2000, b"_-" * 900, b"x.", b"\\n"])
)


@given(
    parts=st.lists(st.one_of(FILLING, st.sampled_from(PLANTS)), max_size=8),
    cuts=st.lists(st.integers(0, 12_000), max_size=12),
)
def test_pieces_do_not_matter(parts: list[bytes], cuts: list[int]) -> None:
    """A leak across a border is found once, at the same offset."""
    whole = b"".join(parts)
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[a:b] for a, b in pairwise(places)]

    found, size = BY.in_pieces(pieces)

    assert found == BY.in_bytes(whole)
    assert size == len(whole)


@given(
    secret=st.binary(min_size=8, max_size=40),
    before=st.binary(max_size=5),
    after=st.binary(max_size=5),
    plant=st.sampled_from(PLANTS),
)
def test_every_form_is_found_anywhere(
    secret: bytes, before: bytes, after: bytes, plant: bytes
) -> None:
    """Any secret, a binary one too, in each of its forms."""
    for one in needles("x", secret):
        found = Search([one]).in_bytes(before + one.text + after)
        assert [hit.form for hit in found if hit.what == "the secret of x"], one.form
    assert BY.in_bytes(before + b" " + plant + after)


@pytest.mark.parametrize(
    "text",
    [
        "selfhf_" + LETTERS, "hf_hub_download_to_local_dir_and_keep", "AIza", "ghp_short",
        f"-----BEGIN {'PRIVATE'} KEY-----\n...\n-----END {'PRIVATE'} KEY-----\n{LETTERS}",
        "secret_access_key = os.environ['AWS_SECRET_ACCESS_KEY']", "ABCAK" + "IA" + LETTERS.upper(),
    ],
)  # fmt: skip
def test_what_only_looks_alike_passes(text: str) -> None:
    """Identifiers, documentation, and code that reads a variable."""
    assert Search().in_text(text) == []


def test_names_of_credentials_are_told_from_others() -> None:
    """A tokenizer is no token, and the path of a token is none."""
    bad = "HF_TOKEN MY_SECRET db.password API_KEY VLLM_API_KEY apikey HFTOKEN".split()
    good = "TOKENIZERS_PARALLELISM MAX_TOKENS HF_TOKEN_PATH KEYS PATH GPG_KEY SECRET_FILE".split()

    assert [name for name in good if names_secret(name)] == []
    assert [name for name in bad if not names_secret(name)] == []


@pytest.mark.parametrize(
    ("line", "leaks"),
    [
        ("|1 HF_TOKEN=abc /bin/sh -c get", True),
        ('ENV API_KEY="abc"', True),
        ("serve --api-key=abc", True),
        ("serve --api-key abc", True),
        ("serve --api-key $KEY --port 1", False),
        ("RUN --mount=type=secret,id=hf_token get", False),
        ("ARG HF_TOKEN", False),
        ('get --token "$HF_TOKEN"', False),
    ],
)
def test_commands_give_values_away(line: str, *, leaks: bool) -> None:
    """A literal value is a leak, a variable's name is not."""
    assert assigns_secret(line) is leaks


def test_secret_is_in_no_repr() -> None:
    """A needle that is logged by mistake shows nothing."""
    assert not re.search(re.escape(SECRET[5:12]), repr(needles("CANARY", SECRET.encode())))
