"""Who is asked decides who sees a credential."""

import pytest

from stages.origin import Origin


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://hub.example/a", "https://HUB.example:443/b?c"),
        ("http://[::1]:80/", "http://[::1]/x"),
    ],
)
def test_same_origin(one: str, other: str) -> None:
    """Scheme, host without case, and port with its default make an origin."""
    assert Origin.of(one) == Origin.of(other)


@pytest.mark.parametrize(
    "other", ["http://hub.example", "https://hub.example:444", "https://cdn.hub.example"]
)
def test_other_origin(other: str) -> None:
    """Another scheme, port or subdomain is another origin."""
    assert Origin.of("https://hub.example") != Origin.of(other)


@pytest.mark.parametrize(
    ("address", "keeps"),
    [
        ("https://hub.example", True),
        ("http://127.0.0.1:80", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:1", True),
        ("http://localhost", True),
        ("http://a.localhost", True),
        ("http://hub.example", False),
        ("http://10.0.0.1", False),
        ("http://localhost.example", False),
        ("http://127.0.0.1.example", False),
    ],
)
def test_secrets_travel_by_https_or_not_at_all(address: str, keeps: bool) -> None:  # noqa: FBT001
    """Plain http carries a credential only within this machine."""
    assert Origin.of(address).keeps_secrets is keeps


@pytest.mark.parametrize(
    "address", ["", "hub.example", "ftp://a", "https://", "https://u:p@a", "https://a:x"]
)
def test_other_address_has_no_origin(address: str) -> None:
    """What is not plain http or https has no origin, and the error does not repeat it."""
    with pytest.raises(ValueError, match=r"address|[Pp]ort") as caught:
        Origin.of(address)

    assert not address or "u:p" not in str(caught.value)


@pytest.mark.parametrize("text", ["https://a", "http://127.0.0.1:8000", "http://[::1]:8000"])
def test_origin_is_written_as_read(text: str) -> None:
    """An origin is shown as a user would write it."""
    assert str(Origin.of(f"{text}/path")) == text
