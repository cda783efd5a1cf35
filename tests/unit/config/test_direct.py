"""Bodies that a thread reads from the socket itself, on a real server: all that comes before, beside and after them."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest
import uvicorn
from a2wsgi import WSGIMiddleware

from config import direct
from config import edge as edge_module
from config.direct import BODY, DirectProtocol, lending, reading_directly
from config.edge import BULK, Application, Receive, Scope, Send, edge
from tests.chaos import Ending
from tests.e2e.uploads import Answer, Wire

LIMIT = 2**20
LARGE = 3 * LIMIT
"""More than is awaited, and than the system's buffers hold."""
TIMEOUT_SECONDS = 20
CONTENT = random.Random(1).randbytes(LARGE)


def digest(content: bytes) -> bytes:
    return f"{len(content)} {hashlib.sha256(content).hexdigest()}".encode()


@dataclass
class Seen:
    """What the application behind the server came to see."""

    direct: list[bool] = field(default_factory=list)
    """Of each request, whether its thread could read the socket."""
    failures: list[str] = field(default_factory=list)
    """Of each body that failed, what it said."""
    reading: threading.Event = field(default_factory=threading.Event)
    """Set when a body's first byte has come."""
    threads: set[int] = field(default_factory=set)
    """Those that are at it now."""


def _pieces(body: Any, how: str) -> Iterator[bytes]:
    """Read the body to its end in one of the ways that there are."""
    if how == "readinto":
        buffer = memoryview(bytearray(70_000))
        while count := body.readinto(buffer):
            yield bytes(buffer[:count])
    elif how == "readline":
        yield from (body.readline(), body.readline(5_000), body.read())
    elif how == "all":
        yield body.read()
    else:
        while chunk := getattr(body, how)(50_000):
            yield chunk


def reading(seen: Seen) -> Any:
    """An application that tells what came; with `?stop=n` it refuses after n bytes, with `?how=` it reads otherwise."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
        body = environ["wsgi.input"]
        borrowed = hasattr(body, "readinto")
        seen.direct.append(borrowed)
        seen.threads.add(threading.get_ident())
        content = b""
        try:
            for piece in (
                _pieces(body, query.get("how", "read1" if borrowed else "read")) if "stop" not in query else ()
            ):
                content += piece
                seen.reading.set()
            if stop := int(query.get("stop", 0)):
                content = body.read(stop)
                seen.reading.set()
        except OSError as failure:
            seen.failures.append(str(failure))
            return _answer(start_response, "400 Bad Request", str(failure).encode())
        finally:
            seen.threads.discard(threading.get_ident())
        if "stop" in query:
            return _answer(start_response, "413 Content Too Large", b"too large")
        return _answer(start_response, "200 OK", digest(content))

    return application


def _answer(start_response: Callable[..., Any], status: str, body: bytes) -> list[bytes]:
    start_response(status, [("Content-Length", str(len(body)))])
    return [body]


class Server:
    """The server as the service runs it, with a small application in Django's place."""

    def __init__(self, **options: Any) -> None:
        self.seen = Seen()
        wsgi = reading(self.seen)
        application = edge(
            http=WSGIMiddleware(wsgi, workers=4),  # type: ignore[arg-type]
            bulk=lending(WSGIMiddleware(reading_directly(wsgi), workers=16)),  # type: ignore[arg-type]
            websocket=unreachable,
            unsized_bytes=LIMIT,
        )
        self.uvicorn = uvicorn.Server(_config(application, **options))
        self._socket = self.uvicorn.config.bind_socket()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.uvicorn.run, args=([self._socket],), name="server")

    def start(self) -> None:
        self.thread.start()
        while not self.uvicorn.started:
            time.sleep(0.01)

    def leave(self) -> None:
        """Tell it to leave."""
        self.uvicorn.should_exit = True

    def stop(self) -> None:
        """End it; AssertionError when a thread is still at a body then."""
        self.leave()
        self.thread.join(TIMEOUT_SECONDS)
        assert not self.thread.is_alive()
        assert not self.seen.threads

    @contextmanager
    def wire(self) -> Iterator[Wire]:
        with Wire(self.url) as wire:
            yield wire


def _config(application: Application, **options: Any) -> uvicorn.Config:
    chosen = {"loop": "uvloop", "http": DirectProtocol, "timeout_graceful_shutdown": 2, "timeout_keep_alive": 75}
    quiet = {"lifespan": "off", "log_config": None, "access_log": False, "host": "127.0.0.1", "port": 0}
    return uvicorn.Config(application, **{**chosen, **quiet, **options})  # type: ignore[arg-type]


async def unreachable(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("nothing should come here")


@contextmanager
def serving(**options: Any) -> Iterator[Server]:
    server = Server(**options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def lasting() -> Iterator[Server]:
    """One server for all tests that leave it as they found it."""
    with serving() as server:
        yield server


@pytest.fixture
def server(lasting: Server) -> Server:
    lasting.seen.__init__()  # type: ignore[misc]
    return lasting


def head(size: int | None = LARGE, query: str = "", method: str = "PUT", path: str = BULK, **headers: str) -> bytes:
    """The lines before a body of so many bytes."""
    version = headers.pop("version", "1.1")
    told = {"Host": "localhost", **({} if size is None else {"Content-Length": str(size)}), **headers}
    lines = [f"{method} {path}?{query} HTTP/{version}", *(f"{k.replace('_', '-')}: {v}" for k, v in told.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def check(answer: Answer, content: bytes = CONTENT) -> None:
    assert (answer.status, answer.content) == (200, digest(content))


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# Bodies that come whole ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["readinto", "read1", "read", "all", "readline"])
def test_a_body_comes_whole_however_it_is_read(server: Server, how: str) -> None:
    content = b"\n".join(CONTENT[start : start + 30_000] for start in range(0, LARGE, 30_000))
    with server.wire() as wire:
        wire.send(head(len(content), f"how={how}"), content)
        check(wire.answer("PUT"), content)
    assert server.seen.direct == [True]


@pytest.mark.parametrize(
    ("size", "direct"),
    [(0, False), (1, True), (LIMIT, True), (LIMIT + 1, True)],
    ids=["empty", "a byte", "what others wait for", "a byte more"],
)
def test_bodies_about_the_limit(server: Server, size: int, *, direct: bool) -> None:
    with server.wire() as wire:
        for _ in range(2):
            wire.send(head(size), CONTENT[:size])
            check(wire.answer("PUT"), CONTENT[:size])
    assert server.seen.direct == [direct] * 2


def test_other_paths_are_read_as_ever(server: Server) -> None:
    with server.wire() as wire:
        wire.send(head(path="/elsewhere"), CONTENT)
        check(wire.answer("PUT"))
    assert server.seen.direct == [False]


def test_a_body_that_comes_in_any_pieces(server: Server) -> None:
    chance = random.Random(2)
    with server.wire() as wire:
        for _ in range(5):
            sent = head(how_many := chance.randint(LIMIT + 1, LIMIT + 100_000)) + CONTENT[:how_many]
            while sent:
                size = chance.choice([1, 3, 100, 5_000, 65_536, 300_000, LARGE])
                wire.send(sent[:size])
                sent = sent[size:]
                time.sleep(chance.choice([0, 0, 0.001]))
            check(wire.answer("PUT"), CONTENT[:how_many])


def test_a_slow_client_is_waited_for(server: Server) -> None:
    with server.wire() as wire:
        wire.send(head(), CONTENT[: LARGE - 20])
        for byte in CONTENT[LARGE - 20 :]:
            time.sleep(0.02)
            wire.send(bytes([byte]))
        check(wire.answer("PUT"))


def test_many_bodies_at_once(server: Server) -> None:
    def send(number: int) -> None:
        content = bytes([number]) * (LIMIT + number)
        with server.wire() as wire:
            for _ in range(3):
                wire.send(head(len(content)), content)
                check(wire.answer("PUT"), content)
        done.append(number)

    done: list[int] = []
    threads = [threading.Thread(target=send, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_SECONDS)
    assert sorted(done) == [*range(24)]


def test_where_nobody_lends_a_socket_the_body_comes_as_ever() -> None:
    """As with TLS, whose bytes only the server's event loop can read."""
    seen: list[Scope] = []

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    for scope in ({}, {"extensions": {}}):
        told = {"type": "http", "headers": [(b"content-length", str(LARGE).encode())], **scope}
        asyncio.run(lending(look)(told, unreachable, unreachable))  # type: ignore[arg-type]
    assert len(seen) == 2
    assert not any(BODY in scope for scope in seen)


# Several requests on one connection ----------------------------------------------------------------------------------

KINDS: dict[str, tuple[Callable[[], bytes], bytes]] = {
    "large": (lambda: head() + CONTENT, CONTENT),
    "larger": (lambda: head(LIMIT + 1) + CONTENT[: LIMIT + 1], CONTENT[: LIMIT + 1]),
    "small": (lambda: head(10) + CONTENT[:10], CONTENT[:10]),
    "none": (lambda: head(None, method="GET"), b""),
    "elsewhere": (lambda: head(path="/elsewhere") + CONTENT, CONTENT),
}


@pytest.mark.parametrize("pipelined", [False, True], ids=["one after the other", "all at once"])
def test_requests_that_follow_each_other(server: Server, *, pipelined: bool) -> None:
    kinds = [kind for pair in itertools.product(KINDS, repeat=2) for kind in pair]
    with server.wire() as wire:
        sender = threading.Thread(target=lambda: [wire.send(KINDS[kind][0]()) for kind in kinds])
        if pipelined:
            sender.start()
        for kind in kinds:
            if not pipelined:
                wire.send(KINDS[kind][0]())
            check(wire.answer("PUT"), KINDS[kind][1])
        if pipelined:
            sender.join()
    assert len(server.seen.direct) == len(kinds)


def test_a_request_in_the_very_segment_that_ends_a_body(server: Server) -> None:
    with server.wire() as wire:
        wire.send(head(), CONTENT[:-5])
        wait_for(server.seen.reading.is_set)
        time.sleep(0.05)
        wire.send(CONTENT[-5:], head(7), b"another", head(None, method="GET"))
        check(wire.answer("PUT"))
        check(wire.answer("PUT"), b"another")
        check(wire.answer("GET"), b"")


def test_a_connection_is_kept_after_a_body(server: Server) -> None:
    with server.wire() as wire:
        for _ in range(3):
            wire.send(head(), CONTENT)
            answer = wire.answer("PUT")
            check(answer)
            assert "Connection" not in answer.headers
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("headers", "ends"),
    [
        ({"Connection": "close"}, True),
        ({"version": "1.0"}, True),
        ({"Connection": "keep-alive"}, False),
    ],
    ids=str,
)
def test_whether_the_connection_ends_is_as_the_client_says(
    server: Server, headers: dict[str, str], *, ends: bool
) -> None:
    with server.wire() as wire:
        wire.send(head(**headers), CONTENT)
        answer = wire.answer("PUT")
        check(answer)
        assert (answer.headers.get("Connection") == "close") == ends
        if ends:
            assert wire.is_ended()


@pytest.mark.parametrize("size", [100, LIMIT])
def test_a_chunked_body_is_awaited(server: Server, size: int) -> None:
    with server.wire() as wire:
        for _ in range(2):
            chunks = [CONTENT[start : start + 9000] for start in range(0, size, 9000)]
            chunks[-1] = chunks[-1][: size - 9000 * (len(chunks) - 1)]
            wire.send(head(None, Transfer_Encoding="chunked"))
            wire.send(*(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks), b"0\r\n\r\n")
            check(wire.answer("PUT"), CONTENT[:size])


def test_a_chunked_body_that_is_too_large_is_refused(server: Server) -> None:
    with server.wire() as wire:
        wire.send(head(None, Transfer_Encoding="chunked"))
        for _ in range(5):
            wire.try_to_send(f"{LIMIT // 4:x}\r\n".encode() + CONTENT[: LIMIT // 4] + b"\r\n")
        assert wire.answer("PUT").status == 413
    assert server.seen.direct == []


# Expect: 100-continue ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, LIMIT, LARGE])
def test_who_asks_first_is_told_to_go_on_once_somebody_reads(server: Server, size: int) -> None:
    with server.wire() as wire:
        for _ in range(2):
            wire.send(head(size, Expect="100-continue"))
            assert wire.line() == b"HTTP/1.1 100 Continue"
            assert wire.line() == b""
            wire.send(CONTENT[:size])
            check(wire.answer("PUT"), CONTENT[:size])


@pytest.mark.parametrize("size", [10, LARGE])
def test_who_asks_first_and_is_refused_sends_nothing(server: Server, size: int) -> None:
    with server.wire() as wire:
        wire.send(head(size, "stop=0", Expect="100-continue"))
        assert wire.line().startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("size", [10, LARGE])
def test_who_asks_and_does_not_wait_is_understood(server: Server, size: int) -> None:
    with server.wire() as wire:
        for _ in range(2):
            wire.send(head(size, Expect="100-continue"), CONTENT[:size])
            check(wire.answer("PUT"), CONTENT[:size])


def test_a_request_behind_one_that_asks_and_does_not_wait(server: Server) -> None:
    with server.wire() as wire:
        wire.send(head(10, Expect="100-continue"), CONTENT[:10], head(7), b"another", head(None, method="GET"))
        check(wire.answer("PUT"), CONTENT[:10])
        check(wire.answer("PUT"), b"another")
        check(wire.answer("GET"), b"")


# Refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [0, 1000, LIMIT, LARGE - 1], ids=lambda stop: f"after {stop} bytes")
@pytest.mark.parametrize("kept", [True, False], ids=["then another request", "then nothing"])
def test_who_is_refused_and_sends_all_hears_it(server: Server, stop: int, *, kept: bool) -> None:
    with server.wire() as wire:
        wire.send(head(query=f"stop={stop}"), CONTENT)
        answer = wire.answer("PUT")
        assert (answer.status, answer.content) == (413, b"too large")
        if kept:
            assert "Connection" not in answer.headers
            wire.send(head(), CONTENT)
            check(wire.answer("PUT"))


def test_who_is_refused_before_a_byte_is_told_at_once(server: Server) -> None:
    with server.wire() as wire:
        wire.send(head(2**40, "stop=0"))
        assert wire.answer("PUT", 2).status == 413


def test_who_is_refused_midway_and_waits_is_told_at_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "DRAIN_SECONDS", 1.0)
    monkeypatch.setattr(direct, "SILENCE_SECONDS", 15.0)
    with server.wire() as wire:
        wire.send(head(query="stop=1000"), CONTENT[:2000])
        answer = wire.answer("PUT", 10)
    assert answer.status == 413
    assert answer.seconds < 5


def test_a_refused_body_without_end_is_cut(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "DRAIN_SECONDS", 0.3)
    with server.wire() as wire:
        wire.send(head(2**40, "stop=1000"))
        began = time.monotonic()
        while wire.try_to_send(CONTENT):
            assert time.monotonic() - began < TIMEOUT_SECONDS
    wait_for(lambda: not server.seen.threads)


def test_a_refused_client_that_is_slow_hears_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "DRAIN_SECONDS", 0.3)
    with server.wire() as wire:
        wire.send(head(2**40, "stop=1000"), CONTENT[:2000])
        trickling = threading.Event()

        def trickle() -> None:
            with suppress(OSError):
                while not trickling.wait(0.01):
                    wire.socket.sendall(b"x")

        sender = threading.Thread(target=trickle)
        sender.start()
        answer = wire.answer("PUT", 10)
        trickling.set()
        sender.join()
    assert (answer.status, answer.headers["Connection"]) == (413, "close")


# Clients that go away ------------------------------------------------------------------------------------------------

PLACES = {
    "in the request line": (head()[:10], b""),
    "in the headers": (head()[:-4], b""),
    "after the headers": (head(), b""),
    "after a byte": (head(), CONTENT[:1]),
    "within what the server holds": (head(), CONTENT[:40_000]),
    "in the middle": (head(), CONTENT[: LARGE // 2]),
    "before the last byte": (head(), CONTENT[:-1]),
}


@pytest.mark.parametrize("ending", [Ending.FIN, Ending.RESET])
@pytest.mark.parametrize("place", PLACES)
def test_a_client_that_leaves_is_noticed(server: Server, place: str, ending: Ending) -> None:
    before, body = PLACES[place]
    asked = before.endswith(b"\r\n\r\n")
    with server.wire() as wire:
        wire.send(before, body)
        if body:
            wait_for(server.seen.reading.is_set)
        wire.cut(ending)
    if asked:
        wait_for(lambda: server.seen.failures or (not body and ending is Ending.RESET and not server.seen.direct))
    wait_for(lambda: not server.seen.threads)
    with server.wire() as wire:
        wire.send(head(), CONTENT)
        check(wire.answer("PUT"))


@pytest.mark.parametrize("place", ["after a byte", "in the middle", "before the last byte"])
def test_a_client_that_ends_its_side_too_early_is_told(server: Server, place: str) -> None:
    with server.wire() as wire:
        wire.send(*PLACES[place])
        wait_for(server.seen.reading.is_set)
        wire.cut(Ending.HALF_CLOSE)
        answer = wire.answer("PUT")
        assert answer.status == 400
        assert b"missing" in answer.content
        assert wire.is_ended()


def test_a_client_that_ends_its_side_after_the_body_is_answered(server: Server) -> None:
    with server.wire() as wire:
        wire.send(head(), CONTENT)
        wire.cut(Ending.HALF_CLOSE)
        check(wire.answer("PUT"))
        assert wire.is_ended()


def test_a_silent_client_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "SILENCE_SECONDS", 0.3)
    with server.wire() as wire:
        wire.send(head(), CONTENT[:LIMIT])
        answer = wire.answer("PUT", 5)
        assert answer.status == 400
        assert b"nothing came" in answer.content
        assert wire.is_ended()


@pytest.mark.parametrize("size", [40, 40_000, LIMIT])
def test_a_small_body_may_be_slow_as_long_as_it_is_never_silent(
    server: Server, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(edge_module, "BODY_SECONDS", 0.2)
    monkeypatch.setattr(edge_module, "SILENCE_SECONDS", 1.0)
    monkeypatch.setattr(direct, "SILENCE_SECONDS", 1.0)
    with server.wire() as wire:
        wire.send(head(size))
        for begin in range(0, size, size // 10):
            time.sleep(0.05)
            wire.send(CONTENT[begin : min(begin + size // 10, size)])
        check(wire.answer("PUT", 5), CONTENT[:size])


def test_a_client_that_leaves_while_it_is_answered(server: Server) -> None:
    for _ in range(20):
        with server.wire() as wire:
            wire.send(head(), CONTENT)
            wire.cut(Ending.RESET)
    wait_for(lambda: not server.seen.threads)
    with server.wire() as wire:
        wire.send(head(), CONTENT)
        check(wire.answer("PUT"))


# A server that leaves ------------------------------------------------------------------------------------------------


def test_a_server_that_leaves_lets_a_body_come_to_its_end() -> None:
    with serving() as server, server.wire() as wire, server.wire() as other:
        for each in (wire, other):
            each.send(head(), CONTENT[:LIMIT])
        wait_for(lambda: len(server.seen.threads) == 2)
        server.leave()
        time.sleep(0.3)
        for each in (wire, other):
            each.send(CONTENT[LIMIT:])
            answer = each.answer("PUT")
            check(answer)
            assert answer.headers["Connection"] == "close"
            assert each.is_ended()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the bridge's answer finds no loop
@pytest.mark.parametrize("trickles", [False, True], ids=["silent", "slow"])
def test_a_server_that_leaves_waits_for_no_body_for_ever(*, trickles: bool) -> None:
    with serving() as server, server.wire() as wire:
        wire.send(head(), CONTENT[:LIMIT])
        wait_for(server.seen.reading.is_set)
        told = time.monotonic()
        server.leave()
        while server.thread.is_alive() and time.monotonic() < told + TIMEOUT_SECONDS:
            time.sleep(0.05)
            if trickles:
                wire.try_to_send(b"x")
        assert not server.thread.is_alive()
        assert time.monotonic() - told < 6
        assert server.seen.failures
        assert wire.is_ended()
