"""Who makes an HTTP request: a token in any of the headers that clients send it in, its cookie, or a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.crypto import hash_token
from knox.models import AuthToken
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from config.origins import is_cross_site

CHALLENGE = 'Bearer realm="carryon"'
"""What a 401 asks for (RFC 6750)."""
TOKEN_COOKIE = "X-Access-Token"  # noqa: S105 - a name
TOKEN_SCHEMES = ("token", "bearer")
TOKEN_HEADERS = ("x-access-token", "token", "http-token")
"""Headers that hold a bare token. The last is sent as `HTTP_TOKEN`; every server layer reads `_` as `-`."""


def presented_token(headers: Mapping[str, str]) -> str | None:
    """The first token in the headers, whose names are given in lower case with `-`; None when there is none."""
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() in TOKEN_SCHEMES:
        return token.strip()
    return next((headers[name].strip() for name in TOKEN_HEADERS if headers.get(name, "").strip()), None)


def live_token(token: str) -> AuthToken:
    """Find the stored token with its user, in one query; AuthenticationFailed when it opens nothing (any more)."""
    try:
        # By its digest alone: with the other conditions, Django took 360 us and not 225, to write them as SQL.
        found: AuthToken = AuthToken.objects.select_related("user").get(digest=hash_token(token))
    except AuthToken.DoesNotExist:
        raise _refusal() from None
    if not found.user.is_active or (found.expiry is not None and found.expiry <= timezone.now()):
        raise _refusal()
    return found


def _refusal() -> AuthenticationFailed:
    return AuthenticationFailed("The token is not valid: unknown, expired or revoked.")


class TokenAuthentication(BaseAuthentication):
    """A token in a header; one that opens nothing is refused, whatever else the request carries."""

    def authenticate(self, request: Request) -> tuple[User, AuthToken] | None:
        """Return the token's user and the token; None when no header holds one."""
        token = presented_token({name.lower(): value for name, value in request.headers.items()})
        if token is None:
            return None
        found = live_token(token)
        return found.user, found

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - the same for all
        """What `WWW-Authenticate` says; that there is an answer makes the refusal a 401."""
        return CHALLENGE


class TokenCookieAuthentication(BaseAuthentication):
    """A token in a cookie, which a browser sends along by itself: so never for another site, whatever the method."""

    def authenticate(self, request: Request) -> tuple[User, AuthToken] | None:
        """Return the token's user and the token; None without the cookie, PermissionDenied for another site."""
        token = request.COOKIES.get(TOKEN_COOKIE)
        if not token:
            return None
        if is_cross_site(
            fetch_site=request.headers.get("Sec-Fetch-Site", ""),
            origin=request.headers.get("Origin", ""),
            host=request.get_host(),
            trusted=settings.CSRF_TRUSTED_ORIGINS,
        ):
            raise PermissionDenied("The token cookie is not taken from another site.")
        found = live_token(token)
        return found.user, found


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the API description names the headers."""

    target_class = TokenAuthentication
    name = ["bearer", "accessTokenHeader", "tokenHeader", "httpTokenHeader"]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:  # noqa: ARG002
        """Any one of them is enough."""
        return [{name: []} for name in self.name]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:  # noqa: ARG002
        """Describe each, in the order of the names."""
        headers = ("X-Access-Token", "Token", "HTTP_TOKEN")
        bearer = {"type": "http", "scheme": "bearer", "description": "`Token` is taken in place of `Bearer`."}
        return [bearer, *({"type": "apiKey", "in": "header", "name": name} for name in headers)]


class TokenCookieScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the API description names the cookie."""

    target_class = TokenCookieAuthentication
    name = "accessTokenCookie"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:  # noqa: ARG002
        """Describe it."""
        return {"type": "apiKey", "in": "cookie", "name": TOKEN_COOKIE, "description": "From the same site only."}
