"""What a client of uploads does: the steps of the contract, and requests that no proper client would send."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any, Self
from urllib.parse import urlsplit

import requests

from tests.chaos import Ending

PATH = "/ehealth-base/multipart/upload"
ANSWER_SECONDS = 60
BOUNDARY = "----carryon-test-7MA4YWxkTrZu0gW"
PROBLEM = "application/problem+json"


def md5(content: bytes) -> str:
    """The MD5 of the bytes, as lowercase hex."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def md5s(parts: Mapping[int, bytes]) -> dict[int, str]:
    """What `complete` is told of these parts."""
    return {number: md5(content) for number, content in parts.items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; AssertionError from `problem` and `data` when it is not of that kind."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    seconds: float = 0

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of it."""
        parsed: dict[str, Any] = json.loads(self.content)
        return parsed

    @property
    def data(self) -> dict[str, Any]:
        """What a success carries."""
        assert self.status == 200, (self.status, self.content[:500])
        return self.body

    def problem(self, status: int, code: str) -> dict[str, Any]:
        """What the refusal of this status and code tells."""
        assert (self.status, self.headers["Content-Type"]) == (status, PROBLEM), self.content[:500]
        assert self.body["code"] == code, self.body
        assert self.body["status"] == status
        return self.body


@dataclass(frozen=True, slots=True)
class File:
    """A file among the fields of a form; no name at all for None."""

    content: bytes
    name: str | None = "film.mov"
    content_type: str | None = "video/quicktime"

    @property
    def headers(self) -> bytes:
        """What its field's headers say beside the field's name."""
        name = "" if self.name is None else f'; filename="{self.name}"'
        kind = "" if self.content_type is None else f"\r\nContent-Type: {self.content_type}"
        return (name + kind).encode()


def told_of(answer: Answer) -> dict[str, Any]:
    """What a success carries, but the MD5 of the whole, which is told as soon as a worker has found it out."""
    return {name: value for name, value in answer.data.items() if name != "md5"}


Field = tuple[str, object]


@dataclass(frozen=True, slots=True)
class Form:
    """A form's bytes, field by field in their order, well-formed unless told otherwise."""

    fields: Sequence[Field]
    preamble: bytes = b""
    end: bytes = b"--\r\n"
    """What follows the last boundary."""
    boundary: str = BOUNDARY

    @property
    def content_type(self) -> str:
        """The header that goes with it."""
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def pieces(self) -> list[bytes]:
        """The bytes, in pieces between which nothing but one thing stands."""
        pieces = [self.preamble] if self.preamble else []
        for name, value in self.fields:
            headers = value.headers if isinstance(value, File) else b""
            content = value.content if isinstance(value, File) else str(value).encode()
            pieces += [f"--{self.boundary}\r\n".encode()]
            pieces += [f'Content-Disposition: form-data; name="{name}"'.encode() + headers + b"\r\n\r\n"]
            pieces += [content, b"\r\n"]
        return [*pieces, f"--{self.boundary}".encode(), self.end]

    def encode(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)


def part_form(upload: int, number: object, content: bytes, **fields: object) -> Form:
    """The form that sends a part, its file last, as browsers are told to."""
    return Form([("fileId", upload), ("part", number), *fields.items(), ("file", File(content, "blob"))])


@dataclass
class Uploads:
    """One user of a running service who sends files."""

    url: str
    token: str
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.token:
            self.headers = {"Authorization": f"Bearer {self.token}", **self.headers}

    @property
    def address(self) -> str:
        """The one address of the contract."""
        return self.url + PATH

    # The steps

    def post(self, form: Form, **headers: str) -> Answer:
        """Send a form."""
        return self.ask("POST", "", data=form.encode(), headers={"Content-Type": form.content_type, **headers})

    def step(self, option: str, **fields: object) -> Answer:
        """Take a step that brings no bytes."""
        return self.post(Form([("option", option), *fields.items()]))

    def initiate(self, name: str = "film.mov", catalog: str = "other-doc", **fields: object) -> Answer:
        """Initiate as a browser does: with an empty file that has a name."""
        file = File(b"", name)
        return self.post(Form([("option", "initiate"), ("catalog", catalog), *fields.items(), ("file", file)]))

    def begin(self, name: str = "film.mov", catalog: str = "other-doc", **fields: object) -> int:
        """The id of a new upload."""
        return int(self.initiate(name, catalog, **fields).data["fileId"])

    def resume(self, upload: int) -> Answer:
        """Ask which parts are stored, as the contract has it: by initiating again."""
        return self.step("initiate", fileId=upload)

    def part(self, upload: int, number: object, content: bytes, **fields: object) -> Answer:
        """Send a part by form."""
        return self.post(part_form(upload, number, content, **fields))

    def put(self, upload: int, number: object, content: bytes, *, content_md5: str = "") -> Answer:
        """Send a part as the body of a request, with its MD5 (hex) if one is given."""
        headers = {"Content-MD5": base64.b64encode(bytes.fromhex(content_md5)).decode()} if content_md5 else {}
        return self.ask("PUT", f"/{upload}/parts/{number}", data=content, headers=headers)

    def complete(self, upload: int, parts: Mapping[int, str] | str) -> Answer:
        """Complete it of these parts, MD5s by number, or of whatever text is given."""
        return self.step("complete", fileId=upload, parts=parts if isinstance(parts, str) else json.dumps(parts))

    def abort(self, upload: int) -> Answer:
        """End it."""
        return self.step("abort", fileId=upload)

    def state(self, upload: int) -> Answer:
        """Everything about it."""
        return self.ask("GET", f"/{upload}")

    # More than a step

    def stored(self, upload: int) -> dict[int, str]:
        """The parts that are stored."""
        return {int(number): each for number, each in self.state(upload).data["parts"].items()}

    def send(self, upload: int, parts: Mapping[int, bytes], connections: int = 1) -> dict[int, str]:
        """Send these parts, so many at once; AssertionError unless each is answered with its MD5."""
        with ThreadPoolExecutor(connections) as pool:
            in_turn = map if connections == 1 else pool.map
            answers = list(in_turn(lambda number: self.part(upload, number, parts[number]).data, parts))
        told = {answer["part"]: answer["md5string"] for answer in answers}
        assert told == md5s(parts)
        return told

    def finished(self, upload: int, parts: Mapping[int, str]) -> dict[str, Any]:
        """Complete it, and give what is told of the file."""
        return self.complete(upload, parts).data

    def upload(self, content: bytes, name: str = "film.mov", catalog: str = "other-doc", **fields: object) -> Any:
        """Send a file of one part; what is told of it."""
        upload = self.begin(name, catalog, **fields)
        return self.finished(upload, self.send(upload, {1: content}))

    def content(self, told: Mapping[str, Any]) -> bytes:
        """The bytes of a finished file, from where its answer says that they are."""
        reply = requests.get(told["url"], headers=self.headers, timeout=ANSWER_SECONDS)
        assert reply.status_code == 200, reply.text[:500]
        return reply.content

    def ask(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, data: bytes = b"") -> Answer:
        """Send a request to the address, or below it."""
        began = time.monotonic()
        reply = requests.request(
            method,
            self.address + path,
            headers={**self.headers, **(headers or {})},
            data=data,
            timeout=ANSWER_SECONDS,
            allow_redirects=False,
        )
        return Answer(reply.status_code, reply.headers, reply.content, time.monotonic() - began)

    # Below HTTP

    def request(self, form: Form, **headers: str) -> list[bytes]:
        """The bytes of the POST that sends the form, in pieces: the request line, each header, then the form's."""
        body = form.pieces
        size = sum(map(len, body))
        return [*self.head("POST", PATH, size, **{"Content-Type": form.content_type, **headers}), *body]

    def head(self, method: str, path: str, size: int, **headers: str) -> list[bytes]:
        """The lines before a body of so many bytes."""
        told = {"Host": urlsplit(self.url).netloc, **self.headers, "Content-Length": str(size), **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), ""]
        return [f"{line}\r\n".encode() for line in lines]

    @contextmanager
    def wire(self) -> Iterator[Wire]:
        """A connection to send what one likes on."""
        with Wire(self.url) as wire:
            yield wire


class Wire:
    """A connection to the service; a context manager."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> Self:
        parts = urlsplit(self._url)
        self.socket = socket.create_connection((parts.hostname, parts.port), ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self.socket.makefile("rb")
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self.socket.close()

    def send(self, *pieces: bytes) -> None:
        """Send these bytes, which may be in vain."""
        self.socket.sendall(b"".join(pieces))

    def try_to_send(self, content: bytes) -> bool:
        """Send these bytes unless the other side has ended the connection; whether it has not."""
        with suppress(ConnectionError):
            self.socket.sendall(content)
            return True
        return False

    def cut(self, ending: Ending) -> None:
        """End the connection from our side."""
        if ending is Ending.HALF_CLOSE:
            self.socket.shutdown(socket.SHUT_WR)
            return
        if ending is Ending.RESET:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._reader.close()
        self.socket.close()

    def answer(self, method: str = "POST", seconds: float = ANSWER_SECONDS) -> Answer:
        """Wait for the next answer; a 100 before it is passed over."""
        self.socket.settimeout(seconds)
        began = time.monotonic()
        reply = http.client.HTTPResponse(_Lasting(self._reader), method=method)  # type: ignore[arg-type]
        reply.begin()
        content = reply.read()
        return Answer(reply.status, reply.headers, content, time.monotonic() - began)

    def line(self, seconds: float = ANSWER_SECONDS) -> bytes:
        """The next line that comes, without its end; none at the end."""
        self.socket.settimeout(seconds)
        return self._reader.readline().rstrip(b"\r\n")

    def is_ended(self, seconds: float = ANSWER_SECONDS) -> bool:
        """Wait for the other side to end the connection; False when it sends something instead."""
        self.socket.settimeout(seconds)
        try:
            return not self._reader.read(1)
        except ConnectionError:
            return True


class _Lasting:
    """A connection's stream, which an answer that was read does not close: another one follows."""

    def __init__(self, stream: BufferedReader) -> None:
        self._stream = stream

    def makefile(self, _: str) -> _Lasting:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        pass


def at_the_same_time(calls: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """The answers to all these calls, made at once."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [each.result() for each in [pool.submit(call) for call in calls]]
