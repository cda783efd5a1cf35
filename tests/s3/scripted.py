"""A store that answers what a test tells it to: for the failures that no real one can be brought to."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from transfers.engine.s3 import S3Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer; `drop` closes the connection in its place, before (False) or after (True) the request's body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool | None = None
    close: bool = False
    """Close the kept connection behind the answer, without a word."""


def refusal(status: int, code: str, message: str = "") -> Answer:
    """An S3 error."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status=status, body=body.encode(), headers={"Content-Type": "application/xml"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class ScriptedStore:
    """Gives its answers in turn, the last one for ever; `asked` are the requests, those that were dropped too."""

    def __init__(self, *answers: Answer) -> None:
        self.asked: list[Asked] = []
        self._answers = list(answers)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def place(self) -> S3Place:
        """A bucket in it."""
        return S3Place("bucket", "", f"http://127.0.0.1:{self._server.server_port}")

    @contextmanager
    def serving(self) -> Iterator[ScriptedStore]:
        """Answer, for as long as the context lasts."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def next_answer(self) -> Answer:
        """The answer to the next request."""
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        store = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                answer = store.next_answer()
                body = b"" if answer.drop is False else self.rfile.read(int(self.headers.get("Content-Length", 0)))
                store.asked.append(Asked(self.command, self.path, dict(self.headers), body))
                self.close_connection = self.close_connection or answer.close or answer.drop is not None
                if answer.drop is not None:
                    return
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
