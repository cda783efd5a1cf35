"""One lean client for all servers: bodies go from the page cache to the socket by sendfile, at next to no cost."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection

from benchmarks.upload.source import Piece, Source

TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Request:
    """What is asked; the body is sent in this order."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Sequence[Piece | bytes] = ()

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return sum(piece.size if isinstance(piece, Piece) else len(piece) for piece in self.body)


@dataclass(frozen=True)
class Answer:
    """What came back; anything but success ends the benchmark."""

    headers: Mapping[str, str]
    body: bytes


class Client:
    """A connection that is kept open."""

    def __init__(self, port: int, source: Source) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        self._connection.connect()
        self._source = source

    def abort(self) -> None:
        """Make what another thread sends or awaits fail at once."""
        if self._connection.sock is not None:
            with suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def ask(self, request: Request) -> Answer:
        """Send the request and read its answer."""
        connection = self._connection
        connection.putrequest(request.method, request.path, skip_accept_encoding=True)
        for name, value in {**request.headers, "Content-Length": str(request.size)}.items():
            connection.putheader(name, value)
        connection.endheaders()
        for piece in request.body:
            if isinstance(piece, Piece):
                connection.sock.sendfile(self._source.file, piece.offset, piece.size)
            else:
                connection.sock.sendall(piece)
        response = connection.getresponse()
        body = response.read()
        if not 200 <= response.status < 300:
            raise SystemExit(f"{request.method} {request.path} was answered {response.status}: {body[:500]!r}")
        return Answer({name.lower(): value for name, value in response.getheaders()}, body)


Lane = deque[Request]
"""What one connection sends, one after the other; a lane that several share is emptied by all of them."""


def send_all(port: int, source: Source, lanes: Sequence[Lane], last: Request | None) -> float:
    """Send each lane over a connection of its own, all at once, and then the last request; the seconds it took."""
    clients = [Client(port, source) for _ in lanes]
    with ExitStack() as closing, ThreadPoolExecutor(len(lanes)) as threads:
        for client in clients:
            closing.callback(client.close)
        began = time.perf_counter()
        sent = [threads.submit(_send, client, lane) for client, lane in zip(clients, lanes, strict=True)]
        try:
            for sending in sent:
                sending.result()
        except BaseException:  # nobody shall go on with a file that fails, nor when we are stopped
            for lane in lanes:
                lane.clear()
            for client in clients:
                client.abort()
            raise
        if last:
            clients[0].ask(last)
        return time.perf_counter() - began


def _send(client: Client, lane: Lane) -> None:
    while True:
        try:
            request = lane.popleft()
        except IndexError:
            return
        client.ask(request)
