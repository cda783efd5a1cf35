"""Sends files to clients at their own pace, with no thread and no memory for the slow ones.

A view's slices of an open file are taken off Django's response before the bridge would carry them out of a thread of
its own, chunk by chunk, for as long as the client takes. The kernel moves them from the file to the socket instead
(`os.sendfile`), called by one of a few threads, which wait for disks, but for no client. Where there is no plain
socket to be had, the server gets one chunk after the other.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any, TypeVar

import structlog
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from config.direct import LENDER, DirectProtocol, StartResponse, WSGIApplication
from config.edge import Application, CutOffError, Message, Receive, Scope, Send
from transfers import tally
from transfers.services.stored_file import FileRange, ShortFileError
from transfers.views.slices import Run, Slices

log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")
SLICES = "carryon.slices"
"""Where the scope has what is to be sent in place of a body."""
TURN_BYTES = 2**24
"""How much one client may take while others wait for a thread."""
STALL_SECONDS = 300.0
"""How long a client may take nothing at all, as one does whose user paused it, before it is left."""
_FIRST = asyncio.FIRST_COMPLETED
_threads = ThreadPoolExecutor(8, thread_name_prefix="sending")
_makers = ThreadPoolExecutor(16, thread_name_prefix="making")
"""Where runs come from that are made while they are sent: these wait for stores, and hold up nobody who sends files."""


class GoneError(ConnectionError):
    """The client takes no more."""


def handing_over(wsgi: WSGIApplication) -> WSGIApplication:
    """Take the slices off the WSGI application's answer, and leave them in the scope that the request came from."""

    def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        response = wsgi(environ, start_response)
        slices: Slices | None = getattr(response, "slices", None)
        if slices is not None and "asgi.scope" in environ:
            environ["asgi.scope"][SLICES] = slices.take()
        return response

    return application


def sending(http: Application) -> Application:
    """Send the slices that `http` leaves in the scope, where its body would begin."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_slices(message: Message) -> None:
            slices: Slices | None = scope.pop(SLICES, None) if message["type"] == "http.response.body" else None
            if slices is None or await _sent(slices, scope, receive, send):
                await send(message)

        try:
            await http(scope, receive, send_slices)
        finally:
            if left := scope.pop(SLICES, None):
                left.close()

    return application


async def _sent(slices: Slices, scope: Scope, receive: Receive, send: Send) -> bool:
    """Send all of it; False when the client left before the end, or had to be left."""
    leaving = asyncio.ensure_future(_until_gone(receive))
    with closing(_delivery(slices, scope, send, leaving)) as delivery:
        try:
            await delivery.run()
        except GoneError:
            return False
        finally:
            leaving.cancel()
    return True


async def _until_gone(receive: Receive) -> None:
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    except CutOffError:
        pass


def _delivery(slices: Slices, scope: Scope, send: Send, leaving: asyncio.Future[None]) -> _Delivery:
    lender: DirectProtocol | None = scope.get("extensions", {}).get(LENDER)
    if lender is None or lender.cycle.scope is not scope or not hasattr(os, "sendfile"):  # the next request is there
        return _Delivery(slices, send, leaving)
    return _DirectDelivery(slices, send, leaving, lender, lender.cycle)


class _Delivery:
    """A client's slices on their way, as chunks that the server takes when it can."""

    def __init__(self, slices: Slices, send: Send, leaving: asyncio.Future[None]) -> None:
        self._slices = slices
        self._send = send
        self._leaving = leaving
        self._turn: Future[Any] | None = None

    async def run(self) -> None:
        """Send all of it; GoneError when the client is gone, OSError when the file fails."""
        runs = self._slices.runs()
        while (run := await self._next(runs)) is not None:
            if isinstance(run, bytes):
                await self._send_bytes(run)
            else:
                await self._send_range(run)

    async def _next(self, runs: Iterator[Run]) -> Run | None:
        return await self._in_thread(_makers, next, runs, None) if self._slices.blocking else next(runs, None)

    def close(self) -> None:
        """Close everything, as soon as no thread is at it."""
        if self._turn is None or self._turn.done():
            self._close()
        else:
            self._turn.add_done_callback(lambda _: self._close())

    def _close(self) -> None:
        self._slices.close()

    async def _send_bytes(self, piece: bytes) -> None:
        if self._leaving.done():
            raise GoneError
        async with asyncio.timeout(STALL_SECONDS):  # a piece is small: who takes none of it for so long is gone
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def _send_range(self, run: FileRange) -> None:
        offset = run.start
        while offset < run.end:
            chunk = await self._in_thread(_threads, run.read, offset)
            await self._send_bytes(chunk)
            tally.add("bytes_moved", len(chunk), kind="sent")
            offset += len(chunk)

    async def _in_thread(
        self, threads: ThreadPoolExecutor, function: Callable[..., ResultT], *arguments: object
    ) -> ResultT:
        self._turn = threads.submit(function, *arguments)
        return await asyncio.wrap_future(self._turn)


class _DirectDelivery(_Delivery):
    """A client's slices on their way from file to socket within the kernel."""

    def __init__(
        self,
        slices: Slices,
        send: Send,
        leaving: asyncio.Future[None],
        protocol: DirectProtocol,
        cycle: RequestResponseCycle,
    ) -> None:
        super().__init__(slices, send, leaving)
        self._flow, self._transport, self._cycle = protocol.flow, protocol.transport, cycle
        self._socket = -1

    async def run(self) -> None:
        """Send all of it; GoneError when the client is gone, or its connection had to be closed."""
        try:
            if self._gone():
                raise GoneError
            # A descriptor of our own: the server may close its own, and the system give its number to somebody else.
            self._socket = os.dup(self._transport.get_extra_info("socket").fileno())
            await super().run()
        except OSError as error:
            if not isinstance(error, ConnectionError):  # only an end that comes too early tells the client
                log.warning("a file was not sent to its end", error=str(error))
            if not self._gone():
                self._transport.abort()
            await self._leaving
            raise GoneError from None

    def _close(self) -> None:
        super()._close()
        if self._socket >= 0:
            os.close(self._socket)

    async def _send_range(self, run: FileRange) -> None:
        await self._empty_the_server()
        offset = run.start
        while offset < run.end:
            count = await self._in_thread(_threads, _fill, self._socket, run, offset)
            self._cycle.expected_content_length -= count  # the server counts what it believes to be still to come
            tally.add("bytes_moved", count, kind="sent")
            offset += count
            if offset < run.end:
                await self._until_writable()

    async def _empty_the_server(self) -> None:
        """Wait until the server has no bytes of the answer left that must go before ours."""
        if self._gone():
            raise GoneError
        self._transport.set_write_buffer_limits(high=0)
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await self._flow.drain()
        finally:
            if not self._gone():
                self._transport.set_write_buffer_limits()
        if self._gone():
            raise GoneError

    async def _until_writable(self) -> None:
        """Wait until the socket takes more; TimeoutError when the client has taken nothing for long."""
        loop = asyncio.get_running_loop()
        writable = loop.create_future()
        loop.add_writer(self._socket, _finish, writable)
        try:
            untaken = _untaken_bytes(self._socket)
            while not (await asyncio.wait((writable, self._leaving), timeout=STALL_SECONDS, return_when=_FIRST))[0]:
                before, untaken = untaken, _untaken_bytes(self._socket)
                if untaken >= before:
                    raise TimeoutError(f"the client took nothing for {STALL_SECONDS:.0f} s")
        finally:
            loop.remove_writer(self._socket)
        if self._leaving.done():
            raise GoneError

    def _gone(self) -> bool:
        return bool(self._cycle.disconnected or self._transport.is_closing())


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fill(socket: int, run: FileRange, start: int) -> int:
    """Move the run's bytes from `start` on to the socket until it takes no more, or for one turn; how many it took."""
    offset, end = start, min(run.end, start + TURN_BYTES)
    while offset < end:
        try:
            count = os.sendfile(socket, run.file.fileno(), offset, end - offset)
        except BlockingIOError:
            break
        if not count:
            raise ShortFileError(f"the file has no byte {offset} any more")
        offset += count
    return offset - start


def _untaken_bytes(socket: int) -> int:
    """Bytes that the kernel holds and the client has not acknowledged."""
    count: int = struct.unpack("i", fcntl.ioctl(socket, termios.TIOCOUTQ, bytes(4)))[0]
    return count
