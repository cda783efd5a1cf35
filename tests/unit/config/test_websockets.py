"""Who is let in before a handshake, and what of the token is left behind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pytest
import redis.exceptions
from asgiref.sync import async_to_sync
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from knox.models import AuthToken
from pytest_django.fixtures import Settings

from config import websockets
from config.edge import Message, Receive, Scope, Send
from config.websockets import routed, take_query_token, websocket_authentication

# Committed for real: Channels closes connections that are inside a transaction.
pytestmark = pytest.mark.django_db(transaction=True)


class Handshake:
    """A handshake put to the middleware: who came through, or the answer it was denied with."""

    def __init__(
        self,
        headers: Mapping[str, str] | None = None,
        *,
        query: str = "",
        subprotocols: Sequence[str] = (),
        deniable: bool = True,
    ) -> None:
        self.passed: Scope | None = None
        self.sent: list[Message] = []
        named = {"host": "carryon.test:8008", **(headers or {})}
        self.scope: Scope = {
            "type": "websocket",
            "path": "/ws/events/",
            "query_string": query.encode("latin-1"),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in named.items()],
            "subprotocols": list(subprotocols),
            "extensions": {"websocket.http.response": {}} if deniable else {},
        }
        async_to_sync(websocket_authentication(self._inner))(self.scope, self._receive, self._send)

    async def _inner(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        self.passed = scope

    async def _receive(self) -> Message:
        return {"type": "websocket.connect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def still_valid(self) -> bool:
        assert self.passed
        return async_to_sync(self.passed["carryon_still_valid"])()  # type: ignore[no-any-return]

    @property
    def user(self) -> str | None:
        return self.passed["user"].username if self.passed else None

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def token(user: User) -> str:
    text: str = AuthToken.objects.create(user)[1]  # type: ignore[no-untyped-call]
    return text


@pytest.fixture
def session_cookie(user: User) -> str:
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return f"sessionid={session.session_key}"


def test_a_token_in_the_query_is_used_and_gone(token: str) -> None:
    handshake = Handshake(query=f"cid=a%20b&token={token}&fid=c")

    assert handshake.user == "ann"
    assert handshake.scope["query_string"] == b"cid=a%20b&fid=c"
    assert handshake.scope["carryon_subprotocol"] is None


def test_a_token_among_the_subprotocols_is_used_and_gone(token: str) -> None:
    handshake = Handshake(subprotocols=["carryon", f"token.{token}"])

    assert handshake.user == "ann"
    assert handshake.scope["subprotocols"] == ["carryon"]
    assert handshake.scope["carryon_subprotocol"] == "carryon"


@pytest.mark.parametrize("name", ["x-access-token", "token", "http_token"])
def test_a_token_in_a_header_is_used(name: str, token: str) -> None:
    assert Handshake({name: token}).user == "ann"


@pytest.mark.parametrize("scheme", ["Token", "Bearer"])
def test_a_token_in_the_authorization_is_used(scheme: str, token: str) -> None:
    assert Handshake({"authorization": f"{scheme} {token}"}).user == "ann"


def test_a_subprotocol_is_chosen_only_when_it_is_offered(token: str) -> None:
    handshake = Handshake({"token": token}, subprotocols=["chat"])

    assert handshake.scope["carryon_subprotocol"] is None
    assert handshake.scope["subprotocols"] == ["chat"]


@pytest.mark.parametrize("origin", [None, "http://carryon.test:8008", "https://trusted.example"])
def test_cookies_of_this_site_are_used(origin: str | None, token: str, session_cookie: str, settings: Settings) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://trusted.example"]
    headers = {"origin": origin} if origin else {}

    assert Handshake({"cookie": session_cookie, **headers}).user == "ann"
    assert Handshake({"cookie": f"X-Access-Token={token}", **headers}).user == "ann"


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}])
def test_cookies_of_another_site_are_refused(headers: dict[str, str], token: str, session_cookie: str) -> None:
    assert Handshake({"cookie": session_cookie, **headers}).status == 403
    assert Handshake({"cookie": f"X-Access-Token={token}", **headers}).status == 403
    assert Handshake({"cookie": session_cookie, **headers}, query=f"token={token}").user == "ann"


@pytest.mark.parametrize(
    "handshake",
    [
        {},
        {"query": "token=nonsense"},
        {"query": "token="},
        {"query": "token=" + quote("\xff\x00")},
        {"subprotocols": ["carryon", "token.nonsense"]},
        {"subprotocols": ["carryon"]},
        {"headers": {"cookie": "sessionid=nonsense"}},
        {"headers": {"cookie": r'sessionid="aaaaaaaaaaa\000"'}},
        {"headers": {"cookie": "other=1"}},
        {"headers": {"authorization": "Token nonsense"}},
        {"headers": {"authorization": "Token "}},
    ],
)
def test_nobody_is_denied_before_the_handshake(handshake: dict[str, Any]) -> None:
    denied = Handshake(**handshake)

    assert denied.passed is None
    assert denied.status == 401
    assert (b"www-authenticate", b'Bearer realm="carryon"') in denied.sent[0]["headers"]
    assert json.loads(denied.sent[1]["body"])["status"] == 401


def test_a_server_that_cannot_answer_closes() -> None:
    denied = Handshake(deniable=False)

    assert denied.sent == [{"type": "websocket.close", "code": 4401}]


def test_an_ended_session_and_one_of_a_user_no_longer_active_are_refused(user: User, session_cookie: str) -> None:
    user.is_active = False
    user.save()
    assert Handshake({"cookie": session_cookie}).status == 401

    user.is_active = True
    user.set_password("another")
    user.save()
    assert Handshake({"cookie": session_cookie}).status == 401


def test_a_token_is_valid_until_it_is_revoked(token: str) -> None:
    handshake = Handshake(query=f"token={token}")
    assert handshake.still_valid

    AuthToken.objects.all().delete()
    assert not handshake.still_valid


def test_a_session_is_valid_until_it_ends(session_cookie: str) -> None:
    handshake = Handshake({"cookie": session_cookie})
    assert handshake.still_valid

    SessionStore(session_cookie.removeprefix("sessionid=")).delete()
    assert not handshake.still_valid


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_staff": True}])
def test_a_user_with_other_rights_is_another(change: dict[str, bool], user: User, token: str) -> None:
    handshake = Handshake(query=f"token={token}")

    User.objects.filter(pk=user.pk).update(**change)

    assert not handshake.still_valid


def test_a_user_has_so_many_sockets_and_no_more(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websockets, "SOCKETS_PER_USER", 2)
    together: list[Scope] = []
    denied: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        denied.append(message)

    async def opening(scope: Scope, receive: Receive, send: Send) -> None:
        """Open another while this one is open."""
        together.append(scope)
        await application(dict(template), receive, send)

    application = websocket_authentication(opening)
    template = Handshake(deniable=False).scope | {"query_string": f"token={token}".encode()}
    for opened in (2, 4):  # the first ones are gone when the next ones come
        async_to_sync(application)(dict(template), receive, send)
        assert len(together) == opened
    assert denied == [{"type": "websocket.close", "code": 4429}] * 2


def test_a_part_of_ours_that_is_down_is_told_before_the_handshake(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreachable(*_: object) -> None:
        raise redis.exceptions.TimeoutError("too slow")

    monkeypatch.setattr(Handshake, "_inner", unreachable)
    assert Handshake(query=f"token={token}").sent[0]["status"] == 503


def test_a_bad_token_is_refused_though_a_good_cookie_comes_with_it(session_cookie: str) -> None:
    assert Handshake({"cookie": session_cookie}, query="token=nonsense").status == 401


@pytest.mark.parametrize(
    ("query", "token", "left"),
    [
        (b"", None, b""),
        (b"token=abc", "abc", b""),
        (b"a=1&token=a%2Bb+c&b=2", "a+b c", b"a=1&b=2"),
        (b"token=1&token=2", "1", b""),
        (b"token", "", b""),
        (b"mytoken=1&tokens=2", None, b"mytoken=1&tokens=2"),
    ],
)
def test_every_token_is_cut_out_of_the_query(query: bytes, token: str | None, left: bytes) -> None:
    scope: Scope = {"query_string": query}

    assert take_query_token(scope) == token
    assert scope["query_string"] == left


def test_a_path_that_leads_nowhere_is_404() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/ws/nothing", "extensions": {"websocket.http.response": {}}}
    async_to_sync(routed([]))(scope, receive, send)

    assert sent[0]["status"] == 404
