"""What the origin says to a request: pure, so that every lie stands here in one place."""

from __future__ import annotations

import base64
import dataclasses
import email.utils
import random
import zlib
from http import HTTPStatus

from tests.origin.behaviour import Behaviour, ContentRange, Etag, LastModified, Malformed, Ranges, http_date
from tests.origin.content import Bytes, Content, gzipped, read
from tests.origin.request import Request

_BOUNDARY = "carryon-part"
_EPOCH = 1_704_067_200  # 2024-01-01: every Last-Modified lies within a year from it


@dataclasses.dataclass(slots=True)
class Answer:
    """A head, and the run of the content that is its body."""

    status: int
    headers: dict[str, str]
    content: Content
    start: int
    end: int
    is_file: bool
    """Whether the body is the file's bytes, so that gates, cuts and lies concern it."""

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return self.end - self.start

    def head(self, malformed: Malformed | str) -> bytes:
        """The bytes of the status line and the headers."""
        lines = [f"{name}: {value}" for name, value in self.headers.items()]
        status_line = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"
        match malformed:
            case Malformed.NOT_HTTP:
                return b"220 mail.example ESMTP ready\r\n"
            case Malformed.EMPTY:
                return b""
            case Malformed.STATUS_LINE:
                status_line = "HTTP/1.1 OK two hundred"
            case Malformed.HEADER_WITHOUT_COLON:
                lines.insert(0, "this is no header")
            case Malformed.HUGE_HEADER:
                lines.insert(0, "X-Huge: " + "x" * 2**20)
            case Malformed.TWO_LENGTHS:
                lines.append(f"Content-Length: {self.length + 7}")
            case Malformed.NEGATIVE_LENGTH:
                lines = [*_without_length(lines), "Content-Length: -5"]
            case Malformed.LENGTH_IN_WORDS:
                lines = [*_without_length(lines), "Content-Length: many"]
        head = "\r\n".join([status_line, *lines, "", ""]).encode("latin-1")
        return head[: len(head) // 2] if malformed == Malformed.CUT_HEAD else head


def _without_length(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("Content-Length:")]


def answer(request: Request, behaviour: Behaviour, content: Content, draw: random.Random) -> Answer:
    """What this behaviour answers; the length is for the one who sends it to say."""
    refused = _instead(request, behaviour)
    if refused is not None:
        return refused
    if behaviour.gzip:
        content = gzipped(content)
    headers = {
        "Content-Type": "application/octet-stream",
        **_validators(behaviour, content, draw),
        **({"Content-Encoding": "gzip"} if behaviour.gzip else {}),
        **_accept_ranges(behaviour),
        **behaviour.headers,
    }
    status = _precondition(request, headers)
    if status is not None:
        return Answer(status, headers, Bytes(b""), 0, 0, is_file=False)
    return _ranged(request, behaviour, Answer(200, headers, content, 0, content.size, is_file=True))


def text(status: int, headers: dict[str, str] | None = None, body: str = "") -> Answer:
    """A short answer in words."""
    words = Bytes((body or f"{status} {HTTPStatus(status).phrase}\n").encode())
    all_headers = {"Content-Type": "text/plain; charset=utf-8", "Date": http_date(), **(headers or {})}
    return Answer(status, all_headers, words, 0, words.size, is_file=False)


def _instead(request: Request, behaviour: Behaviour) -> Answer | None:
    if behaviour.credentials is not None and request.headers.get("authorization") != _basic(behaviour.credentials):
        return text(401, {"WWW-Authenticate": 'Basic realm="origin"', **behaviour.headers})
    if behaviour.redirect is not None:
        return text(behaviour.redirect_status, {"Location": behaviour.redirect, **behaviour.headers})
    status = behaviour.status
    if request.method == "HEAD" and behaviour.head_status is not None:
        status = behaviour.head_status
    if status is None:
        return None
    retry = {} if behaviour.retry_after is None else {"Retry-After": behaviour.retry_after}
    return text(status, {**retry, **behaviour.headers})


def _basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def _validators(behaviour: Behaviour, content: Content, draw: random.Random) -> dict[str, str]:
    headers = {"Date": http_date()}
    match behaviour.etag:
        case Etag.STRONG:
            headers["ETag"] = f'"{content.tag}"'
        case Etag.WEAK:
            headers["ETag"] = f'W/"{content.tag}"'
        case Etag.RANDOM:
            headers["ETag"] = f'"{draw.getrandbits(64):x}"'
        case str(literal) if literal != Etag.NONE:
            headers["ETag"] = literal
    if behaviour.last_modified == LastModified.NONE:
        return headers
    modified = _EPOCH + zlib.crc32(content.tag.encode()) % 31_000_000
    headers["Last-Modified"] = email.utils.formatdate(modified, usegmt=True)
    if behaviour.last_modified == LastModified.WEAK:
        headers["Date"] = headers["Last-Modified"]
    elif behaviour.last_modified == LastModified.NO_DATE:
        del headers["Date"]
    return headers


def _accept_ranges(behaviour: Behaviour) -> dict[str, str]:
    match behaviour.ranges:
        case Ranges.UNTOLD:
            return {}
        case Ranges.NONE:
            return {"Accept-Ranges": "none"}
    return {"Accept-Ranges": "bytes"}


def _precondition(request: Request, headers: dict[str, str]) -> int | None:
    etag = headers.get("ETag", "")
    wanted, unwanted = request.headers.get("if-match"), request.headers.get("if-none-match")
    if wanted is not None and (etag.startswith("W/") or not _lists(wanted, etag)):
        return 412
    if unwanted is not None and _lists(unwanted.replace("W/", ""), etag.removeprefix("W/")):
        return 304
    return None


def _lists(wanted: str, etag: str) -> bool:
    return bool(etag) and (wanted == "*" or etag in [each.strip() for each in wanted.split(",")])


def _ranged(request: Request, behaviour: Behaviour, whole: Answer) -> Answer:
    asked = request.range_of(whole.end)
    if asked is None or request.method != "GET" or behaviour.ranges in (Ranges.NONE, Ranges.IGNORED):
        return whole
    if behaviour.ranges == Ranges.REFUSED:
        return text(416)
    if behaviour.if_range and not _still_the_same(request.headers.get("if-range"), whole.headers):
        return whole
    start, end = asked
    if behaviour.ranges == Ranges.REFUSED_WITH_SIZE or start >= end:
        return text(416, {**whole.headers, "Content-Type": "text/plain", "Content-Range": f"bytes */{whole.end}"})
    return _partial(behaviour.content_range, whole, start, end)


def _still_the_same(if_range: str | None, headers: dict[str, str]) -> bool:
    """Whether an If-Range, or its absence, allows a range (RFC 9110, section 13.1.5: strong comparison)."""
    if if_range is None:
        return True
    if if_range.startswith('"'):
        return if_range == headers.get("ETag")
    modified = headers.get("Last-Modified", "")
    return if_range == modified and headers.get("Date", modified) != modified


def _partial(lie: ContentRange | str, whole: Answer, start: int, end: int) -> Answer:
    size = total = whole.end
    headers = dict(whole.headers)
    match lie:
        case ContentRange.SHIFTED:
            start, end = start + 1, min(end + 1, size)
        case ContentRange.SHORT:
            end = start + (end - start + 1) // 2
        case ContentRange.OTHER_TOTAL:
            total += 1
        case ContentRange.MULTIPART:
            return _multipart(whole, start, end)
    value = f"bytes {start}-{end - 1}/{'*' if lie == ContentRange.UNKNOWN_TOTAL else total}"
    if lie != ContentRange.MISSING:
        headers["Content-Range"] = "bytes all-of-it" if lie == ContentRange.GARBAGE else value
    return Answer(206, headers, whole.content, start, end, is_file=True)


def _multipart(whole: Answer, start: int, end: int) -> Answer:
    opening = (
        f"--{_BOUNDARY}\r\nContent-Type: application/octet-stream\r\n"
        f"Content-Range: bytes {start}-{end - 1}/{whole.end}\r\n\r\n"
    )
    body = Bytes(opening.encode() + read(whole.content, start, end) + f"\r\n--{_BOUNDARY}--\r\n".encode())
    headers = {**whole.headers, "Content-Type": f"multipart/byteranges; boundary={_BOUNDARY}"}
    return Answer(206, headers, body, 0, body.size, is_file=True)
