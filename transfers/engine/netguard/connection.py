"""The connections: each is made to an address that was judged, and can be ended by another thread at any moment."""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import requests
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util.timeout import Timeout

from transfers.engine.netguard.allowance import Allowance
from transfers.engine.netguard.url import check_url, place
from transfers.errors import AddressForbiddenError, SourceError, SourceInterruptedError, SourceUnreachableError

SocketAddress = tuple[Any, ...]
"""As `socket.connect` takes it: address, port, and for IPv6 flow and scope."""
Resolve = Callable[..., Iterable[tuple[int, int, int, str, SocketAddress]]]
"""A function that is called and answers as `socket.getaddrinfo`."""
STREAM_BUFFER_BYTES = 65536
"""What an answer's stream holds at most: enough that small chunks do not cost a system call each."""

SocketOptions = Iterable[tuple[int, int, int | bytes]]


@dataclass(frozen=True, slots=True)
class Guard:
    """Makes the connections: to addresses that are permitted and to nothing else."""

    allowance: Allowance
    resolve: Resolve = socket.getaddrinfo

    def connect(
        self, host: str, port: int, timeout_seconds: float | None, options: SocketOptions = ()
    ) -> socket.socket:
        """Connect to the first address of the host that takes the connection, all of them having been judged.

        The seconds are for all addresses together. AddressForbiddenError, SourceUnreachableError, or
        SourceInterruptedError where another try may help.
        """
        addresses = self._addresses(host, port)
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        failures: list[OSError] = []
        for untried, (family, address) in enumerate(addresses, start=-len(addresses)):
            # What is left is shared among those still to try, so that one dead address does not hide a live one.
            share = None if deadline is None else max((deadline - time.monotonic()) / -untried, 0.01)
            try:
                return _connected(family, address, share, options)
            except OSError as error:
                failures.append(error)
        most_telling = _most_telling(failures)
        raise connection_failure(most_telling, place(host, port)) from most_telling

    def _addresses(self, host: str, port: int) -> list[tuple[int, SocketAddress]]:
        """Every address of the host, without repetition, in the resolver's order."""
        try:
            answers = list(self.resolve(host, port, 0, socket.SOCK_STREAM))
        except UnicodeError as error:
            raise SourceUnreachableError(f"{host} is not a name that a host can have") from error
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise SourceInterruptedError(f"the name {host} cannot be looked up at the moment") from error
            raise SourceUnreachableError(f"the name {host} is not known") from error
        addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in answers))
        if not addresses:
            raise SourceUnreachableError(f"the name {host} has no address")
        if not all(self.allowance.permits(host, str(address[0])) for _, address in addresses):
            raise AddressForbiddenError(f"{host} leads to an address that is not public")
        return addresses


def _connected(
    family: int, address: SocketAddress, timeout_seconds: float | None, options: SocketOptions
) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in options:
            connection.setsockopt(*option)
        connection.settimeout(timeout_seconds)
        _announce(connection)
        connection.connect(address)
        _announce(connection)  # again: one that was not connecting yet could not be shut down
    except BaseException:
        connection.close()
        raise
    return connection


def _most_telling(failures: list[OSError]) -> OSError:
    """Silence may pass, so it comes first; a refusal is plain; a missing route says least."""
    for kind in (TimeoutError, ConnectionRefusedError):
        for failure in failures:
            if isinstance(failure, kind):
                return failure
    return failures[-1]


def connection_failure(error: OSError, where: str) -> SourceError:
    """What a failure to connect to `where` (host and port) is to a person."""
    if isinstance(error, TimeoutError):
        return SourceInterruptedError(f"no connection to {where} came about in time")
    if isinstance(error, ConnectionRefusedError):
        return SourceUnreachableError(f"connection refused by {where}")
    if isinstance(error, ssl.SSLCertVerificationError):
        return SourceUnreachableError(f"the certificate of {where} cannot be trusted: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return SourceUnreachableError(f"no TLS connection with {where}: {_tls_reason(error)}")
    if isinstance(error, ConnectionError):
        return SourceInterruptedError(f"connection closed by {where}")
    return SourceUnreachableError(f"{where} cannot be reached")


def _tls_reason(error: ssl.SSLError) -> str:
    return str(getattr(error, "reason", None) or "the handshake failed").replace("_", " ").lower()


class Watcher(Protocol):
    """Wants to be able to end a request, from another thread, wherever it is."""

    def __call__(self, handle: socket.socket, /, *, used: bool) -> None:
        """Take over a handle in the last one's place; `used` when its connection has served a request before.

        To shut it down ends the connection at once, connecting or connected. May raise, to end the request here.
        """


_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextlib.contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Give `watcher` a handle on every socket that a request of this thread in this block connects or uses again."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def _announce(connection: socket.socket, *, used: bool = False) -> None:
    """Hand out a duplicate: its number cannot be taken by another file while the watcher has it.

    Nor is it an SSLSocket, whose own shutdown would let the reading thread take ciphertext for the body.
    """
    watcher = _watcher.get()
    if watcher is not None:
        watcher(socket.fromfd(connection.fileno(), connection.family, connection.type), used=used)


class _HeadClock(io.RawIOBase):
    """The socket's bytes, against a deadline until the head of the answer is in: a time-out per byte would not end."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw = raw
        self._connection = connection
        self._timeout_seconds = connection.gettimeout()
        self._deadline = time.monotonic() + (self._timeout_seconds or math.inf)
        self._in_head = True
        self._is_cut = False

    def stop(self) -> None:
        """The head has been read: HTTPException unless it came to its end before the connection did."""
        self._in_head = False
        self._connection.settimeout(self._timeout_seconds)
        if self._is_cut:
            raise http.client.IncompleteRead(b"")

    @contextlib.contextmanager
    def not_waiting(self) -> Iterator[None]:
        """Let reads in the block fail rather than wait."""
        self._connection.settimeout(0)
        try:
            yield
        finally:
            self._connection.settimeout(self._timeout_seconds)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if not self._in_head:
            return self._raw.readinto(buffer)
        left_seconds = self._deadline - time.monotonic()
        if left_seconds <= 0:
            raise TimeoutError("the head of the answer takes too long")
        self._connection.settimeout(min(left_seconds, threading.TIMEOUT_MAX))
        count = self._raw.readinto(buffer)
        self._is_cut = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class GuardedResponse(http.client.HTTPResponse):
    """An answer whose head must arrive within the time in which a byte must."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._clock = _HeadClock(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._clock, STREAM_BUFFER_BYTES)

    def begin(self) -> None:
        """Read the head."""
        super().begin()
        self._clock.stop()

    def peek_now(self) -> bytes:
        """What has arrived and was not read, or some of it, without waiting."""
        try:
            with self._clock.not_waiting():
                return self.fp.peek()
        except OSError:
            return b""


class GuardedConnection(HTTPConnection):
    """A connection that the guard makes."""

    response_class = GuardedResponse

    def __init__(self, *args: Any, guard: Guard, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard = guard
        self._used = False

    def _new_conn(self) -> socket.socket:
        self._used = False
        timeout = Timeout.resolve_default_timeout(self.timeout)
        return self._guard.connect(self._dns_host, self.port, timeout, self.socket_options or ())

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request, over a connection that is there already or a new one."""
        if self.sock is not None and self._used:
            _announce(self.sock, used=True)
        super().request(*args, **kwargs)
        self._used = True


class GuardedTLSConnection(GuardedConnection, HTTPSConnection):
    """The same over TLS, for the name in the URL."""

    def connect(self) -> None:
        """Connect and shake hands."""
        try:
            super().connect()
        except (OSError, HTTPError) as error:
            cause = error if isinstance(error, OSError) else ssl.SSLError(str(error))
            raise connection_failure(cause, place(self.host, self.port)) from error
        if isinstance(self.sock, ssl.SSLSocket):
            # An end that TLS did not announce is a cut, not an end.
            self.sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]


class _Pool(HTTPConnectionPool):
    ConnectionCls = GuardedConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = GuardedTLSConnection


class GuardedAdapter(HTTPAdapter):
    """Lets a `requests.Session` reach what the guard permits, without proxies, verifying every certificate.

    Keeps up to `pool_size` idle connections for each host. Trusts the system's authorities (`SSL_CERT_FILE` and
    `SSL_CERT_DIR` replace them), those that requests ships, and the ones in `authorities`, a PEM file.
    """

    def __init__(self, guard: Guard, *, pool_size: int, authorities: str | None = None) -> None:
        self._guard = guard
        self._authorities = authorities
        super().__init__(pool_connections=64, pool_maxsize=pool_size)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools whose connections are guarded."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": self._pool, "https": self._tls_pool}

    def _pool(self, *args: Any, **kwargs: Any) -> _Pool:
        return _Pool(*args, **kwargs, guard=self._guard)

    def _tls_pool(self, *args: Any, **kwargs: Any) -> _TLSPool:
        return _TLSPool(*args, **kwargs, guard=self._guard, ssl_context=self._tls)

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        """One for all connections: to load the authorities takes longer than a handshake."""
        context = ssl.create_default_context()
        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
        if self._authorities is not None:
            context.load_verify_locations(self._authorities)
        return context

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave TLS to the one context, which was loaded once and always verifies."""

    def send(self, request: requests.PreparedRequest, *args: Any, **wishes: Any) -> requests.Response:
        """Send the request straight to its host, whatever proxies or laxness the caller wishes for."""
        check_url(str(request.url))
        return super().send(request, *args, **{**wishes, "verify": True, "cert": None, "proxies": None})
