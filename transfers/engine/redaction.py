"""URLs as they may be shown and kept: without what opens doors."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus, urlsplit, urlunsplit

MASK = "***"
_SECRET_WORDS = ("token", "secret", "password", "passwd", "signature", "credential", "apikey", "api_key", "auth")
_SECRET_NAMES = ("sig", "pwd", "pass", "sas", "code", "session", "jwt")
_NAME = re.compile(r"[^;=]+(?==)")


def without_credentials(url: str) -> str:
    """The URL without user name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def redacted(url: str) -> str:
    """The URL without user name and password, and with the values of parameters that look like keys masked."""
    parts = urlsplit(without_credentials(url))
    return urlunsplit(parts._replace(query=_masked(parts.query), fragment=_masked(parts.fragment)))


def _masked(parameters: str) -> str:
    return "&".join(_masked_field(field) for field in parameters.split("&"))


def _masked_field(field: str) -> str:
    for name in _NAME.finditer(field):  # several, where semicolons separate too
        if _is_secret(unquote_plus(name[0])):
            return f"{field[: name.end()]}={MASK}"
    return field


def _is_secret(name: str) -> bool:
    name = name.lower().replace("-", "_")
    return name in _SECRET_NAMES or name.endswith("key") or any(word in name for word in _SECRET_WORDS)
