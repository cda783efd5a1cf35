"""Every way in which a request fails, in the words of `transfers.errors`: foreign exceptions end here."""

from __future__ import annotations

import datetime as dt
import http.client
import ssl
import zlib
from collections.abc import Iterator
from http import HTTPStatus

import requests
import urllib3.exceptions

from transfers.engine.http.headers import Headers, retry_after_seconds
from transfers.errors import (
    SourceBusyError,
    SourceError,
    SourceInterruptedError,
    SourceProtocolError,
    SourceRefusedError,
)

FOREIGN = (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, UnicodeError, zlib.error)
"""What requests (whose errors are all OSErrors), urllib3, http.client, ssl, socket and zlib raise."""

_BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)

_MEANINGS: tuple[tuple[tuple[type[BaseException], ...], type[SourceError], str], ...] = (
    (
        (TimeoutError, urllib3.exceptions.TimeoutError, requests.Timeout),
        SourceInterruptedError,
        "no byte from {where} for {seconds:g} s",
    ),
    ((http.client.RemoteDisconnected,), SourceInterruptedError, "{where} closed the connection without an answer"),
    ((http.client.IncompleteRead,), SourceInterruptedError, "{where} closed the connection before the end"),
    ((ConnectionError,), SourceInterruptedError, "connection reset by {where}"),
    ((ssl.SSLError,), SourceInterruptedError, "the TLS connection to {where} broke"),
    ((zlib.error,), SourceProtocolError, "the packed body that {where} sent cannot be unpacked"),
    (
        (
            requests.exceptions.InvalidURL,
            requests.exceptions.MissingSchema,
            requests.exceptions.InvalidSchema,
            urllib3.exceptions.LocationValueError,
            UnicodeError,
        ),
        SourceRefusedError,
        "{where} cannot be asked: this is not a URL",
    ),
    (
        (
            http.client.HTTPException,
            requests.exceptions.InvalidHeader,
            urllib3.exceptions.InvalidHeader,
            urllib3.exceptions.HeaderParsingError,
        ),
        SourceProtocolError,
        "the answer of {where} is not HTTP",
    ),
)
"""The first line that fits any exception in the chain; what fits none is a connection that broke."""


def translate(error: BaseException, where: str, stall_seconds: float) -> SourceError:
    """What a foreign exception is to a person; `where` is host and port. Never shows the exception's own text."""
    chain = list(_chain(error))
    for each in chain:
        if isinstance(each, SourceError):
            return each
    for kinds, meaning, text in _MEANINGS:
        if any(isinstance(each, kinds) for each in chain):
            return meaning(text.format(where=where, seconds=stall_seconds))
    return SourceInterruptedError(f"the connection to {where} broke")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and all that it wraps: requests and urllib3 keep what really happened in four places."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop(0)
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [getattr(each, "reason", None), *each.args, each.__cause__, each.__context__]


def status_failure(status: int, headers: Headers) -> SourceError:
    """What an answer without the file in it means."""
    text = f"HTTP {status} {_phrase(status)}".strip()
    if status in _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return SourceBusyError(text, retry_after_seconds(headers, dt.datetime.now(dt.UTC)))
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        return SourceRefusedError(text)
    return SourceProtocolError(f"{text} in place of the file")


def _phrase(status: int) -> str:
    """The standard's words for a status; the server's own could be anything."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
