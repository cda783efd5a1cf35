"""What a browser is told it may do with an answer: by default nothing, with pages what they need.

Only our own files are loaded, and no script that is written into a page is run. The admin's theme (Alpine) makes
functions of the expressions in its templates, so there alone scripts may do that, and styles may stand in the page.
Static files are not told: a worker's script goes by what its own answer says, and the pages are told enough.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

CSP = "Content-Security-Policy"
_OURS = "img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'"
_NOWHERE_ELSE = "object-src 'none'; frame-ancestors 'none'"
NOTHING = f"default-src 'none'; base-uri 'none'; form-action 'none'; {_NOWHERE_ELSE}"
ADMIN = (
    f"default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; {_OURS}; {_NOWHERE_ELSE}"
)
DOCS = f"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; {_OURS}; {_NOWHERE_ELSE}"
PERMISSIONS = ", ".join(
    f"{feature}=()"
    for feature in (
        *("accelerometer", "browsing-topics", "camera", "display-capture", "geolocation", "gyroscope", "hid"),
        *("magnetometer", "microphone", "midi", "payment", "publickey-credentials-get", "serial", "usb"),
    )
)


def policing(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Django's middleware that adds what the view has not said itself."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault(CSP, _policy(request))
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return response

    return middleware


def _policy(request: HttpRequest) -> str:
    match = request.resolver_match
    if match is None:
        return NOTHING
    if match.namespace == "admin":
        return ADMIN
    return DOCS if match.view_name == "docs" else NOTHING
