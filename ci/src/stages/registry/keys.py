"""What a registry is shown: nothing, user and password, or tokens, fetched anew when they end."""

import json
import threading
from dataclasses import dataclass, field

import httpx

from stages.credentials import Login
from stages.errors import AccessError, TransientError
from stages.hub import translated
from stages.origin import Origin
from stages.refusal import PASSING, wait
from stages.registry import answers, body, challenge
from stages.secret import Secret

CLIENT = "prewarm"
LARGEST = 2**20  # bytes of a token service's answer
_WITHOUT_GET = frozenset({404, 405})

Scopes = tuple[str, ...]  # such as repository:NAME:pull


@dataclass
class Keys:
    """The authorizations of a program, by registry and by what they allow."""

    client: httpx.Client = field(repr=False)
    login: Login | None = None
    _held: dict[tuple[str, Scopes], Secret] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def held(self, host: str, scopes: Scopes) -> Secret | None:
        """Give what opened the registry before; None if nothing was needed yet."""
        return self._held.get((host, scopes))

    def renew(
        self,
        what: object,
        host: str,
        scopes: Scopes,
        *,
        refused: Secret | None,
        response: httpx.Response,
    ) -> Secret:
        """Get what opens the registry, after it has refused what it was shown.

        Args:
            what: What is asked for, for messages.
            host: The registry as a reference names it.
            scopes: What shall be allowed.
            refused: What it was shown; None for nothing.
            response: Its refusal, which says where tokens are given.

        Raises:
            AccessError: It gives nothing to us.
            TransientError: The token service fails in passing.
        """
        with self._lock:
            held = self._held.get((host, scopes))
            if held is not None and held is not refused:
                return held  # another thread has got it meanwhile
            login = self.login if self.login and self.login.host == host else None
            asked = challenge.parse(response.headers.get_list("WWW-Authenticate"))
            try:
                got = self._get(scopes, refused, asked, login)
            except AccessError as error:
                raise AccessError(f"{what}: {error}") from None
            self._held[host, scopes] = got
            return got

    def _get(
        self,
        scopes: Scopes,
        refused: Secret | None,
        asked: challenge.Challenge | None,
        login: Login | None,
    ) -> Secret:
        if asked is None or (asked.scheme == challenge.BASIC and (login is None or login.identity)):
            raise AccessError(_unknown(login))
        if asked.scheme == challenge.BASIC and login:
            if refused is not None:
                raise AccessError("the registry does not know this user and password")
            return login.basic
        return self._token(scopes, asked, login)

    def _token(self, scopes: Scopes, asked: challenge.Challenge, login: Login | None) -> Secret:
        """Ask the token service that the registry names."""
        try:
            origin = Origin.of(asked.realm)
            address = httpx.URL(asked.realm)
        except (ValueError, httpx.InvalidURL):
            origin = None
        if origin is None or not origin.keeps_secrets:
            raise AccessError(_unknown(login))
        if login and login.identity:
            answer = self._post(address, origin, scopes, asked, login)
        else:
            answer = self._ask(address, origin, scopes, asked, login)
            if login and answer.status_code in _WITHOUT_GET:
                answer = self._post(address, origin, scopes, asked, login)
        return _read(answer, login)

    def _ask(
        self,
        address: httpx.URL,
        origin: Origin,
        scopes: Scopes,
        asked: challenge.Challenge,
        login: Login | None,
    ) -> httpx.Response:
        """Ask by GET. See https://distribution.github.io/distribution/spec/auth/token/."""
        full = address.copy_merge_params({"service": asked.service, "scope": list(scopes)})
        headers = {"Authorization": login.basic.reveal()} if login else {}
        return self._send(self.client.build_request("GET", full, headers=headers), origin, login)

    def _post(
        self,
        address: httpx.URL,
        origin: Origin,
        scopes: Scopes,
        asked: challenge.Challenge,
        login: Login,
    ) -> httpx.Response:
        """Ask by POST. See https://distribution.github.io/distribution/spec/auth/oauth/."""
        form = {"service": asked.service, "client_id": CLIENT, "scope": " ".join(scopes)}
        if login.identity:
            form |= {"grant_type": "refresh_token", "refresh_token": login.password.reveal()}
        else:
            form |= {"grant_type": "password", "username": login.username}
            form["password"] = login.password.reveal()
        return self._send(self.client.build_request("POST", address, data=form), origin, login)

    def _send(self, request: httpx.Request, origin: Origin, login: Login | None) -> httpx.Response:
        """Send one request, which follows no redirect."""
        with translated(origin, login.password if login else None):
            response = self.client.send(request, stream=True)
            try:
                content = body.read(response, most=LARGEST, what=origin)
            finally:
                response.close()
        if response.status_code in PASSING:
            raise TransientError(
                f"{origin}: the token service answers with status {response.status_code}",
                wait_s=wait(response.headers),
            )
        return httpx.Response(response.status_code, content=content)


def _read(answer: httpx.Response, login: Login | None) -> Secret:
    try:
        value = json.loads(answer.content)
        token = value.get("token") or value["access_token"]
        sound = isinstance(token, str) and token.isascii() and token.isprintable()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        token, sound = "", False
    if answer.status_code == httpx.codes.OK and token and sound:
        return Secret(f"Bearer {token}")
    if login is None:
        raise AccessError("the registry gives anybody no token")
    told = answers.words(answer.content, [login.password])
    raise AccessError(
        f"the registry gives this user no token (status {answer.status_code}){told}. "
        "Check user and password"
    )


def _unknown(login: Login | None) -> str:
    if login is None:
        return "the registry shows it to nobody unknown"
    return "the registry asks for a login in a way that is not known or not safe"
