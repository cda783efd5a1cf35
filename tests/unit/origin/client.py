"""A client that believes nothing and shows everything, and the file that most tests fetch with it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self, cast
from urllib.parse import urlsplit

from tests.origin import Behaviour, Content, GeneratedFile, Origin

FILE = GeneratedFile(300_000, seed=1)
OTHER = GeneratedFile(300_000, seed=2)
PATH = "/file.bin"


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes = b""
    ended: str = "length"
    """How the body ended: by its length, the last chunk, eof, reset, or silence."""


class Client:
    """A connection that shows what really came over it."""

    def __init__(self, url: str, timeout: float = 5, trust: Path | None = None) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 0), timeout)
        if trust:
            context = ssl.create_default_context(cafile=trust)
            self._socket = context.wrap_socket(self._socket, server_hostname=parts.hostname)
        self._stream = cast("BinaryIO", self._socket.makefile("rb", buffering=0))
        self.target = url.split("/", 3)[3]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._socket.close()

    def send(self, method: str = "GET", target: str | None = None, **headers: str) -> None:
        lines = [f"{method} /{target or self.target} HTTP/1.1", "Host: origin"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def head(self) -> Reply:
        _, status, *_ = self._line().split()
        headers: dict[str, str] = {}
        while line := self._line():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return Reply(int(status), headers)

    def get(self, **headers: str) -> Reply:
        self.send("GET", **headers)
        reply = self.head()
        if reply.headers.get("transfer-encoding") == "chunked":
            self._read_chunks(reply)
        else:
            self._read(reply, int(reply.headers.get("content-length", 2**40)))
        return reply

    def rest(self) -> bytes:
        """Whatever comes until the end or 0.1 s of silence."""
        self._socket.settimeout(0.1)
        reply = Reply(0, {})
        self._read(reply, 2**40)
        return reply.body

    def _line(self) -> str:
        return self._stream.readline().decode("latin-1").strip()

    def _read_chunks(self, reply: Reply) -> None:
        while reply.ended == "length" and (size := int(self._line() or "0", 16)):
            self._read(reply, len(reply.body) + size)
            self._line()
        self._line()

    def _read(self, reply: Reply, length: int) -> None:
        pieces = [reply.body]
        missing = length - len(reply.body)
        try:
            while missing and (piece := self._socket.recv(min(missing, 65536))):
                pieces.append(piece)
                missing -= len(piece)
            reply.ended = "eof" if missing else "length"
        except ConnectionResetError:
            reply.ended = "reset"
        except TimeoutError:
            reply.ended = "silence"
        reply.body = b"".join(pieces)


def ask(url: str, timeout: float = 5, **headers: str) -> Reply:
    with Client(url, timeout) as client:
        return client.get(**headers)


def fetch(origin: Origin, behaviour: Behaviour, content: Content = FILE, **headers: str) -> Reply:
    return ask(origin.add(PATH, content, behaviour), timeout=0.15, **headers)
