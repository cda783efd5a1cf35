"""What guards passwords, on both pages that take one: django-axes counts the wrong ones, in the database.

After too many, that user may not log in from that address for a while. From another address the same user still may:
nobody can be locked out by somebody elsewhere. How many an address may try, whoever it names, is a rate besides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from axes.backends import AxesStandaloneBackend
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from config.headers import CSP
from config.throttles import address_of, login_wait_seconds
from transfers.views.pages import CONTENT_SECURITY_POLICY

VIEWS = ("login", "admin:login")
"""The views that take passwords, by name: a path may be written in several ways."""

MAX_NAME_CHARACTERS = 255
"""As axes' column has."""


class LockoutBackend(AxesStandaloneBackend):
    """Refuses who is locked out; a program on the server itself, which has no request, never is."""

    def authenticate(self, request: HttpRequest | None, *args: Any, **kwargs: Any) -> None:
        """PermissionDenied for a locked-out user; otherwise the next backend is asked."""
        if request is not None:
            super().authenticate(request, *args, **kwargs)


class PacedLogin:
    """Lets an address have only so many passwords looked at: each costs a third of a second of a processor."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Nothing is known before the view is."""
        return self._get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponse | None:
        """Answer in the view's place when there were too many."""
        match = request.resolver_match
        if request.method != "POST" or match is None or match.view_name not in VIEWS:
            return None
        seconds = login_wait_seconds(request)
        return too_many(request, seconds) if seconds else None


def locked_out(request: HttpRequest, original: HttpResponse | None = None, credentials: Any = None) -> HttpResponse:  # noqa: ARG001 - axes'
    """The answer to a user who may not log in for a while, the same for one that does not exist."""
    return too_many(request, settings.ENVIRONMENT.login_lockout_minutes * 60)


def too_many(request: HttpRequest, seconds: float) -> HttpResponse:
    """Ask to come back later."""
    minutes = math.ceil(seconds / 60)
    page = render(request, "config/too_many.html", {"minutes": minutes}, status=429)
    page["Retry-After"] = str(math.ceil(seconds))
    page["Cache-Control"] = "no-store"
    page[CSP] = CONTENT_SECURITY_POLICY  # whichever view it stands in for
    return page


def client_address(request: HttpRequest) -> str | None:
    """What wrong passwords are counted under."""
    return address_of(request) or None


def client_name(request: HttpRequest, credentials: dict[str, Any] | None) -> str:
    """Who wrong passwords are counted for; names may be sent that are longer than the column."""
    name = credentials.get("username") if credentials else request.POST.get("username")
    return (name or "")[:MAX_NAME_CHARACTERS]


def client_words(username: str, ip_address: str, *_: Any) -> str:  # noqa: ARG001 - axes'
    """How logs call who tried: without the name, which may be a password typed into the wrong field."""
    return f"{ip_address}"
