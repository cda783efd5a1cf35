"""One request and its answer, redirects included: it owns the connection, and another thread can end it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import cast
from urllib.parse import urljoin

import requests
import urllib3
from urllib3.util.response import assert_header_parsing

from transfers.engine import netguard
from transfers.engine.http.body import Body, body_of
from transfers.engine.http.failures import FOREIGN, status_failure, translate
from transfers.engine.http.headers import Headers
from transfers.errors import SourceError, SourceInterruptedError, SourceRefusedError

MAX_REDIRECTS = 10
_REDIRECTS = (
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
)
_SKIP_BYTES = 8192


class Exchange:
    """A GET and the answer to it: asked, read and closed by one thread, ended by any."""

    def __init__(
        self,
        session: requests.Session,
        connect_timeout_seconds: float,
        stall_seconds: float,
        on_close: Callable[[Exchange], None],
    ) -> None:
        self._session = session
        self._on_close = on_close
        self._timeouts = (connect_timeout_seconds, stall_seconds)
        self._lock = threading.Lock()
        self._handle: socket.socket | None = None
        self._on_used_connection = False
        self._raw: urllib3.HTTPResponse | None = None
        self._body: Body | None = None
        self.ended = False
        self.where = ""
        """Host and port of whoever answers."""
        self.status = 0
        self.headers: Headers = {}

    # For the thread that asks

    def ask(self, url: str, headers: Mapping[str, str], authorization: str | None = None) -> None:
        """Send the request and read the head of the first answer that is no redirect; any SourceError, then closed.

        `authorization` goes to the origin of `url` alone; a redirect's own credentials go only where it leads.
        """
        with self.closed_on_failure():
            for _ in range(MAX_REDIRECTS + 1):
                plain_url, own_authorization = netguard.split_credentials(url)
                self.where = netguard.place_of(plain_url)
                self._ask_once(plain_url, headers, own_authorization or authorization)
                if self.status not in _REDIRECTS:
                    return
                target = self._target(plain_url)
                if not netguard.may_keep_credentials(plain_url, target):
                    authorization = None
                self._skip_answer()
                url = target
            raise SourceRefusedError(f"more than {MAX_REDIRECTS} redirects")

    def open_body(self) -> Body:
        """The body, to be read once; SourceProtocolError when it comes in a form that cannot be."""
        self._body = body_of(self._answer.fp, self.headers)
        return self._body

    def has_surplus(self) -> bool:
        """Whether more came than the body that was read to its end: then its length was a lie.

        Empty lines are an old fault of servers, and another answer is a farewell to a connection that is idle.
        """
        surplus = self._answer.peek_now().lstrip(b"\r\n")
        return bool(surplus) and not surplus.startswith(b"HTTP/")

    def failure(self, error: BaseException) -> SourceError:
        """What an exception while asking or reading means."""
        if self.ended:
            return SourceInterruptedError("the transfer was told to end")
        return translate(error, self.where, self._timeouts[1])

    def close(self) -> None:
        """Let go of the connection: for reuse when the whole body was read, else for good. Any number of times."""
        self._release()
        self._on_close(self)

    @contextlib.contextmanager
    def closed_on_failure(self) -> Iterator[None]:
        """Close when the block fails."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    # For any thread

    def end(self) -> None:
        """Break the connection: whoever waits on it fails at once; only a name that is looked up takes its time."""
        with self._lock:
            self.ended = True
            if self._handle is not None:
                with contextlib.suppress(OSError):
                    self._handle.shutdown(socket.SHUT_RDWR)

    # Within

    def _ask_once(self, url: str, headers: Mapping[str, str], authorization: str | None) -> None:
        sent = {**headers, "Accept-Encoding": "identity"}
        if authorization:
            sent["Authorization"] = authorization
        try:
            response = self._send(self._session.prepare_request(requests.Request("GET", url, headers=sent)))
            self.status, self.headers = response.status_code, response.headers
            self._raw, self._body = cast("urllib3.HTTPResponse", response.raw), None
            assert_header_parsing(self._answer.msg)  # what follows a line that is no header would be lost
        except (SourceError, *FOREIGN) as error:
            failure = self.failure(error)
            if failure is error:
                raise
            raise failure from None  # what requests and urllib3 say may quote the URL, query and all

    def _send(self, prepared: requests.PreparedRequest) -> requests.Response:
        """Ask by the adapter itself: a session would read the bodies of redirects, whatever their size."""
        adapter = self._session.get_adapter(str(prepared.url))
        while True:
            self._on_used_connection = False
            try:
                with netguard.watched(self._watch):
                    return adapter.send(prepared, stream=True, timeout=self._timeouts)
            except requests.RequestException as error:
                # A kept connection that fails before its answer begins was closed meanwhile, or has rests of an
                # earlier answer in it: that is nothing to hold against the server, and the pool has one less of them.
                if isinstance(error, requests.Timeout) or self.ended or not self._on_used_connection:
                    raise

    def _watch(self, handle: socket.socket, /, *, used: bool) -> None:
        with self._lock:
            self._drop_handle()
            self._handle = handle
            self._on_used_connection = used
            if self.ended:
                raise SourceInterruptedError("the transfer was told to end")

    def _drop_handle(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def _target(self, url: str) -> str:
        location = self.headers.get("Location")
        if not location:
            raise status_failure(self.status, self.headers)
        try:
            return urljoin(url, location.encode("latin-1").decode("utf-8", "replace"))
        except ValueError:
            raise SourceRefusedError("a redirect leads to something that is not a URL") from None

    def _skip_answer(self) -> None:
        """Let go, after at most one read that may make the connection good for another request."""
        with contextlib.suppress(SourceError, *FOREIGN):
            self.open_body().readinto(memoryview(bytearray(_SKIP_BYTES)))
        self._release()

    def _release(self) -> None:
        with self._lock:
            self._drop_handle()  # before the connection goes back to the pool, where it may become somebody else's
        raw, self._raw = self._raw, None
        if raw is None:
            return
        with contextlib.suppress(*FOREIGN):
            if self._body is not None and self._body.ended:
                _answer_of(raw).close()  # its stream, not the connection
            else:
                raw.close()
            raw.release_conn()

    @property
    def _answer(self) -> netguard.GuardedResponse:
        assert self._raw is not None  # noqa: S101 - only between ask and close
        return _answer_of(self._raw)


def _answer_of(raw: urllib3.HTTPResponse) -> netguard.GuardedResponse:
    """The connection's own answer: urllib3's, around it, cannot put just what is there into a buffer."""
    return cast("netguard.GuardedResponse", raw._original_response)  # noqa: SLF001
