"""Takes out of every line of the log what is nobody's to read: keys, passwords, signed addresses, patients.

What is known to be secret (the configured keys) is masked wherever it stands. The rest is found by its form. Paths
below the service's folders are cut off there, for they are made of names that clients chose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog

from transfers.engine.redaction import MASK

MOST_CHARACTERS = 16_384
"""A line's value is cut there: what a library puts into an error has no limit."""
LEAST_SECRET = 6
"""Shorter passwords are masked by their form alone; as words they would be everywhere."""
_KEY = re.compile(
    r"password|passwd|secret|token|api[_-]?key|access[_-]?key|signature|credential|authorization|cookie"
    r"|(?:^|-)(?:pid$|project_?name$|s3_?key_?path$|patient)",
    re.IGNORECASE,
)
"""What is found in a name whose value is masked."""
_OWN_KEYS = frozenset(("pid",))
"""Names that stand for something of ours where the value is a number."""

# Clients can bring any text into an error: each pattern must take time in proportion to it, and no more.
_RUN = re.compile(r"[^\s'\"<>]{4,}")
_USER = re.compile(r"(?<=://)[^/]*@")
_QUERY = re.compile(r"[?#]")
_NAMED = re.compile(r"""(["']?)(?<![\w-])([\w-]{1,64})\1\s{0,3}[=:]\s{0,3}""")
_VALUE = re.compile(r"""b?"(?:[^"\\\n]|\\.)*"|b?'(?:[^'\\\n]|\\.)*'|b?["'][^\n]*|[^\s,;&"'})\]]+""")
"""In quotes, of bytes too; to the end of the line, where they are not closed; or a word."""
_CREDENTIALS = re.compile(r"\b(bearer|token|basic|negotiate)\s{1,3}[A-Za-z0-9+/=._~-]{8,}", re.IGNORECASE)
_HEXADECIMAL = re.compile(r"\b[0-9a-f]{64}\b", re.IGNORECASE)
"""Our own tokens, and whatever else has 64 digits."""
_ROW = re.compile(r"^(DETAIL|CONTEXT):[^\n]*|\b(Key) \([^()\n]{0,512}\)=\([^\n]*", re.MULTILINE)
"""A row, or its key, as PostgreSQL quotes it."""


class Redaction:
    """A processor of structlog that masks in every value of an event, however deep."""

    def __init__(self, *, secrets: Iterable[str] = (), roots: Iterable[Path] = ()) -> None:
        """Mask `secrets` wherever they stand, and what lies below `roots`."""
        self._secrets = sorted({text for text in secrets if len(text) >= LEAST_SECRET}, key=len, reverse=True)
        self._roots = [f"{path}/" for path in sorted(set(map(str, roots)), key=len, reverse=True)]
        self._below = _below(self._roots)

    def __call__(self, _logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """The event without what is nobody's to read."""
        return {name: self._value(str(name), value) for name, value in event.items()}

    def text(self, text: str) -> str:
        """The text without what is nobody's to read."""
        text = text[:MOST_CHARACTERS]
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        if any(root in text for root in self._roots):
            text = self._below.sub(rf"\g<root>{MASK}", text)
        if "://" in text or "?" in text:
            text = _RUN.sub(_address, text)
        text = _HEXADECIMAL.sub(MASK, _CREDENTIALS.sub(rf"\1 {MASK}", text))
        if "(" in text or ":" in text:
            text = _ROW.sub(lambda row: f"{row[1] or row[2]}: {MASK}", text)
        return _without_named(text) if "=" in text or ":" in text else text

    def _value(self, name: str, value: Any) -> Any:
        if value is None or isinstance(value, bool | float):
            return value
        if _KEY.search(name) and not (name in _OWN_KEYS and isinstance(value, int)):
            return MASK
        if isinstance(value, int):
            return value
        if isinstance(value, Mapping):
            return {key: self._value(str(key), inner) for key, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value("", inner) for inner in value]
        return self.text(value if isinstance(value, str) else str(value))


def secrets_in(*urls: str) -> list[str]:
    """The passwords in these addresses, as they stand there and as they are meant."""
    found = [urlsplit(url).password for url in urls if url]
    return [form for password in found if password for form in (password, unquote(password))]


def _below(roots: list[str]) -> re.Pattern[str]:
    """What lies below one of the places: to its closing quote, or, where it is not quoted, to the end of its line."""
    places = "|".join(map(re.escape, roots)) or "(?!)"
    return re.compile(rf"""(?:(?<=')(?P<a>)|(?<=")(?P<b>)|)(?P<root>{places})(?(a)[^'\n]*|(?(b)[^"\n]*|[^\n]*))""")


def _address(run: re.Match[str]) -> str:
    """An address without user, password, query and fragment; what is none stays."""
    text = run[0]
    if "://" in text and "@" in text:
        text = _USER.sub(f"{MASK}@", text)
    mark = _QUERY.search(text)
    if mark is None:
        return text
    head, tail = text[: mark.start()], text[mark.end() :]
    is_query = bool(tail) and ("://" in head or ("/" in head and "=" in tail))
    return f"{head}?{MASK}" if is_query else text


def _without_named(text: str) -> str:
    """The text with MASK for the value behind each name that means a secret: `name=value`, `"name": "value"`."""
    kept, at = [], 0
    while named := _NAMED.search(text, at):
        end = named.end()
        if _KEY.search(named[2]) and (value := _VALUE.match(text, end)):
            kept += [text[at:end], MASK]
            at = value.end()
        else:
            kept.append(text[at:end])
            at = end
    return "".join((*kept, text[at:]))
