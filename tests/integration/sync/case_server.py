"""A case API of somebody else's, on a free port: it answers what it is told to, and keeps what it was asked."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Exchange(BaseHTTPRequestHandler):
    """One request, and the ways to answer it."""

    protocol_version = "HTTP/1.1"
    api: CaseServer

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_GET  # noqa: N815 - the server looks for it

    def say(self, status: int, body: Any = None, **headers: str) -> None:
        """Answer with JSON, or with these very bytes."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        with suppress(OSError):  # who has heard enough hangs up
            self.wfile.write(content)

    def drip(self, content: bytes, pause: float) -> None:
        """Answer with these bytes, one after the other."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(OSError):
            for byte in content:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                if self.api.closing.wait(pause):
                    return

    def hang_up(self, content: bytes = b"") -> None:
        """Go away after these bytes."""
        with suppress(OSError):
            self.wfile.write(content)
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def wait(self, seconds: float) -> None:
        """Say nothing for this long, or until the test is over."""
        self.api.closing.wait(seconds)

    def log_message(self, *_: object) -> None:
        """Quietly."""

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        asked = Asked(self.command, self.path, dict(self.headers), body)
        with self.api.lock:
            self.api.asked.append(asked)
            number = len(self.api.asked) - 1
        answers = self.api.answers
        answers[min(number, len(answers) - 1)](self)


Answer = Callable[[Exchange], None]


@dataclass
class CaseServer:
    """The server; of its answers each is given once, and the last one for ever."""

    url: str
    answers: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True


@contextmanager
def case_server() -> Iterator[CaseServer]:
    """Run one for as long as the context lasts."""
    with _Server(("127.0.0.1", 0), Exchange) as server:
        api = CaseServer(f"http://127.0.0.1:{server.server_address[1]}")
        server.RequestHandlerClass = type("Handler", (Exchange,), {"api": api})
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield api
        finally:
            api.closing.set()
            server.shutdown()
            serving.join()
