"""Who opens a WebSocket: answered before the handshake, so that nobody unknown ever has one open."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from importlib import import_module
from typing import Any, cast
from urllib.parse import unquote_plus

from channels.db import database_sync_to_async
from channels.routing import URLRouter
from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest
from django.http.cookie import parse_cookie
from django.urls import URLPattern, re_path
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, PermissionDenied

from config.addresses import counted
from config.authentication import CHALLENGE, TOKEN_COOKIE, live_token, presented_token
from config.edge import Application, Message, Receive, Scope, Send
from config.exception_handler import (
    OUR_FAULT,
    PROBLEM_JSON,
    problem,
    problem_json,
    problem_of,
    retry_after,
    tell,
)
from config.origins import is_cross_site
from config.throttles import count_handshake, refused_unknown
from transfers.errors import Problem

SUBPROTOCOL = "carryon"
TOKEN_SUBPROTOCOL = "token."  # noqa: S105 - a prefix
SOCKET = "websocket"
"""What logs call the view of a WebSocket."""
SOCKETS_PER_USER = 200
"""How many sockets one user may have open at once; each costs a channel and a query every few seconds."""


def websocket_authentication(inner: Application) -> Application:
    """Let `inner` see only handshakes of known users.

    Each counts as a request of the user's; one of nobody's, as of its address. `inner` finds the user in
    `scope["user"]`; in `scope["carryon_subprotocol"]` what to accept: "carryon" when the client offered it, else None;
    and in `scope["carryon_still_valid"]` what to await to learn whether the user may still listen. A token in the query
    or among the offered sub-protocols is gone from the scope.
    """
    opened: Counter[int] = Counter()

    async def authenticated(scope: Scope, receive: Receive, send: Send) -> None:
        offered = list(scope.get("subprotocols", ()))
        scope["carryon_subprotocol"] = SUBPROTOCOL if SUBPROTOCOL in offered else None
        scope["subprotocols"] = [name for name in offered if not name.startswith(TOKEN_SUBPROTOCOL)]
        offered_tokens = [
            name.removeprefix(TOKEN_SUBPROTOCOL) for name in offered if name.startswith(TOKEN_SUBPROTOCOL)
        ]
        query_token = take_query_token(scope)
        headers = {name.decode("latin-1").replace("_", "-"): text.decode("latin-1") for name, text in scope["headers"]}
        token = presented_token(headers) or query_token or next(iter(offered_tokens), None)
        try:
            look_up = _credentials(token, headers)
            user = await look_up()
            await asyncio.to_thread(count_handshake, user.pk)
        except Exception as error:  # noqa: BLE001 - told as the table of errors has it, here as in HTTP
            failure = await _or_too_often(error, scope)
            refusal = problem_of(failure)
            if refusal.status in OUR_FAULT:
                tell(failure, refusal, SOCKET)
            await deny(refusal, scope, receive, send, failure)
            return
        if opened[user.pk] >= SOCKETS_PER_USER:
            detail = f"You have {SOCKETS_PER_USER} sockets open already."
            await deny(problem(HTTPStatus.TOO_MANY_REQUESTS, detail, "too_many_sockets"), scope, receive, send)
            return
        scope["user"] = user
        scope["carryon_still_valid"] = _still_valid(user, look_up)
        opened[user.pk] += 1
        try:
            await _or_refused(inner, scope, receive, send)
        finally:
            opened[user.pk] -= 1
            if not opened[user.pk]:
                del opened[user.pk]

    return authenticated


def routed(patterns: Sequence[URLPattern]) -> Application:
    """Lead a handshake to the pattern that its path matches, and refuse it where none does."""
    everything_else = re_path("", cast("Any", _nothing_here))
    return cast("Application", URLRouter([*patterns, everything_else]))  # type: ignore[no-untyped-call]


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    await deny(problem_of(Http404()), scope, receive, send)


async def _or_refused(inner: Application, scope: Scope, receive: Receive, send: Send) -> None:
    """Let `inner` answer the handshake; where a part of ours is down, tell so."""
    answered = False

    async def noted(message: Message) -> None:
        nonlocal answered
        answered = True
        await send(message)

    try:
        await inner(scope, receive, noted)
    except Exception as failure:
        if answered:
            raise
        refusal = problem_of(failure)
        tell(failure, refusal, SOCKET)
        await _refuse(refusal, scope, send)


async def _or_too_often(failure: Exception, scope: Scope) -> Exception:
    """The failure, or that nobody has come from this address too often."""
    if problem_of(failure).status != HTTPStatus.UNAUTHORIZED:
        return failure
    address, _ = scope.get("client") or ("", 0)
    return await asyncio.to_thread(refused_unknown, counted(address)) or failure


async def deny(refusal: Problem, scope: Scope, receive: Receive, send: Send, failure: Exception | None = None) -> None:
    """Answer the handshake with the problem's status, or with a bare refusal where the server cannot say more."""
    await receive()  # the handshake's own event
    await _refuse(refusal, scope, send, failure)


async def _refuse(refusal: Problem, scope: Scope, send: Send, failure: Exception | None = None) -> None:
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 4000 + refusal.status})
        return
    headers = [(b"content-type", PROBLEM_JSON.encode())]
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", CHALLENGE.encode()))
    if refusal.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers.append((b"retry-after", retry_after(failure).encode()))
    await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": json.dumps(problem_json(refusal)).encode()})


def take_query_token(scope: Scope) -> str | None:
    """Cut every `token` out of the scope's query, in place: servers log it from there; return the first."""
    fields = scope["query_string"].split(b"&")
    tokens = [field for field in fields if field.partition(b"=")[0] == b"token"]
    scope["query_string"] = b"&".join(field for field in fields if field not in tokens)
    return next((unquote_plus(field.partition(b"=")[2].decode("latin-1")) for field in tokens), None)


def _credentials(token: str | None, headers: dict[str, str]) -> Callable[[], Awaitable[User]]:
    """What finds the user that the token, else a cookie stands for, now and later; an APIException when nobody."""
    cookies = {} if token else parse_cookie(headers.get("cookie", ""))
    session_key = cookies.get(settings.SESSION_COOKIE_NAME)
    token = token or cookies.get(TOKEN_COOKIE)
    if not token and not session_key:
        raise NotAuthenticated
    if cookies and is_cross_site(
        fetch_site=headers.get("sec-fetch-site", ""),
        origin=headers.get("origin", ""),
        host=headers.get("host", ""),
        trusted=settings.CSRF_TRUSTED_ORIGINS,
    ):
        raise PermissionDenied("A cookie is not taken from another site.")

    async def look_up() -> User:
        user: User = await database_sync_to_async(_stored_user)(token, session_key)
        return user

    return look_up


def _still_valid(user: User, look_up: Callable[[], Awaitable[User]]) -> Callable[[], Awaitable[bool]]:
    """What tells whether the credentials still stand for the user, with the same rights to listen."""

    async def still_valid() -> bool:
        try:
            now = await look_up()
        except AuthenticationFailed:
            return False
        return (now.pk, now.is_staff) == (user.pk, user.is_staff)

    return still_valid


def _stored_user(token: str | None, session_key: str | None) -> User:
    if token:
        return live_token(token).user
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = auth.get_user(request)
    if not isinstance(user, User) or not user.is_active:
        raise AuthenticationFailed("The session is over; log in again.")
    return user
