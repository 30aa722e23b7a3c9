"""What a registry is shown goes to that registry alone, and only as it asks for it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.retry import Attempts
from tests.stages.model import Ended
from tests.stages.pushing import Ready, made_on, seed
from tests.support.registry import Registry, registry
from tests.support.registry_faults import Act, Proxy, Seen, Tokens, proxy

pytestmark = pytest.mark.containers

Run = Callable[..., Ended]
PASSWORD = "canary-" + "pass word/1"
LOGIN = {"REGISTRY_USERNAME": "ada", "REGISTRY_PASSWORD": PASSWORD}
IDENTITY = "identity"  # the token that the tests' service exchanges


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less between tries."""
    monkeypatch.setattr(Attempts, "_pause", lambda *_: 0.01)


@pytest.fixture
def front(front: Proxy) -> Proxy:
    """Give the proxy before the registry, which wants a login."""
    front.tokens = Tokens(user=("ada", PASSWORD))
    return front


def shown_elsewhere(front: Proxy) -> list[Seen]:
    """List what crossed to the other origin with a credential."""
    return [one for one in front.seen if one.elsewhere and "authorization" in one.headers]


@pytest.mark.parametrize("mode", ["single", "chunked"])
def test_uploads_to_another_origin_carry_no_authorization(
    stages: Run, ready: Ready, front: Proxy, mode: str
) -> None:
    """The registry says where an upload goes on; its bytes go there, and its token does not."""
    front.uploads_elsewhere = True

    ended = stages(*ready.words(f"{front.host}/a/b:v1"), f"--uploads={mode}", environ=LOGIN)

    sent = [one for one in front.asked("PUT upload") if one.elsewhere]
    assert ended.code == 0, ended.err
    assert len(sent) == len(ready.digests)
    assert shown_elsewhere(front) == []


@pytest.mark.parametrize("kind", ["HEAD blob", "POST upload", "PUT upload", "PUT manifest"])
def test_redirects_to_another_origin_carry_no_authorization(
    stages: Run, ready: Ready, front: Proxy, kind: str
) -> None:
    """Whatever is redirected is asked for there, with nothing shown."""

    def choose(seen: Seen) -> Act | None:
        if seen.kind != kind or seen.elsewhere:
            return None
        return Act(status=307, headers={"Location": f"{front.elsewhere}{seen.target}"})

    front.act = choose

    ended = stages(*ready.words(f"{front.host}/a/b:v1"), environ=LOGIN)

    assert ended.code == 0, ended.err
    assert [one for one in front.asked(kind) if one.elsewhere]
    assert shown_elsewhere(front) == []


def test_storage_of_a_private_base_is_shown_nothing(
    stages: Run, front: Proxy, tmp_path: Path
) -> None:
    """Base and target have logins of their own, and neither leaves its registry."""
    with registry(tmp_path / "other") as other, proxy(other.host) as private:
        private.tokens = Tokens(user=("bob", "the base's word"))
        digest = seed(other, "vllm/base", tmp_path)

        def choose(seen: Seen) -> Act | None:
            if seen.kind != "GET blob" or seen.elsewhere:
                return None
            return Act(status=307, headers={"Location": f"{private.elsewhere}{seen.target}"})

        private.act = choose
        login = {"BASE_REGISTRY_USERNAME": "bob", "BASE_REGISTRY_PASSWORD": "the base's word"}
        place = f"{private.host}/vllm/base"
        made = made_on(stages, tmp_path / "made", place, digest, environ=login)

        ended = stages(*made.words(f"{front.host}/a/b:v1", base=place), environ=LOGIN | login)

    assert ended.code == 0, ended.err
    assert [one for one in private.seen if one.elsewhere]
    assert shown_elsewhere(private) == []
    assert {tuple(one["scope"]) for one in private.tokens.asked} == {("repository:vllm/base:pull",)}


def test_base_in_the_same_registry_needs_no_second_login(
    stages: Run, front: Proxy, shelf: Registry, tmp_path: Path
) -> None:
    """One registry, one login: a blob of the base is mounted with a token for both."""
    digest = seed(shelf, "vllm/base", tmp_path)
    place = f"{front.host}/vllm/base"
    login = {f"BASE_{name}": text for name, text in LOGIN.items()}
    made = made_on(stages, tmp_path / "made", place, digest, environ=login)

    ended = stages(*made.words(f"{front.host}/a/b:v1", base=place), environ=LOGIN)

    scopes = [tuple(one["scope"]) for one in front.tokens.asked] if front.tokens else []
    assert ended.code == 0, ended.err
    assert ("repository:a/b:pull,push", "repository:vllm/base:pull") in scopes
    assert "mounted from vllm/base" in ended.err


def docker_config(folder: Path, front: Proxy, config: dict[str, object]) -> dict[str, str]:
    """Write Docker's configuration, with HOST standing for the registry."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config).replace("HOST", front.host))
    return {"DOCKER_CONFIG": str(folder)}


def test_user_and_password_are_shown_to_a_registry_that_asks_for_them(
    stages: Run, ready: Ready, front: Proxy
) -> None:
    """Basic, with no token service."""
    front.tokens = Tokens(user=("ada", PASSWORD), basic=True)

    ended = stages(*ready.words(f"{front.host}/a/b:v1"), environ=LOGIN)

    assert ended.code == 0, ended.err


def test_token_service_without_get_is_asked_by_post(
    stages: Run, ready: Ready, front: Proxy
) -> None:
    """With the grant that OAuth has for a password."""
    front.tokens = Tokens(user=("ada", PASSWORD), post_only=True)

    ended = stages(*ready.words(f"{front.host}/a/b:v1"), environ=LOGIN)

    assert ended.code == 0, ended.err
    assert front.tokens.asked[0]["grant_type"] == ["password"]


def test_identity_token_is_exchanged(
    stages: Run, ready: Ready, front: Proxy, tmp_path: Path
) -> None:
    """Docker's configuration may hold one instead of a password."""
    config: dict[str, object] = {"auths": {"HOST": {"identitytoken": IDENTITY}}}

    ended = stages(
        *ready.words(f"{front.host}/a/b:v1"),
        environ=docker_config(tmp_path / "docker", front, config),
    )

    assert ended.code == 0, ended.err
    assert front.tokens
    assert front.tokens.asked[0]["grant_type"] == ["refresh_token"]


# The environment beside Docker's configuration, the service, and what the message says.
REFUSED: dict[str, tuple[dict[str, str], Tokens, str]] = {
    "nobody": ({}, Tokens(user=("ada", PASSWORD)), "gives anybody no token"),
    "wrong password": (
        {"REGISTRY_USERNAME": "ada", "REGISTRY_PASSWORD": "no" + PASSWORD},
        Tokens(user=("ada", PASSWORD)),
        "gives this user no token (status 401)",
    ),
    "service refuses": (LOGIN, Tokens(user=("ada", PASSWORD), refuses=403), "(status 403)"),
    "wrong password, no tokens": (
        {"REGISTRY_USERNAME": "ada", "REGISTRY_PASSWORD": "no" + PASSWORD},
        Tokens(user=("ada", PASSWORD), basic=True),
        "does not know this user and password",
    ),
    "nobody, no tokens": ({}, Tokens(user=("ada", PASSWORD), basic=True), "nobody unknown"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_login_that_opens_nothing_is_told_at_once(
    stages: Run, ready: Ready, front: Proxy, case: str
) -> None:
    """One message, no second try, and no password in it."""
    environ, tokens, message = REFUSED[case]
    front.tokens = tokens

    ended = stages(*ready.words(f"{front.host}/a/b:v1"), environ=environ)

    assert ended.code == 2
    assert message in ended.err
    assert f"{front.host}/a/b" in ended.err
    assert PASSWORD not in ended.err
    assert len(front.asked("HEAD blob")) <= 3 * 4
