"""Whether a browser sent a request on behalf of another site."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit


def is_cross_site(*, fetch_site: str, origin: str, host: str, trusted: Collection[str]) -> bool:
    """Tell from the headers `Sec-Fetch-Site`, `Origin` and `Host`, empty where absent; `trusted` lists whole origins.

    The algorithm is that of Go's `http.CrossOriginProtection`, without its exception for safe methods. Neither
    header present means no browser, or one older than 2020 on a plain link: nothing to protect from.
    """
    if fetch_site in ("same-origin", "none"):
        return False
    if not fetch_site:
        if not origin:
            return False
        # The scheme of our own side is not in Host; a browser too old to send Sec-Fetch-Site is let through without.
        if host and _host(origin) == host.lower():
            return False
    return origin not in trusted


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
