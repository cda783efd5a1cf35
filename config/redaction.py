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

MOST_CHARACTERS = 32_768
"""A line's value is cut there: what a library puts into an error has no limit."""
LEAST_SECRET = 6
"""Shorter passwords are masked by their form alone; as words they would be everywhere."""
_SECRET_KEYS = (  # names of them
    r"\w*(?:password|passwd|secret|token|api_?key|access_?key(?:_id)?|signature|credential|authorization|cookie)\w*"  # noqa: S105
)
_PATIENT_KEYS = r"(?:pid|project_?name|s3_?key_?path|patient\w*)"
_KEY = re.compile(rf"(?:{_SECRET_KEYS}|{_PATIENT_KEYS})", re.IGNORECASE)
_OWN_KEYS = frozenset(("pid",))
_VALUE = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;&"'})\]]+)"""
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # user:password@ in an address
    (re.compile(r"(?<=://)[^/\s@'\"]*@"), f"{MASK}@"),
    # the query and the fragment of an address, signed or not
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?#'\"<>]*)[?#][^\s'\"<>]*", re.IGNORECASE), rf"\1?{MASK}"),
    (re.compile(r"(/[^\s?'\"<>]*)\?[^\s'\"<>=]+=[^\s'\"<>]*"), rf"\1?{MASK}"),
    # what an HTTP header says who one is by
    (re.compile(r"\b(bearer|token|basic|negotiate)\s+[A-Za-z0-9+/=._~-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    # our own tokens, and every other secret of 64 hexadecimal digits
    (re.compile(r"\b[0-9a-f]{64}\b", re.IGNORECASE), MASK),
    # a row, or its key, as PostgreSQL quotes it
    (re.compile(r"^(DETAIL|CONTEXT):.*$", re.MULTILINE), rf"\1: {MASK}"),
    (re.compile(r"\bKey \([^)]*\)=\(.*?\)(?= |$)", re.MULTILINE), f"Key {MASK}"),
    # name=value, "name": "value"
    (re.compile(rf"""(?<![A-Za-z0-9_])(["']?)({_SECRET_KEYS}|{_PATIENT_KEYS})\1(\s*[=:]\s*){_VALUE}""", re.IGNORECASE),
     rf"\1\2\1\3{MASK}"),
)  # fmt: skip


class Redaction:
    """A processor of structlog that masks in every value of an event, however deep."""

    def __init__(self, *, secrets: Iterable[str] = (), roots: Iterable[Path] = ()) -> None:
        """Mask `secrets` wherever they stand, and what lies below `roots`."""
        known = sorted({text for text in secrets if len(text) >= LEAST_SECRET}, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, known))) if known else None
        places = sorted({str(path) for path in roots}, key=len, reverse=True)
        self._roots = _below(places) if places else None

    def __call__(self, _logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """The event without what is nobody's to read."""
        return {name: self._value(str(name), value) for name, value in event.items()}

    def text(self, text: str) -> str:
        """The text without what is nobody's to read."""
        text = text[:MOST_CHARACTERS]
        if self._secrets is not None:
            text = self._secrets.sub(MASK, text)
        if self._roots is not None:
            text = self._roots.sub(rf"\g<root>/{MASK}", text)
        for pattern, put in _RULES:
            text = pattern.sub(put, text)
        return text

    def _value(self, name: str, value: Any) -> Any:
        if value is None or isinstance(value, bool | float):
            return value
        if _KEY.fullmatch(name) and not (name in _OWN_KEYS and isinstance(value, int)):
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


def _below(places: list[str]) -> re.Pattern[str]:
    """What lies below one of the places: to its closing quote, or, where it is not quoted, to the end of its line."""
    roots = "|".join(map(re.escape, places))
    return re.compile(rf"""(?:(?<=')(?P<a>)|(?<=")(?P<b>)|)(?P<root>{roots})/(?(a)[^'\n]*|(?(b)[^"\n]*|[^\n]*))""")
