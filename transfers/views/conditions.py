"""Conditions that a request makes (RFC 9110, section 13), held against the file that there is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from django.utils.http import http_date, parse_http_date_safe

_ENTITY_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_SETTLED_SECONDS = 1
"""How old a time of whole seconds must be so that no other bytes have the same (RFC 9110, section 8.8.2.2)."""


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells one version of a file from all others: a strong ETag, with its quotes, and the second it is from.

    Without a second (None) conditions that tell one are ignored, as RFC 9110 wants it.
    """

    etag: str
    modified: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What an answer says of them."""
        return {"ETag": self.etag} | ({} if self.modified is None else {"Last-Modified": http_date(self.modified)})

    def refusal(self, headers: Mapping[str, str]) -> HTTPStatus | None:
        """What a GET or HEAD with these headers gets in place of the file: 412, 304, or None of both."""
        if (wanted := headers.get("If-Match")) is not None:
            if not self._is_among(wanted, weak=False):
                return HTTPStatus.PRECONDITION_FAILED
        elif self._is_newer_than(headers.get("If-Unmodified-Since")):
            return HTTPStatus.PRECONDITION_FAILED
        if (known := headers.get("If-None-Match")) is not None:
            return HTTPStatus.NOT_MODIFIED if self._is_among(known, weak=True) else None
        return HTTPStatus.NOT_MODIFIED if self._is_newer_than(headers.get("If-Modified-Since")) is False else None

    def allow_ranges(self, if_range: str | None, now: float) -> bool:
        """Whether a client that has bytes of the version that `If-Range` names has bytes of this one, surely."""
        if if_range is None:
            return True
        if if_range.strip() == self.etag:
            return True
        settled = self.modified is not None and self.modified + _SETTLED_SECONDS <= now
        return settled and _date(if_range) == self.modified

    def _is_newer_than(self, header: str | None) -> bool | None:
        """Whether it is from after the header's time; None where either time is not known."""
        date = _date(header)
        return None if date is None or self.modified is None else self.modified > date

    def _is_among(self, tags: str, *, weak: bool) -> bool:
        if tags.strip() == "*":
            return True
        return any(tag == self.etag and (weak or not mark) for mark, tag in _ENTITY_TAG.findall(tags))


def _date(header: str | None) -> int | None:
    """The header's time in seconds; None when it tells none, and is to be ignored."""
    return parse_http_date_safe(header) if header else None
