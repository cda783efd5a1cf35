"""The layer between the server and Django, in front of the real bridge to WSGI where threads matter."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from a2wsgi import WSGIMiddleware
from asgiref.sync import async_to_sync

from config import edge as edge_module
from config.edge import BULK, Application, Message, Receive, Scope, Send, edge, passable

LIMIT = 2**20
TIMEOUT_SECONDS = 10


class Exchange:
    """One request put to an application, message by message; what it answered and when it was asked.

    It is the application for everything, unless there is another one for what brings files.
    """

    def __init__(
        self, http: Application, *events: Message | None, bulk: Application | None = None, **headers: str
    ) -> None:
        self.events = list(events)
        self.received = 0
        self.sent: list[Message] = []
        self.scope: Scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": "/",
            "query_string": b"",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }
        self._http = http
        self._bulk = bulk or http

    async def receive(self) -> Message:
        self.received += 1
        event = self.events.pop(0) if self.events else {"type": "http.disconnect"}
        if event is None:
            await asyncio.sleep(TIMEOUT_SECONDS)
            raise AssertionError("nobody waited for less")
        return event

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    def run(self) -> Exchange:
        application = edge(http=self._http, bulk=self._bulk, websocket=unreachable, unsized_bytes=LIMIT)
        asyncio.run(asyncio.wait_for(application(self.scope, self.receive, self.send), TIMEOUT_SECONDS))
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])


async def unreachable(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("nothing should come here")


def piece(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def bridged(application: Callable[..., Iterator[bytes]]) -> Application:
    return WSGIMiddleware(application, workers=1)  # type: ignore[return-value]


def echoing(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    """Answer with the body, or with 418 when it fails as files fail."""
    try:
        body = environ["wsgi.input"].read()
    except OSError as failure:
        start_response("418 I am a teapot", [])
        yield str(failure).encode()
    else:
        start_response("200 OK", [])
        yield environ.get("CONTENT_LENGTH", "none").encode() + b":" + body


@pytest.mark.parametrize(
    ("name", "passes"),
    [
        (b"x-forwarded-proto", True),
        (b"x_forwarded_proto", False),
        (b"x-forwarded_proto", False),
        (b"content_length", False),
        (b"_", False),
        (b"http_token", True),
        (b"HTTP_TOKEN", True),
        (b"http_token_", False),
        (b"http-token", True),
    ],
)
def test_headers_that_could_pass_for_another_are_dropped(name: bytes, passes: bool) -> None:  # noqa: FBT001 - a table
    assert passable([(name, b"1")]) == [(name, b"1")] * passes


def test_a_body_arrives_whole() -> None:
    exchange = Exchange(bridged(echoing), piece(b"ab", more=True), piece(b"cd"), content_length="4").run()

    assert (exchange.status, exchange.body) == (200, b"4:abcd")


@pytest.mark.parametrize("headers", [{"content_length": "4"}, {"content_length": "4", "expect": "100-continue"}, {}])
def test_who_leaves_after_the_body_has_cut_nothing_off(headers: dict[str, str]) -> None:
    seen: list[str] = []

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend([(await receive())["type"], (await receive())["type"]])

    Exchange(look, piece(b"abcd" if headers else b""), **headers).run()

    assert seen == ["http.request", "http.disconnect"]


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([piece(b"ab", more=True)], id="the client left"),
        pytest.param([piece(b"ab")], id="the server calls it the end"),
        pytest.param([], id="nothing came"),
        pytest.param([piece(b"abcdef")], id="more than announced"),
    ],
)
def test_a_small_body_that_is_cut_off_is_refused_before_a_thread_is_taken(events: list[Message]) -> None:
    exchange = Exchange(unreachable, *events, content_length="4").run()

    assert exchange.status == 400
    assert json.loads(exchange.body)["code"] == "body_cut_off"
    assert (b"connection", b"close") in exchange.sent[0]["headers"]


@pytest.mark.parametrize("end", [[], [piece(b"")]], ids=["the client left", "the server calls it the end"])
def test_a_large_body_that_is_cut_off_fails_where_it_is_read(end: list[Message]) -> None:
    exchange = Exchange(bridged(echoing), piece(b"x" * 1000, more=True), *end, content_length=str(2 * LIMIT))

    assert exchange.run().status == 418


def test_a_silent_client_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_module, "SILENCE_SECONDS", 0.05)

    small = Exchange(unreachable, piece(b"a", more=True), None, content_length="4").run()
    large = Exchange(bridged(echoing), piece(b"a", more=True), None, content_length=str(2 * LIMIT)).run()

    assert small.status == 400
    assert large.status == 418


def test_a_body_that_trickles_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_module, "BODY_SECONDS", 0.2)
    exchange = Exchange(unreachable, *[piece(b"a", more=True)] * 1000, content_length="1000")
    receive = exchange.receive

    async def trickling() -> Message:
        await asyncio.sleep(0.01)
        return await receive()

    exchange.receive = trickling  # type: ignore[method-assign]

    assert exchange.run().status == 400
    assert "not whole" in json.loads(exchange.body)["detail"]
    assert exchange.received < 100


def test_the_pages_of_the_admin_get_small_bodies_alone_and_whole() -> None:
    """They read what anybody sends."""
    large = Exchange(unreachable, content_length=str(LIMIT + 1))
    cut_off = Exchange(unreachable, piece(b"a", more=True), content_length="4", expect="100-continue")
    for exchange in (large, cut_off):
        exchange.scope["path"] = "/admin/login/"

    assert (large.run().status, large.received) == (413, 0)
    assert cut_off.run().status == 400


@pytest.mark.parametrize("path", ["/livez", "/livez/"])
@pytest.mark.parametrize(
    ("method", "status", "body"), [("GET", 200, b'{"status": "ok"}'), ("HEAD", 200, b""), ("POST", 405, b"")]
)
def test_whether_the_process_lives_is_told_without_the_application(
    path: str, method: str, status: int, body: bytes
) -> None:
    exchange = Exchange(unreachable, authorization="Token nonsense")
    exchange.scope |= {"path": path, "method": method}

    assert (exchange.run().status, exchange.body) == (status, body)
    assert (b"cache-control", b"no-store") in exchange.sent[0]["headers"]
    assert (b"content-length", b"16" if status == 200 else b"0") in exchange.sent[0]["headers"]


def asked_before_body(**headers: str) -> bool:
    """Whether the application is reached while nothing of the body has been asked for."""
    before: list[int] = []

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        before.append(exchange.received)

    exchange = Exchange(look, piece(b"1234"), **headers)
    exchange.run()
    return before == [0]


def test_only_a_small_body_is_awaited_before_the_application_is_asked() -> None:
    assert not asked_before_body(content_length="4")
    assert not asked_before_body(content_length=str(LIMIT))
    assert asked_before_body(content_length=str(LIMIT + 1))
    assert asked_before_body(content_length="4", expect="100-continue")
    assert asked_before_body(content_length="0")
    assert asked_before_body()


def taken_by(path: str, *events: Message, **headers: str) -> str:
    """Which of the applications takes the request."""
    taken: list[str] = []

    def named(name: str) -> Application:
        async def take(scope: Scope, receive: Receive, send: Send) -> None:
            taken.append(name)

        return take

    exchange = Exchange(named("http"), *events, bulk=named("bulk"), **headers)
    exchange.scope["path"] = path
    exchange.run()
    return ", ".join(taken)


@pytest.mark.parametrize("path", [BULK, f"{BULK}/", f"{BULK}/1/parts/2", f"{BULK}/1/parts/2/"])
@pytest.mark.parametrize(
    ("headers", "events", "expected"),
    [
        pytest.param({"content_length": str(LIMIT + 1)}, [], "bulk", id="more than is awaited"),
        pytest.param({"content_length": str(2**40)}, [], "bulk", id="far more"),
        pytest.param({"content_length": str(LIMIT)}, [], "bulk", id="what is awaited elsewhere"),
        pytest.param({"content_length": "4"}, [], "bulk", id="little"),
        pytest.param({"content_length": "4", "expect": "100-continue"}, [], "bulk", id="little, and asked for first"),
        pytest.param({"transfer_encoding": "chunked"}, [piece(b"abcd")], "http", id="little, without a length"),
    ],
)
def test_a_body_that_may_bring_a_file_is_not_awaited_and_has_an_application_of_its_own(
    path: str, headers: dict[str, str], events: list[Message], expected: str
) -> None:
    assert taken_by(path, *events, **headers) == expected


@pytest.mark.parametrize("path", ["/", "/api/file/download", BULK.rpartition("/")[0], f"/x{BULK}", "/admin"])
def test_no_other_body_gets_there(path: str) -> None:
    assert taken_by(path, content_length=str(2**30)) == "http"
    assert taken_by(path, content_length="4", expect="100-continue") == "http"


def test_what_is_too_large_and_has_no_length_gets_nowhere() -> None:
    pieces = [piece(b"x" * 2**19, more=True)] * 3
    assert taken_by(BULK, *pieces, transfer_encoding="chunked") == ""


def test_nothing_of_a_body_that_brings_a_file_is_read_before() -> None:
    before: list[int] = []

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        before.append(exchange.received)

    exchange = Exchange(unreachable, bulk=look, content_length=str(LIMIT + 1))
    exchange.scope["path"] = BULK
    exchange.run()

    assert before == [0]


def trickled(exchange: Exchange, seconds: float) -> Exchange:
    """Run it with so long a pause before each of its pieces."""
    receive = exchange.receive

    async def slowly() -> Message:
        await asyncio.sleep(seconds)
        return await receive()

    exchange.receive = slowly  # type: ignore[method-assign]
    return exchange.run()


@pytest.mark.parametrize("path", [BULK, f"{BULK}/1/parts/2"])
@pytest.mark.parametrize(("pause", "status"), [(0.02, 200), (0.4, 418)], ids=["slow", "silent"])
def test_a_small_body_that_may_bring_a_file_may_be_slow_but_not_silent(
    monkeypatch: pytest.MonkeyPatch, path: str, pause: float, status: int
) -> None:
    monkeypatch.setattr(edge_module, "BODY_SECONDS", 0.1)
    monkeypatch.setattr(edge_module, "SILENCE_SECONDS", 0.2)
    pieces = [*[piece(b"a", more=True)] * 19, piece(b"z")]
    exchange = Exchange(unreachable, *pieces, bulk=bridged(echoing), content_length="20")
    exchange.scope["path"] = path

    assert trickled(exchange, pause).status == status
    if status == 200:
        assert exchange.body == b"20:" + b"a" * 19 + b"z"


def test_a_body_without_a_length_is_given_one() -> None:
    exchange = Exchange(bridged(echoing), piece(b"ab", more=True), piece(b"cd"), transfer_encoding="chunked").run()

    assert exchange.body == b"4:abcd"


def test_a_body_without_a_length_that_is_cut_off_is_refused() -> None:
    assert Exchange(unreachable, piece(b"ab", more=True), transfer_encoding="chunked").run().status == 400


def test_a_large_body_without_a_length_is_too_large() -> None:
    pieces = [piece(b"x" * 2**19, more=True)] * 3

    exchange = Exchange(unreachable, *pieces, transfer_encoding="chunked").run()

    assert exchange.status == 413
    assert json.loads(exchange.body)["code"] == "too_large"
    assert exchange.received == 3


def test_a_failing_connection_leaves_no_thread_waiting() -> None:
    ended = threading.Event()

    def streaming(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            yield from [b"x"] * 100  # more than the bridge's queue holds
        finally:
            ended.set()

    async def send(message: Message) -> None:
        raise RuntimeError("Invalid HTTP header value.")

    exchange = Exchange(bridged(streaming))
    exchange.send = send  # type: ignore[method-assign]

    with pytest.raises(RuntimeError, match="Invalid HTTP header value"):
        exchange.run()
    assert ended.is_set()


def test_underscored_headers_reach_neither_kind_of_application() -> None:
    seen: list[Any] = []

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["type"], scope["headers"]))

    application = edge(http=look, bulk=look, websocket=look, unsized_bytes=LIMIT)
    for kind in ("http", "websocket"):
        scope = {"type": kind, "path": "/", "headers": [(b"x_user", b"1"), (b"http_token", b"t")]}
        async_to_sync(application)(scope, unreachable, unreachable)  # type: ignore[arg-type]

    assert seen == [("http", [(b"http_token", b"t")]), ("websocket", [(b"http_token", b"t")])]


def test_a_server_that_asks_is_told_that_we_start_and_stop() -> None:
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[Message] = []

    async def receive() -> Message:
        return events.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    application = edge(http=unreachable, bulk=unreachable, websocket=unreachable, unsized_bytes=LIMIT)
    async_to_sync(application)({"type": "lifespan"}, receive, send)

    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
