"""Who may read the numbers: whoever has METRICS_TOKEN; where there is none, programs on this machine."""

from __future__ import annotations

import hmac
import ipaddress

from django.conf import settings

from config.edge import Scope

_FORWARDED = (b"forwarded", b"via", b"x-real-ip")
"""And all that begins with `x-forwarded-`."""


def may_read(scope: Scope) -> bool:
    """Whether the request may see the numbers.

    Without a token the peer must be this machine, and must not speak for somebody else: a proxy beside us comes from
    here too. Private addresses are not enough, for in containers every client seems to have one.
    """
    if token := settings.ENVIRONMENT.metrics_token:
        shown = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(shown, b"Bearer " + token.encode())
    return _is_local(scope) and not any(_speaks_for_others(name.lower()) for name, _ in scope["headers"])


def _is_local(scope: Scope) -> bool:
    client = scope.get("client")
    try:
        address = ipaddress.ip_address(client[0]) if client else None
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return address is not None and address.is_loopback


def _speaks_for_others(name: bytes) -> bool:
    return name in _FORWARDED or name.startswith((b"x-forwarded-", b"x_forwarded_"))
