from __future__ import annotations

import http.client
import ssl
import zlib
from types import ModuleType

import pytest
import requests
import urllib3.exceptions
from requests.structures import CaseInsensitiveDict

from transfers.engine.http.failures import FOREIGN, status_failure, translate
from transfers.errors import (
    AddressForbiddenError,
    SourceBusyError,
    SourceError,
    SourceInterruptedError,
    SourceProtocolError,
    SourceRefusedError,
)

SECRET = "https://user:secret@h/?token=secret"


def wrapped(error: BaseException) -> requests.ConnectionError:
    """As requests hands out what urllib3 made of it."""
    pool = urllib3.HTTPConnectionPool("h")
    return requests.ConnectionError(urllib3.exceptions.MaxRetryError(pool, SECRET, _protocol_error(error)))


def _protocol_error(error: BaseException) -> urllib3.exceptions.ProtocolError:
    return urllib3.exceptions.ProtocolError(f"Connection aborted. {SECRET}", error)


class TestTranslate:
    @pytest.mark.parametrize(
        ("error", "kind", "text"),
        [
            (TimeoutError("timed out"), SourceInterruptedError, "no byte from h:1 for 30 s"),
            (requests.ReadTimeout(SECRET), SourceInterruptedError, "no byte from h:1 for 30 s"),
            (requests.ConnectTimeout(SECRET), SourceInterruptedError, "no byte from h:1 for 30 s"),
            (wrapped(TimeoutError()), SourceInterruptedError, "no byte from h:1 for 30 s"),
            (
                wrapped(http.client.RemoteDisconnected("x")),
                SourceInterruptedError,
                "h:1 closed the connection without an answer",
            ),
            (
                wrapped(http.client.IncompleteRead(b"")),
                SourceInterruptedError,
                "h:1 closed the connection before the end",
            ),
            (wrapped(ConnectionResetError(104, "x")), SourceInterruptedError, "connection reset by h:1"),
            (BrokenPipeError(32, "x"), SourceInterruptedError, "connection reset by h:1"),
            (ssl.SSLEOFError(8, "x"), SourceInterruptedError, "the TLS connection to h:1 broke"),
            (
                requests.exceptions.SSLError(ssl.SSLError(1, "x")),
                SourceInterruptedError,
                "the TLS connection to h:1 broke",
            ),
            (zlib.error("x"), SourceProtocolError, "the packed body that h:1 sent cannot be unpacked"),
            (requests.exceptions.InvalidURL(SECRET), SourceRefusedError, "h:1 cannot be asked: this is not a URL"),
            (UnicodeEncodeError("idna", "x", 0, 1, "x"), SourceRefusedError, "h:1 cannot be asked: this is not a URL"),
            (wrapped(http.client.BadStatusLine("x")), SourceProtocolError, "the answer of h:1 is not HTTP"),
            (wrapped(http.client.LineTooLong("x")), SourceProtocolError, "the answer of h:1 is not HTTP"),
            (
                wrapped(http.client.HTTPException("got more than 100 headers")),
                SourceProtocolError,
                "the answer of h:1 is not HTTP",
            ),
            (requests.exceptions.InvalidHeader(SECRET), SourceProtocolError, "the answer of h:1 is not HTTP"),
            (urllib3.exceptions.HeaderParsingError([], SECRET), SourceProtocolError, "the answer of h:1 is not HTTP"),
            (OSError(113, "No route to host"), SourceInterruptedError, "the connection to h:1 broke"),
            (requests.RequestException(SECRET), SourceInterruptedError, "the connection to h:1 broke"),
            (urllib3.exceptions.HTTPError(SECRET), SourceInterruptedError, "the connection to h:1 broke"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
    )
    def test_table(self, error: BaseException, kind: type[SourceError], text: str) -> None:
        assert isinstance(error, FOREIGN)
        failure = translate(error, "h:1", 30)
        assert (type(failure), failure.message) == (kind, text)

    def test_an_error_of_ours_stays_what_it_is(self) -> None:
        inner = AddressForbiddenError("forbidden")
        outer = requests.ConnectionError("outer")
        outer.__cause__ = inner
        assert translate(outer, "h:1", 30) is inner
        assert translate(inner, "h:1", 30) is inner

    def test_a_chain_that_bites_its_tail(self) -> None:
        one, two = OSError("one"), OSError("two")
        one.__context__, two.__context__ = two, one
        assert isinstance(translate(one, "h:1", 30), SourceInterruptedError)

    @pytest.mark.parametrize(
        "module", [requests.exceptions, urllib3.exceptions, http.client, ssl], ids=lambda each: str(each.__name__)
    )
    def test_nothing_foreign_is_unknown(self, module: ModuleType) -> None:
        kinds = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, Exception)]
        own = [each for each in kinds if each.__module__ == module.__name__]
        assert own
        unknown = [each.__name__ for each in own if not issubclass(each, (*FOREIGN, Warning))]
        assert unknown in ([], ["ProxySchemeUnsupported"])  # no proxy is ever asked


class TestStatusFailure:
    @pytest.mark.parametrize(
        ("status", "kind", "text"),
        [
            (408, SourceBusyError, "HTTP 408 Request Timeout"),
            (425, SourceBusyError, "HTTP 425 Too Early"),
            (429, SourceBusyError, "HTTP 429 Too Many Requests"),
            (500, SourceBusyError, "HTTP 500 Internal Server Error"),
            (503, SourceBusyError, "HTTP 503 Service Unavailable"),
            (522, SourceBusyError, "HTTP 522"),
            (400, SourceRefusedError, "HTTP 400 Bad Request"),
            (401, SourceRefusedError, "HTTP 401 Unauthorized"),
            (403, SourceRefusedError, "HTTP 403 Forbidden"),
            (404, SourceRefusedError, "HTTP 404 Not Found"),
            (410, SourceRefusedError, "HTTP 410 Gone"),
            (499, SourceRefusedError, "HTTP 499"),
            (304, SourceRefusedError, "HTTP 304 Not Modified"),
            (302, SourceRefusedError, "HTTP 302 Found"),
            (204, SourceProtocolError, "HTTP 204 No Content in place of the file"),
            (101, SourceProtocolError, "HTTP 101 Switching Protocols in place of the file"),
        ],
    )
    def test_table(self, status: int, kind: type[SourceError], text: str) -> None:
        failure = status_failure(status, CaseInsensitiveDict())
        assert (type(failure), failure.message) == (kind, text)

    @pytest.mark.parametrize(("value", "expected"), [("7", 7.0), ("", None)])
    def test_when_to_come_back(self, value: str, expected: float | None) -> None:
        failure = status_failure(503, CaseInsensitiveDict({"Retry-After": value}))
        assert isinstance(failure, SourceBusyError)
        assert failure.retry_after_seconds == expected
