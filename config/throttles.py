"""How much of the API one user, or one address that nobody has logged in from, may ask for.

A view says by `throttle_scope` what its requests count as: where it says nothing, as requests; `starts`: POST and PUT
as work that is begun; `bytes`: as nothing, for they carry pieces of files, which are limited by bandwidth, space and
quotas (where one turns out to be more work, its view says so then). Polls that find nothing new are answered before any
of this and count as nothing either. A handshake counts as a request.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from config.addresses import counted
from config.rates import Rate

BYTES, STARTS = "bytes", "starts"
STARTING = ("POST", "PUT")


class Throttle(BaseThrottle):
    """Counts a request for whoever makes it."""

    def __init__(self) -> None:
        self._wait_seconds = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        """Whether it may pass; counted when it does."""
        scope = getattr(view, "throttle_scope", "")
        if scope == BYTES:
            return True
        if not request.user or not request.user.is_authenticated:
            self._wait_seconds = _wait_seconds("anonymous", address_of(request))
        else:
            starts = scope == STARTS and request.method in STARTING
            self._wait_seconds = _wait_seconds("start" if starts else "requests", f"user:{request.user.pk}")
        return not self._wait_seconds

    def wait(self) -> float | None:
        """Seconds until one may pass."""
        return self._wait_seconds or None


def login_wait_seconds(request: HttpRequest) -> float:
    """Count a password that is about to be looked at; 0 when it may be, else how long its address has to wait."""
    return _wait_seconds("login", address_of(request))


def address_of(request: HttpRequest | Request) -> str:
    """What the client's requests are counted under while nobody knows whose they are."""
    return counted(request.META.get("REMOTE_ADDR", ""))


def refused_unknown(address: str) -> Throttled | None:
    """What to tell a client that is refused as nobody's, when that has happened too often from its `address_of`."""
    seconds = _wait_seconds("anonymous", address)
    return Throttled(wait=seconds) if seconds else None


def count_handshake(user_id: object) -> None:
    """Count a socket that a user opens, as a request; Throttled when it has to wait."""
    if seconds := _wait_seconds("requests", f"user:{user_id}"):
        raise Throttled(wait=seconds)


def _wait_seconds(name: str, who: str) -> float:
    rate = Rate.parse(getattr(settings.ENVIRONMENT, f"rate_limit_{name}"))
    return rate.wait_seconds(f"{name}:{who}") if rate else 0.0
