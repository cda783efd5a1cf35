"""The table of everything the origin can do to a client; what is left at its default is honest."""

from __future__ import annotations

import dataclasses
import email.utils
import enum
import json
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from tests.origin.content import Content


class Etag(enum.StrEnum):
    """What stands in ETag."""

    STRONG = "strong"  # changes exactly when the bytes do
    WEAK = "weak"
    RANDOM = "random"  # strong in form, another on each answer
    NONE = "none"


class LastModified(enum.StrEnum):
    """What stands in Last-Modified, and how far Date is from it (RFC 9110, section 8.8.2.2)."""

    STRONG = "strong"  # Date is much later
    WEAK = "weak"  # Date is the same second
    NO_DATE = "no-date"  # no Date to compare with
    NONE = "none"


class Ranges(enum.StrEnum):
    """What becomes of a Range header."""

    HONEST = "honest"
    UNTOLD = "untold"  # honoured, but no Accept-Ranges says so
    NONE = "none"  # `Accept-Ranges: none`, and 200
    IGNORED = "ignored"  # `Accept-Ranges: bytes`, and yet 200
    REFUSED = "refused"  # always 416, without a size
    REFUSED_WITH_SIZE = "refused-with-size"  # always 416 with `bytes */size`


class ContentRange(enum.StrEnum):
    """How a 206 describes and delivers the range that was asked for."""

    HONEST = "honest"
    SHIFTED = "shifted"  # starts one byte later, header and body
    OTHER_TOTAL = "other-total"  # the total is one byte more
    UNKNOWN_TOTAL = "unknown-total"  # `*` for the total, which HTTP allows
    SHORT = "short"  # fewer bytes than asked, and says so, which HTTP allows
    MISSING = "missing"
    GARBAGE = "garbage"
    MULTIPART = "multipart"  # a multipart/byteranges body with the one range in it


class Framing(enum.StrEnum):
    """How the end of the body is told."""

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"  # no Content-Length: the end of the connection is the end of the body


class Malformed(enum.StrEnum):
    """A head that is no HTTP, or contradicts itself."""

    NO = "no"
    NOT_HTTP = "not-http"
    STATUS_LINE = "status-line"
    HEADER_WITHOUT_COLON = "header-without-colon"
    HUGE_HEADER = "huge-header"
    TWO_LENGTHS = "two-lengths"
    NEGATIVE_LENGTH = "negative-length"
    LENGTH_IN_WORDS = "length-in-words"
    EMPTY = "empty"  # the connection ends before any byte of an answer
    CUT_HEAD = "cut-head"  # the connection ends in the middle of the head


class After(enum.StrEnum):
    """What becomes of the connection after a whole answer."""

    KEEP = "keep"
    CLOSE = "close"  # `Connection: close`, as announced
    DROP = "drop"  # closed without a word, so that the client's next request meets a dead connection


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How one request is treated. Offsets called `…_after` count the body bytes of that answer."""

    # Before anything is said
    latency_seconds: float = 0
    never_answers: bool = False

    # Something else in place of the file
    status: int | None = None
    retry_after: str | None = None  # seconds, or `http_date()`
    redirect: str | None = None  # absolute or relative
    redirect_status: int = 302
    credentials: str | None = None  # `user:password`; Basic, else 401
    head_status: int | None = None  # HEAD alone gets this status
    most_at_once: int | None = None  # more answers of this path at once get 503

    # What the file is, and is said to be
    content: Content | None = None  # other bytes than the ones added
    etag: Etag | str = Etag.STRONG  # anything else than an Etag is sent as it is
    last_modified: LastModified = LastModified.STRONG
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    gzip: bool = False  # a gzip body, whatever Accept-Encoding says

    # Ranges
    ranges: Ranges = Ranges.HONEST
    content_range: ContentRange = ContentRange.HONEST
    if_range: bool = True  # False: a range is served though If-Range does not match

    # The form of the answer
    framing: Framing = Framing.LENGTH
    length_lie: int = 0  # added to Content-Length
    extra_bytes: int = 0  # sent after the end of the body
    malformed: Malformed = Malformed.NO
    head_rate: float | None = None  # bytes a second of the status line and headers
    after: After = After.KEEP

    # The way of the body
    rate: float | None = None  # bytes a second of one connection, so two are twice as fast
    cut_after: int | None = None
    cut_before: int | None = None  # with it, the cut is at a random byte from `cut_after` (or 0) up to here
    reset: bool = False  # the cut is a RST, not a FIN
    stall_after: int | None = None  # silence for good, the connection open

    def to_json(self) -> dict[str, Any]:
        """What differs from the default, for `from_json` in another process; `content` cannot go along."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value != getattr(HONEST, name)}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Behaviour:
        """The behaviour with these values; TypeError for a name that is none."""
        return Behaviour(**values)


HONEST = Behaviour()


def query(behaviours: Sequence[Behaviour]) -> str:
    """The query string that asks an origin in another process for these behaviours in turn."""
    if not behaviours:
        return ""
    return "?" + urllib.parse.urlencode({"behaviours": json.dumps([each.to_json() for each in behaviours])})


def from_query(text: str) -> tuple[Behaviour, ...]:
    """The behaviours that `query` put into a URL."""
    values = urllib.parse.parse_qs(text).get("behaviours", ["[]"])
    return tuple(Behaviour.from_json(each) for each in json.loads(values[0]))


def http_date(seconds_from_now: float = 0) -> str:
    """A time as HTTP headers have it (IMF-fixdate)."""
    return email.utils.formatdate(time.time() + seconds_from_now, usegmt=True)
