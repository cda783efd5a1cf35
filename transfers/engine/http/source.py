"""A file at a URL, as a source of the engine.

HTTP promises little, so nothing is taken on trust. A range counts only if the answer says it is exactly the one that
was asked for, of a file of the size we know; with a strong validator the server is asked to send it only if the file
is still the same (`If-Range`), and the validator it names must be ours. What does not fit is an error that says whether
the file changed or the server contradicts itself; bytes from such an answer are never given out.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Self

import requests

from transfers.engine import netguard
from transfers.engine.base import Reader, SourceInfo, Validator, ValidatorKind
from transfers.engine.http.exchange import MAX_REDIRECTS, Exchange
from transfers.engine.http.failures import status_failure
from transfers.engine.http.headers import (
    ContentRange,
    Headers,
    content_coding,
    content_length,
    content_range,
    content_type,
    digests,
    media_type,
    unsatisfied_size,
    validator_of,
)
from transfers.engine.http.reader import EmptyReader, HttpReader
from transfers.errors import RangesContradictError, SourceChangedError, SourceInterruptedError, SourceProtocolError

USER_AGENT = "Carryon/0.1.0"
"""With the version in pyproject.toml."""

_VALIDATOR_HEADERS = {ValidatorKind.ETAG: "ETag", ValidatorKind.LAST_MODIFIED: "Last-Modified"}


def session(
    allowance: netguard.Allowance,
    *,
    pool_size: int = 32,
    resolve: netguard.Resolve = socket.getaddrinfo,
    authorities: str | None = None,
) -> requests.Session:
    """A session for any number of sources and threads that reaches only what may be fetched.

    It keeps `pool_size` idle connections to each host, no cookies, and does not heed the environment's proxies and
    passwords. `authorities` is a PEM file of certificate authorities to trust besides the usual ones.
    """
    made = requests.Session()
    made.trust_env = False
    made.max_redirects = MAX_REDIRECTS
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    made.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
    adapter = netguard.GuardedAdapter(netguard.Guard(allowance, resolve), pool_size=pool_size, authorities=authorities)
    made.adapters.clear()
    made.mount("http://", adapter)
    made.mount("https://", adapter)
    return made


class HttpSource:
    """A file at a URL; a context manager. `stat` and `close` belong to one thread, the rest to any.

    User name and password in the URL are sent as Basic authentication, and only to the URL's own origin. Redirects are
    followed anew for every request: where they led the last time may have been valid for that time only.
    """

    def __init__(
        self,
        url: str,
        session: requests.Session,
        *,
        known: SourceInfo | None = None,
        connect_timeout_seconds: float = 10.0,
        stall_seconds: float = 30.0,
    ) -> None:
        """`known` is what an earlier `stat` told: with it, ranges can be opened without asking again.

        AddressForbiddenError for a URL that no request may be made for.
        """
        self._url, self._authorization = netguard.split_credentials(url)
        self._where = netguard.place_of(self._url)
        self._session = session
        self._connect_timeout_seconds = connect_timeout_seconds
        self._stall_seconds = stall_seconds
        self._info = known
        self._lock = threading.Lock()
        self._exchanges: set[Exchange] = set()
        self._held: Exchange | None = None
        self._aborted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stat(self) -> SourceInfo:
        """Ask for the whole file, read the head of the answer, and keep its body for the first `open` from 0.

        Any SourceError.
        """
        self.close()
        exchange = self._ask({"Range": "bytes=0-"}, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
        with exchange.closed_on_failure():
            info = _describe(exchange)
        if info is None:
            exchange, info = self._ask_without_range(exchange)
        self._info = info
        self._hold(exchange)
        return info

    def open(self, offset: int, end: int | None) -> contextlib.AbstractContextManager[Reader]:
        """Open the bytes from `offset` up to before `end` (None: to the end) of the file that was described.

        SourceChangedError when it is no longer that file, SourceProtocolError when the answer does not fit the
        question, and any other SourceError.
        """
        self._fail_if_aborted()
        info = self._info or self.stat()
        end = info.size if end is None else end
        if end is not None and offset >= end:
            return EmptyReader()
        held = self._take_held()
        if held is not None:
            if offset == 0:
                return HttpReader(held, end, whole=end == info.size)
            held.close()
        if info.ranges and end is not None:
            return self._open_range(info, offset, end)
        if offset:
            raise SourceProtocolError(f"{self._where} sends the file only as a whole, not from byte {offset}")
        return self._open_whole(info, end)

    def unchanged(self, validator: Validator, size: int) -> bool:
        """Whether the file is still the one with this validator and size, for the price of a head. Any SourceError.

        A date is not asked with If-Modified-Since: a server may take that for "later than", and an older file put in
        the place of ours would pass.
        """
        headers = {"Range": "bytes=0-0"}
        if validator.kind is ValidatorKind.ETAG:
            headers["If-None-Match"] = validator.value
        exchange = self._ask(headers, HTTPStatus.NOT_MODIFIED, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
        with contextlib.closing(exchange):
            if exchange.status == HTTPStatus.NOT_MODIFIED:  # it takes a weak ETag for equal, we do not
                return validator.kind is ValidatorKind.ETAG and _named(exchange, validator) in (None, validator.value)
            return _named(exchange, validator) == validator.value and _size(exchange) == size

    def abort(self) -> None:
        """Make every open reader fail soon, and every later open at once; from any thread, any number of times.

        What waits for a connection, an answer or a byte ends at once (on macOS a connection under way takes up to its
        time-out); what waits for a name to be looked up, when the resolver gives up.
        """
        with self._lock:
            self._aborted = True
            for exchange in self._exchanges:
                exchange.end()

    def close(self) -> None:
        """Let go of the answer that `stat` kept, if nothing has used it. Open readers are closed by who opened them."""
        held = self._take_held()
        if held is not None:
            held.close()

    # The ways to an answer

    def _ask(self, headers: Mapping[str, str], *also: HTTPStatus) -> Exchange:
        """Ask, and give the answer when it has the file or a part of it, or one of these statuses."""
        exchange = Exchange(self._session, self._connect_timeout_seconds, self._stall_seconds, self._forget)
        with self._lock:
            self._exchanges.add(exchange)
        with exchange.closed_on_failure():
            self._fail_if_aborted()
            exchange.ask(self._url, headers, self._authorization)
            if exchange.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, *also):
                raise status_failure(exchange.status, exchange.headers)
        return exchange

    def _ask_without_range(self, first: Exchange) -> tuple[Exchange, SourceInfo]:
        """Ask again after an answer that fails at ranges in one of many ways: without any it may be a good one."""
        told_size = _told_size(first)
        first.close()
        exchange = self._ask({})
        with exchange.closed_on_failure():
            info = _describe(exchange)
            if exchange.status != HTTPStatus.OK or info is None:
                raise SourceProtocolError(f"{exchange.where} answers with a part where the whole was asked for")
            if None not in (told_size, info.size) and told_size != info.size:
                raise SourceProtocolError(f"{exchange.where} gives the file two sizes, {told_size} and {info.size}")
        return exchange, info

    def _open_range(self, info: SourceInfo, offset: int, end: int) -> HttpReader:
        headers = {"Range": f"bytes={offset}-{end - 1}"}
        if info.validator is not None:
            headers["If-Range"] = info.validator.value
        exchange = self._ask(headers, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
        with exchange.closed_on_failure():
            if exchange.status == HTTPStatus.PARTIAL_CONTENT:
                _check_part(exchange, info, offset, end)
                return HttpReader(exchange, end - offset, whole=True)
            _check_whole(exchange, info)
            if offset:
                raise RangesContradictError(f"{exchange.where} ignored the range")
            return HttpReader(exchange, end, whole=end == info.size)

    def _open_whole(self, info: SourceInfo, end: int | None) -> HttpReader:
        exchange = self._ask({})
        with exchange.closed_on_failure():
            _check_whole(exchange, info)
            return HttpReader(exchange, end, whole=end == info.size)

    # What several threads touch

    def _hold(self, exchange: Exchange) -> None:
        with self._lock:
            self._held = exchange

    def _take_held(self) -> Exchange | None:
        with self._lock:
            held, self._held = self._held, None
        return held

    def _forget(self, exchange: Exchange) -> None:
        with self._lock:
            self._exchanges.discard(exchange)

    def _fail_if_aborted(self) -> None:
        if self._aborted:
            raise SourceInterruptedError("the transfer was told to end")


def _describe(exchange: Exchange) -> SourceInfo | None:
    """What an answer to a request for everything tells of the file; None when it is no such answer."""
    headers = exchange.headers
    kind = content_type(headers)
    if exchange.status == HTTPStatus.OK:
        if content_coding(headers) != "identity":
            return SourceInfo(size=None, validator=None, ranges=False, content_type=kind)
        promised = digests(headers, whole=True)
        return SourceInfo(_size(exchange), validator_of(headers), ranges=False, content_type=kind, digests=promised)
    if exchange.status == HTTPStatus.PARTIAL_CONTENT:
        part = content_range(headers)
        if part is None or part != ContentRange(0, part.end, part.end) or not _is_plain_part(headers, part):
            return None
        promised = digests(headers, whole=False)
        return SourceInfo(part.size, validator_of(headers), ranges=True, content_type=kind, digests=promised)
    if unsatisfied_size(headers) == 0:
        return SourceInfo(size=0, validator=validator_of(headers), ranges=False)
    return None


def _size(exchange: Exchange) -> int | None:
    """The size of the file that the answer tells, in bytes."""
    headers = exchange.headers
    if content_coding(headers) != "identity":
        return None
    if exchange.status == HTTPStatus.OK:
        return None if "Transfer-Encoding" in headers else content_length(headers)
    return _told_size(exchange)


def _told_size(exchange: Exchange) -> int | None:
    part = content_range(exchange.headers)
    return unsatisfied_size(exchange.headers) if part is None else part.size


def _is_plain_part(headers: Headers, part: ContentRange) -> bool:
    """Whether the body is the part's bytes and nothing else."""
    length = None if "Transfer-Encoding" in headers else content_length(headers)
    return (
        content_coding(headers) == "identity"
        and media_type(headers) != "multipart/byteranges"
        and length in (None, part.end - part.start)
    )


def _named(exchange: Exchange, validator: Validator) -> str | None:
    """The value that the answer has in the validator's header."""
    return exchange.headers.get(_VALIDATOR_HEADERS[validator.kind])


def _check_part(exchange: Exchange, info: SourceInfo, offset: int, end: int) -> None:
    """Raise unless the answer is exactly this part of exactly this file."""
    where = exchange.where
    if info.validator is not None:
        named = _named(exchange, info.validator)
        # RFC 9110, section 15.3.7: a part after If-Range names its ETag, but need not repeat a date.
        if named is None and info.validator.kind is ValidatorKind.ETAG:
            raise RangesContradictError(f"{where} does not say which version its part is of")
        if named not in (None, info.validator.value):
            raise _changed(where)
    part = content_range(exchange.headers)
    if part is not None and part.size not in (None, info.size):
        raise _changed(where)
    if part != ContentRange(offset, end, info.size) or not _is_plain_part(exchange.headers, part):
        raise RangesContradictError(f"{where} answers with something else than the part that was asked for")


def _check_whole(exchange: Exchange, info: SourceInfo) -> None:
    """Raise unless the answer is the whole of exactly this file."""
    if exchange.status == HTTPStatus.PARTIAL_CONTENT:
        raise RangesContradictError(f"{exchange.where} answers with a part where the whole was asked for")
    if exchange.status != HTTPStatus.OK:
        raise _changed(exchange.where)
    if info.validator is not None and _named(exchange, info.validator) != info.validator.value:
        raise _changed(exchange.where)
    size = _size(exchange)
    if None not in (size, info.size) and size != info.size:
        raise _changed(exchange.where)
    if info.size is not None and content_coding(exchange.headers) != "identity":
        raise RangesContradictError(f"{exchange.where} sends the file packed, and did not before")


def _changed(where: str) -> SourceChangedError:
    return SourceChangedError(f"the file at {where} is not the one it was")
