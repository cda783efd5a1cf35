"""Slices of files on their way to clients, on a real server: every byte of them, and nothing left behind."""

from __future__ import annotations

import logging
import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from a2wsgi import WSGIMiddleware

from config import sending as sending_module
from config.direct import DirectProtocol
from config.edge import Receive, Scope, Send, edge
from config.sending import handing_over, sending
from tests.origin import Certificate, self_signed
from transfers.views.slices import FileSlices, MadeSlices, SlicedResponse

LARGE = 24 * 2**20
"""More than two turns, or than the system's buffers hold."""
TIMEOUT_SECONDS = 20
WAYS = ["direct", "chunks", "tls"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sending").resolve() / "large"
    path.write_bytes(random.Random(1).randbytes(LARGE))
    return path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("certificate"))


class Server:
    """The server as the service runs it; in Django's place something that answers `/path?pieces` with these pieces."""

    def __init__(self, way: str, certificate: Certificate) -> None:
        application = edge(
            http=sending(WSGIMiddleware(handing_over(self._answer), workers=2)),  # type: ignore[arg-type]
            bulk=unreachable,
            websocket=unreachable,
            unsized_bytes=2**20,
        )
        self.way = way
        self.may_come = threading.Event()
        self.being_made = 0
        options: dict[str, Any] = {"http": "httptools" if way == "chunks" else DirectProtocol}
        self.context: ssl.SSLContext | None = None
        if way == "tls":
            options |= {"ssl_certfile": certificate.path, "ssl_keyfile": certificate.key_path}
            self.context = ssl.create_default_context(cafile=certificate.path)
        self.uvicorn = uvicorn.Server(
            uvicorn.Config(
                application, **options, host="127.0.0.1", port=0, loop="uvloop", lifespan="off", log_config=None,
                access_log=False, timeout_graceful_shutdown=1,
            )
        )  # fmt: skip
        self._socket = self.uvicorn.config.bind_socket()
        self.address = self._socket.getsockname()
        self.thread = threading.Thread(target=self.uvicorn.run, args=([self._socket],), name="server")

    @contextmanager
    def running(self) -> Iterator[Server]:
        self.thread.start()
        try:
            wait_for(lambda: self.uvicorn.started)
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        self.uvicorn.should_exit = True
        self.thread.join(TIMEOUT_SECONDS)
        assert not self.thread.is_alive()

    def connect(self, receive_buffer: int = 0) -> socket.socket:
        plain = socket.socket()
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.settimeout(TIMEOUT_SECONDS)
        plain.connect(self.address)
        return self.context.wrap_socket(plain, server_hostname="127.0.0.1") if self.context else plain

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/plain":
            start_response("200 OK", [("Content-Length", "5")])
            return [b"plain"]
        if environ["PATH_INFO"] == "/made":
            size, number = map(int, environ["QUERY_STRING"].split("x"))
            start_response("200 OK", [("Content-Length", str(size * number))])
            return SlicedResponse(MadeSlices(self._made(size, number)))
        pieces = parsed(environ["QUERY_STRING"])
        slices = FileSlices(FileIO(environ["PATH_INFO"]), pieces)
        start_response("200 OK", [("Content-Length", str(sum(map(len, pieces))))])
        return SlicedResponse(slices)

    def _made(self, size: int, number: int) -> Generator[bytes]:
        """So many pieces of that size, once they may come."""
        self.being_made += 1
        self.may_come.wait(TIMEOUT_SECONDS)
        try:
            for _ in range(number):
                yield bytes(size)
        finally:
            self.being_made -= 1


async def unreachable(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("nothing should come here")


def parsed(query: str) -> list[bytes | range]:
    """`r=0-5&t=abc` as pieces."""
    pieces: list[bytes | range] = []
    for item in filter(None, query.split("&")):
        name, _, value = item.partition("=")
        pieces.append(value.encode() if name == "t" else range(*map(int, value.split("-"))))
    return pieces


def request(path: Path, query: str = f"r=0-{LARGE}", method: str = "GET") -> bytes:
    return f"{method} {path}?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def expected(path: Path, query: str) -> bytes:
    content = path.read_bytes()
    return b"".join(p if isinstance(p, bytes) else content[p.start : p.stop] for p in parsed(query))


def answer(connection: socket.socket) -> bytes:
    response = HTTPResponse(connection)
    response.begin()
    assert response.status == 200
    return response.read()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def open_files(path: Path) -> int:
    """How often this process, which the server runs in, has it open."""
    return sum(_leads_to(entry) == str(path) for entry in Path("/proc/self/fd").iterdir())


def _leads_to(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except FileNotFoundError:  # the folder itself
        return ""


def sockets() -> int:
    return sum(_leads_to(entry).startswith("socket:") for entry in Path("/proc/self/fd").iterdir())


@pytest.fixture(scope="module", params=WAYS)
def server(request: pytest.FixtureRequest, certificate: Certificate) -> Iterator[Server]:
    with Server(request.param, certificate).running() as running:
        yield running


@pytest.fixture
def direct(certificate: Certificate) -> Iterator[Server]:
    """One that sends directly and ends with the test."""
    with Server("direct", certificate).running() as running:
        yield running


QUERIES = {
    "whole": f"r=0-{LARGE}",
    "nothing": "",
    "nothing-of-a-file": "r=0-0",
    "a-byte": "r=5-6",
    "the-last-byte": f"r={LARGE - 1}-{LARGE}",
    "text": "t=abc",
    "text-and-ranges": f"t=abc&r=100-200&t=def&r=1000000-{LARGE}&t=ghi",
    "many": "&".join(f"t=abc&r={n * 1000}-{n * 1000 + 10}" for n in range(200)),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_every_byte_arrives_and_the_connection_goes_on(query: str, server: Server, large: Path) -> None:
    with server.connect() as connection:
        for _ in range(2):
            connection.sendall(request(large, query))
            assert answer(connection) == expected(large, query)
        connection.sendall(b"GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer(connection) == b"plain"
    wait_for(lambda: not open_files(large))


def test_the_kernel_moves_the_bytes_where_it_can(server: Server, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[int] = []
    move = os.sendfile

    def count(*arguments: int) -> int:
        moved.append(move(*arguments))
        return moved[-1]

    monkeypatch.setattr(os, "sendfile", count)
    with server.connect() as connection:
        connection.sendall(request(large))
        answer(connection)
    assert sum(moved) == (LARGE if server.way == "direct" else 0)


def test_the_next_request_may_be_there_already(server: Server, large: Path) -> None:
    queries = [QUERIES["whole"], QUERIES["text-and-ranges"], "r=5-6"]
    with server.connect() as connection:
        connection.sendall(b"".join(request(large, query) for query in queries))
        received = b""
        for query in queries:
            content = expected(large, query)
            while b"\r\n\r\n" not in received:
                received += connection.recv(2**20)
            received = received.partition(b"\r\n\r\n")[2]
            pieces = [received]
            length = len(received)
            while length < len(content):
                pieces.append(connection.recv(2**20))
                length += len(pieces[-1])
            received = b"".join(pieces)
            assert received[: len(content)] == content
            received = received[len(content) :]


def test_a_client_that_leaves_leaves_nothing_behind(
    server: Server, large: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = sockets()
    with ExitStack() as connections:
        for _ in range(8):
            connection = connections.enter_context(server.connect(2**14))
            connection.sendall(request(large))
            assert connection.recv(100)
        wait_for(lambda: open_files(large) == 8)
    wait_for(lambda: not open_files(large))
    wait_for(lambda: sockets() == before)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_client_that_leaves_before_anything_is_sent_leaves_nothing_behind(server: Server, large: Path) -> None:
    before = sockets()
    for _ in range(50):
        with server.connect() as connection:
            connection.sendall(request(large))
    wait_for(lambda: not open_files(large) and sockets() == before)


def test_slow_clients_hold_nobody_up(server: Server, large: Path) -> None:
    """There are two threads, and many more who do not take what they asked for."""
    with ExitStack() as connections:
        slow = [connections.enter_context(server.connect(2**14)) for _ in range(40)]
        for connection in slow:
            connection.sendall(request(large))
        wait_for(lambda: open_files(large) == 40)
        began = time.monotonic()
        with server.connect() as connection:
            for _ in range(20):
                connection.sendall(b"GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert answer(connection) == b"plain"
        assert time.monotonic() - began < 5
        assert answer(slow[0]) == expected(large, QUERIES["whole"])


def test_a_file_that_loses_bytes_is_not_sent_whole(server: Server, tmp_path: Path) -> None:
    path = tmp_path.resolve() / "cut"
    with path.open("wb") as file:
        file.truncate(LARGE)
    with server.connect(2**14) as connection:
        connection.sendall(request(path))
        assert connection.recv(100)
        os.truncate(path, 100)
        received = 0
        try:
            while chunk := connection.recv(2**20):
                received += len(chunk)
        except ConnectionError:
            pass
        assert received < LARGE
    wait_for(lambda: not open_files(path))


def test_a_file_without_its_name_is_sent_to_its_end(server: Server, tmp_path: Path, large: Path) -> None:
    path = tmp_path.resolve() / "removed"
    path.hardlink_to(large)
    with server.connect(2**14) as connection:
        connection.sendall(request(path))
        wait_for(lambda: open_files(path) == 1)
        path.unlink()
        assert answer(connection) == expected(large, QUERIES["whole"])


def test_nobody_waits_for_ever_for_a_client_that_takes_nothing(
    direct: Server, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_module, "STALL_SECONDS", 0.3)
    with direct.connect(2**14) as stalled, direct.connect(2**14) as slow:
        for connection in (stalled, slow):
            connection.sendall(request(large))
        wait_for(lambda: open_files(large) == 2)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        taken = 0
        while open_files(large) == 2:
            assert time.monotonic() < deadline
            taken += len(slow.recv(2**17))
            time.sleep(0.01)
        assert taken < LARGE / 2
        while taken < LARGE:
            chunk = slow.recv(2**20)
            assert chunk
            taken += len(chunk)
    wait_for(lambda: not open_files(large))


def test_what_waits_for_a_store_holds_up_nobody_who_takes_a_file(server: Server, large: Path) -> None:
    with ExitStack() as connections:
        waiting = [connections.enter_context(server.connect()) for _ in range(12)]
        for connection in waiting:
            connection.sendall(b"GET /made?5x1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for(lambda: server.being_made == 12)
        with server.connect() as connection:
            connection.sendall(request(large))
            assert answer(connection) == expected(large, QUERIES["whole"])
        server.may_come.set()
        assert [answer(each) for each in waiting] == [bytes(5)] * 12


def test_who_takes_nothing_of_what_is_made_is_left(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending_module, "STALL_SECONDS", 0.5)
    server.may_come.set()
    with server.connect(2**14) as stalled:
        stalled.sendall(f"GET /made?{2**18}x400 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait_for(lambda: server.being_made == 1)
        wait_for(lambda: server.being_made == 0)


def test_a_server_that_leaves_closes_everything(direct: Server, large: Path) -> None:
    with direct.connect(2**14) as connection:
        connection.sendall(request(large))
        wait_for(lambda: open_files(large) == 1)
        began = time.monotonic()
        direct.stop()
        assert time.monotonic() - began < 5
        wait_for(lambda: not open_files(large))


@pytest.mark.django_db  # closing an answer looks at the connections of earlier tests
def test_without_the_server_the_answer_sends_itself(large: Path) -> None:
    with FileIO(large) as file:
        response = SlicedResponse(FileSlices(file, [b"abc", range(5, LARGE)]))
        assert b"".join(response) == b"abc" + large.read_bytes()[5:]
        response.close()
        assert file.closed
