"""A server that speaks the wire and keeps everything in memory, with faults to order; on a thread of the test's."""

from __future__ import annotations

import base64
import email
import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage, Message
from email.policy import HTTP
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast

from tests.origin import Certificate

TOKEN = "a-token-of-the-tests"
PREFIX = "/ehealth-base/multipart/upload"
CHUNK_BYTES = 2**16


@dataclass
class StubUpload:
    """What it holds of one upload."""

    fields: Mapping[str, str]
    parts: dict[int, bytes] = field(default_factory=dict)
    completed: bool = False

    @property
    def content(self) -> bytes:
        return b"".join(self.parts[number] for number in sorted(self.parts))

    @property
    def md5s(self) -> dict[str, str]:
        return {str(number): md5(content) for number, content in self.parts.items()}


@dataclass(frozen=True)
class Fault:
    """What happens to a request instead of what should."""

    status: int = 0
    """0 resets the connection."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    after_bytes: int = 0
    """Of the request's body that are read before."""


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    kind: str
    path: str
    headers: Mapping[str, str]


class Stub:
    """The server; a context manager."""

    def __init__(self, certificate: Certificate | None = None) -> None:
        """With a certificate it speaks TLS."""
        self.uploads: dict[int, StubUpload] = {}
        self.seen: list[Seen] = []
        self.suggested = 10
        self.verdict: bool | None = True
        self.before: Callable[[str, int], None] = lambda _kind, _number: None
        """Called with the kind of each request, and the part it is about or 0, before it is answered."""
        self._faults: dict[str, list[Fault]] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"stub": self}))
        self._server.daemon_threads = True
        self._scheme = "https" if certificate else "http"
        if certificate:
            context = certificate.server_context()
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Listen no longer; may be repeated."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def fail(self, kind: str, *faults: Fault) -> None:
        """Let the next requests of that kind (begin, resume, part, complete, abort, file) end so."""
        with self._lock:
            self._faults.setdefault(kind, []).extend(faults)

    def stop_failing(self) -> None:
        """Forget all faults that nobody has met yet."""
        with self._lock:
            self._faults.clear()

    def kinds(self) -> list[str]:
        """The requests so far."""
        return [seen.kind for seen in self.seen]

    def next_fault(self, seen: Seen) -> Fault | None:
        with self._lock:
            self.seen.append(seen)
            faults = self._faults.get(seen.kind)
            return faults.pop(0) if faults else None

    def begin(self, fields: Mapping[str, str]) -> dict[str, Any]:
        for number, upload in self.uploads.items():
            if upload.completed and fields.get("md5") and upload.fields.get("md5") == fields["md5"]:
                return {"fileId": number, "suggestedChunkSize": self.suggested, "completed": True, **self.file(number)}
        with self._lock:
            number = 100 + len(self.uploads)
            self.uploads[number] = StubUpload(dict(fields))
        return {"fileId": number, "suggestedChunkSize": self.suggested}

    def resume(self, number: int) -> dict[str, Any]:
        upload = self.uploads[number]
        done = {"completed": True, **self.file(number)} if upload.completed else {}
        return {"fileId": number, "suggestedChunkSize": self.suggested, **done, "parts": upload.md5s}

    def file(self, number: int) -> dict[str, Any]:
        upload = self.uploads[number]
        return {
            "fileId": number,
            "id": f"f{number}",
            "fileName": upload.fields["fileName"],
            "size": len(upload.content),
            "url": f"/files/f{number}/content",
            "parts": upload.md5s,
        }


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def problem(status: int, code: str, detail: str, **more: Any) -> bytes:
    title = HTTPStatus(status).phrase
    return json.dumps({"title": title, "status": status, "code": code, "detail": detail, **more}).encode()


def _name(part: Message) -> str:
    return str(part.get_param("name", header="content-disposition"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: Stub

    def do_POST(self) -> None:
        with suppress(ConnectionError):
            fields = self._fields(self.rfile.read(self._length))
            option = fields["option"]
            kind = option if option != "initiate" else "resume" if "fileId" in fields else "begin"
            if not self._is_faulty(kind):
                self.stub.before(kind, 0)
                self._answer_form(kind, fields)

    def do_PUT(self) -> None:
        with suppress(ConnectionError):
            match = re.fullmatch(rf"{PREFIX}/(\d+)/parts/(\d+)", self.path)
            assert match
            if not self._is_faulty("part"):
                self.stub.before("part", int(match[2]))
                self._put(int(match[1]), int(match[2]), self.rfile.read(self._length))

    def do_GET(self) -> None:
        with suppress(ConnectionError):
            if not self._is_faulty("file"):
                self.stub.before("file", 0)
                self._answer(200, json.dumps({"verified": self.stub.verdict}).encode())

    @property
    def _length(self) -> int:
        return int(self.headers["Content-Length"])

    def _fields(self, body: bytes) -> dict[str, str]:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        form = cast("EmailMessage", email.message_from_bytes(head + body, policy=HTTP))
        return {_name(part): cast("bytes", part.get_payload(decode=True)).decode() for part in form.iter_parts()}

    def _is_faulty(self, kind: str) -> bool:
        fault = self.stub.next_fault(Seen(kind, self.path, dict(self.headers)))
        if fault is None and self.command == "POST" and self.path != PREFIX:
            fault = Fault(404, body=b"<html>")
        if fault is None and self.headers["Authorization"] != f"Bearer {TOKEN}":
            fault = Fault(401, body=problem(401, "not_authenticated", "Invalid token."))
        if fault is None:
            return False
        left = min(fault.after_bytes, self._length if kind == "part" else 0)
        while left:
            left -= len(self.rfile.read(min(left, CHUNK_BYTES)))
        self.close_connection = True
        if fault.status:
            self._answer(fault.status, fault.body, fault.headers)
        else:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        return True

    def _answer_form(self, kind: str, fields: Mapping[str, str]) -> None:
        number = int(fields.get("fileId", 0))
        if kind != "begin" and number not in self.stub.uploads:
            self._answer(404, problem(404, "no_such_upload", "There is no such upload."))
        elif kind == "begin":
            self._answer(200, json.dumps(self.stub.begin(fields)).encode())
        elif kind == "resume":
            self._answer(200, json.dumps(self.stub.resume(number)).encode())
        elif kind == "abort":
            del self.stub.uploads[number]
            self._answer(200, json.dumps({"fileId": number, "aborted": True}).encode())
        else:
            self._complete(number, json.loads(fields["parts"]))

    def _put(self, number: int, part: int, content: bytes) -> None:
        if number not in self.stub.uploads:
            self._answer(404, problem(404, "no_such_upload", "There is no such upload."))
        elif base64.b64decode(self.headers["Content-MD5"]).hex() != md5(content):
            self._answer(422, problem(422, "md5_mismatch", "The part has another MD5."))
        else:
            self.stub.uploads[number].parts[part] = content
            self._answer(200, json.dumps({"fileId": number, "part": part, "md5string": md5(content)}).encode())

    def _complete(self, number: int, parts: Mapping[str, str]) -> None:
        upload = self.stub.uploads[number]
        if parts != upload.md5s or set(parts) != {str(n) for n in range(1, len(parts) + 1)}:
            self._answer(409, problem(409, "parts_differ", "The parts are not those that are stored."))
        else:
            upload.completed = True
            self._answer(200, json.dumps(self.stub.file(number)).encode())

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
