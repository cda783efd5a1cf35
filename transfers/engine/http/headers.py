"""What an answer's headers say, read strictly: pure, without a network."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass

from transfers.engine.base import Validator, ValidatorKind
from transfers.errors import SourceProtocolError

Headers = Mapping[str, str]
"""By name in any case; a header that came several times has its values joined by commas."""

CLOCK_SECONDS = 60
"""How much older than Date a Last-Modified must be to prove anything.

RFC 9110, section 8.8.2.2, asks for a second where both come from one clock, and for more where they may not. A server
behind a cache has two; its predecessor, RFC 7232, named a minute.
"""

_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]+"')
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.ASCII | re.IGNORECASE)
_UNSATISFIED_RANGE = re.compile(r"bytes \*/(\d+)", re.ASCII | re.IGNORECASE)
_DIGITS = re.compile(r"\d{1,19}", re.ASCII)
_CONTENT_TYPE_CHARACTERS = 255
_DIGEST_SIZES = {"md5": 16, "sha256": 32}


@dataclass(frozen=True, slots=True)
class ContentRange:
    """The half-open run of bytes that a 206 says it brings, and the size of the whole, if told."""

    start: int
    end: int
    size: int | None


def content_range(headers: Headers) -> ContentRange | None:
    """What a 206 brings; None where Content-Range is missing, not in bytes or nonsense."""
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if match is None:
        return None
    start, last = int(match[1]), int(match[2])
    size = None if match[3] == "*" else int(match[3])
    if last < start or (size is not None and size <= last):
        return None
    return ContentRange(start, last + 1, size)


def unsatisfied_size(headers: Headers) -> int | None:
    """The size that a 416 gives as its reason, in bytes."""
    match = _UNSATISFIED_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    return int(match[1]) if match else None


def content_length(headers: Headers) -> int | None:
    """Bytes of the body, None if not told; SourceProtocolError when the header contradicts itself.

    RFC 9112, section 6.3: an answer with an unreadable length has no end that could be trusted.
    """
    value = headers.get("Content-Length")
    if value is None:
        return None
    lengths = {each.strip() for each in value.split(",")}
    length = lengths.pop()
    if lengths or not _DIGITS.fullmatch(length):
        raise SourceProtocolError("the answer says no single length for its body")
    return int(length)


def media_type(headers: Headers) -> str:
    """The type alone, without parameters; empty when not told."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def content_type(headers: Headers) -> str:
    """The type with its parameters, as told; the type of unknown bytes when it is missing or no use."""
    value = headers.get("Content-Type", "").strip()
    return value if 0 < len(value) <= _CONTENT_TYPE_CHARACTERS else "application/octet-stream"


def content_coding(headers: Headers) -> str:
    """How the body is packed: `identity`, or a coding's name.

    A gzip file is often sent as if it were another one packed with gzip; as browsers do, take it for what it is.
    """
    coding = headers.get("Content-Encoding", "").strip().lower().removeprefix("x-") or "identity"
    if coding == "gzip" and media_type(headers) in ("application/gzip", "application/x-gzip"):
        return "identity"
    return coding


def validator_of(headers: Headers) -> Validator | None:
    """The strong validator of the answer, if it has one: ETag, else a Last-Modified that is long enough past.

    An empty ETag is strong in form, but whoever sends it sends the same for every file.
    """
    etag = headers.get("ETag", "").strip()
    if _STRONG_ETAG.fullmatch(etag):
        return Validator(ValidatorKind.ETAG, etag)
    text = headers.get("Last-Modified", "").strip()
    modified, date = http_date(text), http_date(headers.get("Date", "").strip())
    if modified is None or date is None or (date - modified).total_seconds() < CLOCK_SECONDS:
        return None
    return Validator(ValidatorKind.LAST_MODIFIED, text)


def http_date(text: str) -> dt.datetime | None:
    """A date in the one form that servers may send (RFC 9110, section 5.6.7), else None."""
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, IndexError):
        return None
    if moment.tzinfo is None or email.utils.format_datetime(moment.astimezone(dt.UTC), usegmt=True) != text:
        return None
    return moment


def retry_after_seconds(headers: Headers, now: dt.datetime) -> float | None:
    """How long to wait before the next try, by seconds or by a date compared with the server's own, or with `now`."""
    text = headers.get("Retry-After", "").strip()
    if _DIGITS.fullmatch(text):
        return float(text)
    moment = http_date(text)
    if moment is None:
        return None
    return max((moment - (http_date(headers.get("Date", "").strip()) or now)).total_seconds(), 0.0)


def digests(headers: Headers, *, whole: bool) -> dict[str, str]:
    """The checksums that an answer without content coding promises for the file: `md5`, `sha256`, lowercase hex.

    `whole` tells a 200 from a 206: Content-MD5 speaks of the body and the others of the file.
    """
    found: list[tuple[str, str]] = []
    for name, form in (("Repr-Digest", r"=:([^:,]*):"), ("Digest", r"=([^,]*)")):  # RFC 9530, RFC 3230
        for algorithm in ("sha-256", "md5"):
            match = re.search(rf"(?:^|,)\s*{algorithm}{form}", headers.get(name, ""), re.IGNORECASE)
            found.append((algorithm.replace("-", ""), match[1] if match else ""))
    if headers.get("x-amz-checksum-type") == "FULL_OBJECT":
        found.append(("sha256", headers.get("x-amz-checksum-sha256", "")))
    if headers.get("x-goog-stored-content-encoding", "identity") == "identity":  # else it is of the packed bytes
        match = re.search(r"(?:^|,)\s*md5=([^,]*)", headers.get("x-goog-hash", ""))
        found.append(("md5", match[1] if match else ""))
    if whole:
        found.append(("md5", headers.get("Content-MD5", "")))
    return {algorithm: hexed for algorithm, text in reversed(found) if (hexed := _hex(text, algorithm))}


def _hex(text: str, algorithm: str) -> str:
    try:
        digest = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return ""
    return digest.hex() if len(digest) == _DIGEST_SIZES[algorithm] else ""
