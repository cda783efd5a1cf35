"""A real store behind a door that refuses what a test tells it to, as Amazon's does: keys that expire, SlowDown."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.s3.scripted import Answer, Asked
from tests.s3.server import S3Server

Refuses = Callable[[Asked], Answer | None]
"""What a request is answered in the store's place; None to let it through."""
_NOT_PASSED_ON = ("connection", "transfer-encoding", "keep-alive")


class RefusingStore:
    """Passes requests on, but for those that `refuses` has an answer to; `asked` counts those that came."""

    def __init__(self, store: S3Server) -> None:
        self._store = store
        self.refuses: Refuses = lambda _: None
        self.asked = 0
        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def serving(self) -> Iterator[RefusingStore]:
        """Answer, for as long as the context lasts."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def answer(self, asked: Asked) -> Answer:
        """What comes of a request."""
        with self._lock:
            self.asked += 1
            refusal = self.refuses(asked)
        return refusal or self._pass_on(asked)

    def _pass_on(self, asked: Asked) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._store.port, timeout=60)
        try:
            connection.request(asked.method, asked.path, asked.body, {**asked.headers, "Connection": "close"})
            got = connection.getresponse()
            headers = {name: value for name, value in got.getheaders() if name.lower() not in _NOT_PASSED_ON}
            return Answer(status=got.status, body=got.read(), headers=headers)
        finally:
            connection.close()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        door = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = door.answer(Asked(self.command, self.path, dict(self.headers), body))
                self.send_response_only(answer.status)
                for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
