"""A uvicorn protocol that lends a request's socket to the thread that reads its body.

Between a socket and a thread, uvicorn, the event loop and the bridge to WSGI copy each byte several times and wake each
other for every 64 KiB. A thread that reads the socket itself does without all that (`make bench-upload` measures it).
While the socket is lent the event loop does not read it; the answer goes out as always.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from config.edge import SILENCE_SECONDS, Application, CutOffError, Message, Receive, Scope, Send

StartResponse = Callable[..., object]
WSGIApplication = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]
BODY = "carryon.body"
"""Where the scope has the borrowed body."""
LENDER = "carryon.lender"
"""The scope's extension that lends; absent with TLS, whose bytes only the event loop can read."""
CYCLE = "carryon.cycle"
"""Beside it: the server's own record of the request, which is not the protocol's once another one has come behind."""
CHUNK_BYTES = 2**18
DRAIN_SECONDS = 10.0
"""How long the rest of a refused body is read, so that its sender hears why, before the connection is closed."""
QUIET_SECONDS = 0.5
"""Who sends nothing of a refused body for so long waits to hear why."""


class DirectProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose request bodies can be read from the socket by a thread."""

    borrowed: BorrowedBody | None = None

    def on_headers_complete(self) -> None:
        """Offer to lend the socket to whoever answers this request, behind which others may come before it is."""
        super().on_headers_complete()
        if self.scheme == "http" and self.cycle is not None and self.cycle.scope is self.scope:
            cast("Scope", self.scope)["extensions"] = {LENDER: self, CYCLE: self.cycle}

    def lend(self, cycle: RequestResponseCycle, size: int) -> BorrowedBody:
        """Lend the socket for the body, of `size` bytes, of the request of this cycle; in the event loop."""
        self.borrowed = BorrowedBody(self, cycle, size)
        return self.borrowed

    def restart_parser(self) -> None:
        """Begin with the next request: what the parser still awaits of this one was read beside it."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake the thread that reads."""
        super().connection_lost(exc)
        if self.borrowed is not None:
            self.borrowed.abort()


class BorrowedBody:
    """A request's body of a known size, read from its socket by one thread; nothing is taken before the first read.

    `read` gives what WSGI asks for; `read1` and `readinto` give what is there, at least a byte, and nothing at the end
    only. CutOffError when the client leaves, or is silent for a minute, before the end.
    """

    def __init__(self, protocol: DirectProtocol, cycle: RequestResponseCycle, size: int) -> None:
        self._protocol, self._cycle = protocol, cycle
        self._loop = asyncio.get_running_loop()
        self._left = size
        self._ahead = memoryview(b"")
        self._socket: socket.socket | None = None
        self._taken = self._aborted = False

    def read(self, size: int = -1) -> bytes:
        """All of the next `size` bytes; of all that are left, for a negative one."""
        wanted = self._left if size < 0 else min(size, self._left)
        pieces = []
        while wanted:
            pieces.append(self.read1(wanted))
            wanted -= len(pieces[-1])
        return b"".join(pieces)

    def read1(self, size: int = CHUNK_BYTES) -> bytes:
        """The next bytes, up to `size`, as soon as there are any."""
        self._take()
        if self._ahead or not self._left:
            return bytes(self._from_ahead(size))
        with _cut_off():
            chunk = self._own_socket().recv(min(size, self._left))
        self._count(len(chunk))
        return chunk

    def readinto(self, buffer: memoryview) -> int:
        """Fill the start of the buffer with the next bytes as soon as there are any."""
        self._take()
        if self._ahead or not self._left:
            chunk = self._from_ahead(len(buffer))
            buffer[: len(chunk)] = chunk
            return len(chunk)
        with _cut_off():
            count = self._own_socket().recv_into(buffer[: self._left])
        self._count(count)
        return count

    def readline(self, size: int = -1) -> bytes:
        """The next line; for WSGI, whose users read the whole anyway."""
        line = b""
        while not line.endswith(b"\n") and len(line) != size and (byte := self.read(1)):
            line += byte
        return line

    def drain(self) -> None:
        """Read and drop the rest, for a while, if the body was begun: its sender would hear of no answer otherwise."""
        deadline = time.monotonic() + DRAIN_SECONDS
        if self._socket is not None:
            self._socket.settimeout(QUIET_SECONDS)
        with suppress(OSError):
            while self._taken and self._left and time.monotonic() < deadline:
                self.read1()

    def settle(self) -> None:
        """Close the connection behind the answer if a rest was left that nobody will read; in the event loop."""
        if self._taken and self._left:
            self._cycle.keep_alive = False

    def abort(self) -> None:
        """Make the thread's reads fail at once; from any thread."""
        self._aborted = True
        if (lent := self._socket) is not None:
            with suppress(OSError):
                lent.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the socket back for good."""
        self._aborted = True
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _take(self) -> None:
        if not self._taken:
            self._taken = True
            asyncio.run_coroutine_threadsafe(self._borrow(), self._loop).result()

    async def _borrow(self) -> None:
        """Stop the event loop from reading; what it has read already comes first."""
        protocol, cycle = self._protocol, self._cycle
        if cycle.disconnected:
            raise CutOffError("the client is gone")
        protocol.flow.pause_reading()
        if cycle.waiting_for_100_continue:
            protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        self._ahead = memoryview(bytes(cycle.body))
        cycle.body = bytearray()
        if cycle.more_body:
            lent = protocol.transport.get_extra_info("socket").fileno()
            self._socket = socket.socket(fileno=os.dup(lent))
            self._socket.settimeout(SILENCE_SECONDS)

    def _from_ahead(self, size: int) -> memoryview:
        chunk, self._ahead = self._ahead[:size], self._ahead[size:]
        self._left -= len(chunk)
        return chunk

    def _count(self, count: int) -> None:
        if not count:
            raise CutOffError(f"{self._left} bytes are missing")
        self._left -= count
        if not self._left:
            self._loop.call_soon_threadsafe(self._give_back)

    def _give_back(self) -> None:
        self._cycle.more_body = False
        if not self._cycle.disconnected:
            self._protocol.restart_parser()

    def _own_socket(self) -> socket.socket:
        if self._socket is None or self._aborted:
            raise CutOffError("the connection is closed")
        return self._socket


class _cut_off:  # noqa: N801 - a context manager in the place of a function, without a generator for every chunk
    """Tell a failing socket as what it is to the body."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, TimeoutError):
            raise CutOffError(f"nothing came for {SILENCE_SECONDS:.0f} s") from None
        if isinstance(error, OSError):
            raise CutOffError("the client is gone") from None


def lending(http: Application) -> Application:
    """Borrow the socket for every body that the server would have to carry to a thread of `http` piece by piece."""

    async def borrowing(scope: Scope, receive: Receive, send: Send) -> None:
        extensions = scope.get("extensions", {})
        lender: DirectProtocol | None = extensions.get(LENDER)
        size = next((int(value) for name, value in scope["headers"] if name.lower() == b"content-length"), 0)
        if lender is None or not size:
            await http(scope, receive, send)
            return
        body = scope[BODY] = lender.lend(extensions[CYCLE], size)

        async def settling(message: Message) -> None:
            if message["type"] == "http.response.start":
                body.settle()
            await send(message)

        try:
            await http(scope, receive, settling)
        except BaseException:  # the server leaves, and the thread must not wait for a client
            body.abort()
            raise

    return borrowing


def reading_directly(wsgi: WSGIApplication) -> WSGIApplication:
    """Let the WSGI application read the borrowed body in place of the bridge's."""

    def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        body: BorrowedBody | None = environ.get("asgi.scope", {}).get(BODY)
        if body is None:
            return wsgi(environ, start_response)

        def start_after_the_rest(status: str, headers: list[tuple[str, str]], *rest: Any) -> object:
            body.drain()
            return start_response(status, headers, *rest)

        environ["wsgi.input"] = body
        try:
            return wsgi(environ, start_after_the_rest)
        finally:
            body.close()

    return application
