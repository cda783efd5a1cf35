"""A trustless gateway on a port of this machine: blocks by identifier, with faults on demand."""

from __future__ import annotations

import contextlib
import enum
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from tests.ipfs.dag import Dag


class Fault(enum.Enum):
    """Ways to answer wrongly."""

    FORGED = "other bytes of the same length"
    FORGED_ONCE = "other bytes, the first time"
    CUT = "fewer bytes than announced"
    SHORT = "fewer bytes, and says so"
    ENDLESS = "bytes without end"
    MISSING = "404"
    BUSY = "503 with a time to come back"
    PAGE = "a page for people"
    NONSENSE = "no HTTP"
    SILENT = "nothing"
    DRIPPING = "a byte now and then"


class TrustlessGateway:
    """Serves the blocks of `dag`; a context manager."""

    def __init__(self, dag: Dag | None = None) -> None:
        self.dag = dag or Dag()
        self.asked: Counter[str] = Counter()
        """How often each block was asked for."""
        self.accepts: set[str] = set()
        self.authorizations: set[str | None] = set()
        self.bytes_sent = 0
        self.faults: dict[str, Fault] = {}
        """By block; "" stands for all others."""
        self.pause_seconds = 0.0
        self.held = threading.Event()
        self.holding: Callable[[str], bool] = lambda _: False
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._server.shutdown()
        self._server.close()
        self._thread.join()

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        name = self._named(request)
        with self._lock:
            self.asked[name] += 1
            self.accepts.add(request.headers.get("Accept", ""))
            self.authorizations.add(request.headers.get("Authorization"))
        self._end.wait(self.pause_seconds)
        if self.holding(name):
            self.held.set()
            self._end.wait()
        fault = self.faults.get(name, self.faults.get(""))
        if fault is not None and not (fault is Fault.FORGED_ONCE and self.asked[name] > 1):
            self._misbehave(request, self.dag.blocks.get(name, b""), fault)
        elif name in self.dag.blocks:
            self._send(request, self.dag.blocks[name])
        else:
            request.send_error(404)

    def _named(self, request: BaseHTTPRequestHandler) -> str:
        parts = urlsplit(request.path)
        return parts.path.removeprefix("/ipfs/") if parts.query == "format=raw" else parts.path

    def _send(self, request: BaseHTTPRequestHandler, block: bytes, length: int | None = None) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "application/vnd.ipld.raw")
        request.send_header("Content-Length", str(len(block) if length is None else length))
        request.end_headers()
        request.wfile.write(block)
        with self._lock:
            self.bytes_sent += len(block)

    def _misbehave(self, request: BaseHTTPRequestHandler, block: bytes, fault: Fault) -> None:
        if fault in (Fault.FORGED, Fault.FORGED_ONCE):
            self._send(request, bytes([block[0] ^ 1, *block[1:]]))
        elif fault is Fault.CUT:
            request.close_connection = True
            self._send(request, block[: len(block) // 2], len(block))
        elif fault is Fault.SHORT:
            self._send(request, block[:-1])
        elif fault is Fault.ENDLESS:
            self._pour(request)
        elif fault is Fault.PAGE:
            self._send(request, b"<!doctype html><title>Sign in</title>")
        elif fault is Fault.NONSENSE:
            request.close_connection = True
            request.wfile.write(b"block\r\n\r\n" + block)
        elif fault is Fault.DRIPPING:
            self._drip(request)
        elif fault is Fault.SILENT:
            self._end.wait()
        else:
            request.send_response(404 if fault is Fault.MISSING else 503)
            request.send_header("Content-Length", "0")
            request.send_header("Retry-After", "1")
            request.end_headers()

    def _drip(self, request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        request.send_response(200)
        request.end_headers()
        while not self._end.wait(0.1):
            request.wfile.write(b"\0")

    def _pour(self, request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        request.send_response(200)
        request.end_headers()
        while not self._end.is_set():
            request.wfile.write(bytes(65_536))
            with self._lock:
                self.bytes_sent += 65_536
            time.sleep(0.001)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._connections: list[socket.socket] = []

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.append(request)
        super().process_request(request, client_address)

    def close(self) -> None:
        """End with no thread left, also where a client keeps its connection."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is no fault of the gateway's."""


def _handler(gateway: TrustlessGateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            gateway.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
