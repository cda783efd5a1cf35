"""What a URL alone decides: its scheme, and the words in which errors may speak of its host."""

from __future__ import annotations

import base64
import re
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from transfers.errors import AddressForbiddenError

# Characters at which readers of URLs disagree about where the host ends.
_READ_DIFFERENTLY = re.compile(r"[\s\\<>^|{}\"`]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

PORTS = {"http": 80, "https": 443}
"""The schemes that may be fetched, and the port each has when the URL names none."""


def place(host: str, port: int | None) -> str:
    """Host and port, which is all of a URL that an error's text may show."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def place_of(url: str) -> str:
    """Host and port of a URL; AddressForbiddenError as `check_url`."""
    parts = check_url(url)
    return place(parts.hostname or "", parts.port or PORTS[parts.scheme])


def check_url(url: str) -> SplitResult:
    """Take a URL apart; AddressForbiddenError for one that no request may be made for, wherever its host leads."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise AddressForbiddenError("this is not a URL") from None
    if _READ_DIFFERENTLY.search(parts.netloc) or _CONTROL.search(url):
        raise AddressForbiddenError("this is not a URL")
    if parts.scheme not in PORTS:
        raise AddressForbiddenError("only http and https URLs can be fetched")
    if not host or port == 0:
        raise AddressForbiddenError("the URL names no host and port to fetch from")
    if "%" in host:
        raise AddressForbiddenError("an address with a zone cannot be fetched")
    return parts


def split_credentials(url: str) -> tuple[str, str | None]:
    """The URL without user name and password, and the value for Authorization that says them; errors as `check_url`."""
    parts = check_url(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    user, _, password = userinfo.partition(":")
    secret = base64.b64encode(unquote_to_bytes(user) + b":" + unquote_to_bytes(password)).decode()
    return parts._replace(netloc=host).geturl(), f"Basic {secret}"


def may_keep_credentials(url: str, target: str) -> bool:
    """Whether credentials meant for `url` may follow a redirect to `target`; errors as `check_url`.

    They may within an origin, and from http to https of the same host where both have their usual port.
    """
    old, new = check_url(url), check_url(target)
    old_port, new_port = old.port or PORTS[old.scheme], new.port or PORTS[new.scheme]
    if old.hostname != new.hostname:
        return False
    if (old.scheme, old_port) == (new.scheme, new_port):
        return True
    return (old.scheme, old_port, new.scheme, new_port) == ("http", 80, "https", 443)
