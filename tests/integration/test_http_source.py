"""The HTTP source against a hostile origin: the right bytes or a clear failure, never wrong bytes."""

from __future__ import annotations

import contextlib
import itertools
import socket
import sys
import threading
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self

import pytest
import requests

from tests.dns import ResolverTable
from tests.origin import (
    After,
    Behaviour,
    ContentRange,
    Etag,
    Framing,
    GeneratedFile,
    LastModified,
    Malformed,
    Origin,
    Ranges,
    Request,
    http_date,
    self_signed,
)
from tests.origin.wire import wait_until
from transfers.engine.base import SourceInfo, Validator, ValidatorKind
from transfers.engine.http import USER_AGENT, HttpSource, session
from transfers.engine.netguard import Allowance
from transfers.errors import (
    AddressForbiddenError,
    SourceBusyError,
    SourceChangedError,
    SourceError,
    SourceInterruptedError,
    SourceProtocolError,
    SourceRefusedError,
    SourceUnreachableError,
)

FILE = GeneratedFile(3 * 2**20 + 17, seed=1)
OTHER = GeneratedFile(FILE.size, seed=2)
LOOPBACK = Allowance.parse(["127.0.0.1/32"])
STALL_SECONDS = 0.5

Open = Callable[..., HttpSource]


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running


@pytest.fixture
def shared() -> Iterator[requests.Session]:
    with session(LOOPBACK, resolve=ResolverTable({"files.test": ["127.0.0.1"]})) as made:
        yield made


@pytest.fixture
def source(shared: requests.Session) -> Iterator[Open]:
    """Makes sources that are closed when the test ends."""
    made: list[HttpSource] = []

    def make(url: str, known: SourceInfo | None = None, stall_seconds: float = 5) -> HttpSource:
        made.append(HttpSource(url, shared, known=known, stall_seconds=stall_seconds))
        return made[-1]

    yield make
    for each in made:
        each.close()


def fetch(source: HttpSource, offset: int = 0, end: int | None = None) -> bytes:
    buffer = memoryview(bytearray(2**20))
    content = bytearray()
    with source.open(offset, end) as reader:
        while count := reader.readinto(buffer):
            content += buffer[:count]
    return bytes(content)


def ranges(requests: list[Request]) -> list[str | None]:
    return [each.headers.get("range") for each in requests]


class TestAnHonestServer:
    def test_stat_tells_what_there_is(self, origin: Origin, source: Open) -> None:
        info = source(origin.add("/f", FILE)).stat()
        etag = Validator(ValidatorKind.ETAG, f'"{FILE.tag}"')
        assert info == SourceInfo(FILE.size, etag, ranges=True, content_type="application/octet-stream")

    def test_one_request_brings_a_file(self, origin: Origin, source: Open) -> None:
        one = source(origin.add("/f", FILE))
        one.stat()
        assert fetch(one) == FILE.read()
        assert ranges(origin.requests) == ["bytes=0-"]

    def test_a_range_is_asked_for_as_what_it_is(self, origin: Origin, source: Open) -> None:
        one = source(origin.add("/f", FILE))
        one.stat()
        assert fetch(one, 1000, 2000) == FILE.read(1000, 2000)
        asked = origin.requests[-1].headers
        assert (asked["range"], asked["if-range"]) == ("bytes=1000-1999", f'"{FILE.tag}"')
        assert (asked["accept-encoding"], asked["user-agent"]) == ("identity", USER_AGENT)

    def test_what_is_known_needs_no_other_request(self, origin: Origin, source: Open) -> None:
        url = origin.add("/f", FILE)
        known = source(url).stat()
        origin.forget()
        assert fetch(source(url, known), 2**20) == FILE.read(2**20)
        assert ranges(origin.requests) == [f"bytes={2**20}-{FILE.size - 1}"]

    def test_open_looks_first_when_nothing_is_known(self, origin: Origin, source: Open) -> None:
        assert fetch(source(origin.add("/f", FILE)), 5, 10) == FILE.read(5, 10)

    def test_the_file_may_be_read_again(self, origin: Origin, source: Open) -> None:
        one = source(origin.add("/f", FILE))
        one.stat()
        assert [fetch(one), fetch(one), fetch(one, 0, 10)] == [FILE.read(), FILE.read(), FILE.read(0, 10)]

    @pytest.mark.parametrize("framing", [Framing.LENGTH, Framing.CHUNKED])
    def test_small_files_share_a_connection(self, origin: Origin, source: Open, framing: Framing) -> None:
        url = origin.add("/f", b"content", Behaviour(framing=framing))
        for _ in range(5):
            one = source(url)
            one.stat()
            assert fetch(one) == b"content"
        assert origin.opened == 1

    def test_a_body_that_was_left_costs_the_connection_and_nothing_else(self, origin: Origin, source: Open) -> None:
        url = origin.add("/f", FILE)
        one = source(url)
        one.stat()
        with one.open(0, None) as reader:
            assert reader.readinto(memoryview(bytearray(10))) > 0
        assert fetch(source(url)) == FILE.read()

    def test_a_body_that_was_left_ends_its_connection(self, origin: Origin, source: Open) -> None:
        one = source(origin.add("/f", FILE, Behaviour(stall_after=1_000_000)))
        one.stat()
        with one.open(0, None) as reader:
            assert reader.readinto(memoryview(bytearray(10))) > 0
        assert wait_until(lambda: origin.connections == 0)
        one.stat()
        one.close()
        assert wait_until(lambda: origin.connections == 0)

    def test_a_connection_that_the_server_gave_up_is_replaced(self, source: Open) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ncontent"
        with Script(answer, ends_when_asked_again=True) as script:
            for _ in range(3):
                one = source(script.url)
                one.stat()
                assert fetch(one) == b"content"

    def test_an_empty_file(self, origin: Origin, source: Open) -> None:
        one = source(origin.add("/f", b""))
        assert (one.stat().size, fetch(one), fetch(one, 0, 0)) == (0, b"", b"")

    def test_a_buffer_is_filled_with_what_is_there(self, origin: Origin, source: Open) -> None:
        one = source(origin.add("/f", FILE, Behaviour(rate=100_000)))
        one.stat()
        buffer = memoryview(bytearray(2**20))
        with one.open(0, None) as reader:
            began = time.monotonic()
            counts = [reader.readinto(buffer) for _ in range(5)]
        assert all(0 < count < 50_000 for count in counts)
        assert time.monotonic() - began < 2

    def test_many_threads_share_a_session(self, origin: Origin, shared: requests.Session) -> None:
        files = {f"/{number}": GeneratedFile(40_000 + number, seed=number) for number in range(60)}
        for path, file in files.items():
            origin.add(path, file)

        def fetch_one(path: str) -> bytes:
            with HttpSource(origin.url(path), shared) as one:
                one.stat()
                return fetch(one)

        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(fetch_one, files)) == [file.read() for file in files.values()]
        assert origin.opened <= 6

    def test_threads_share_a_source(self, origin: Origin, source: Open) -> None:
        one = source(origin.add("/f", FILE))
        one.stat()
        cuts = [0, 1, 100_000, 2**20, 2**21, FILE.size]
        with ThreadPoolExecutor(5) as pool:
            pieces = pool.map(lambda ends: fetch(one, *ends), itertools.pairwise(cuts))
        assert b"".join(pieces) == FILE.read()

    def test_cookies_are_not_kept(self, origin: Origin, source: Open) -> None:
        url = origin.add("/f", FILE, Behaviour(headers={"Set-Cookie": "a=b; Path=/"}))
        origin.add("/to", b"", Behaviour(redirect=url, headers={"Set-Cookie": "c=d; Path=/"}))
        source(origin.url("/to")).stat()
        source(url).stat()
        assert [each.headers.get("cookie") for each in origin.requests] == [None, None, None]

    def test_the_user_agent_tells_the_version(self) -> None:
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
        assert f"Carryon/{project['project']['version']}" == USER_AGENT


HONEST_IN_OTHER_WAYS = {
    "no Accept-Ranges": Behaviour(ranges=Ranges.UNTOLD),
    "no ranges": Behaviour(ranges=Ranges.NONE),
    "ranges are promised and ignored": Behaviour(ranges=Ranges.IGNORED),
    "chunked": Behaviour(framing=Framing.CHUNKED),
    "chunked without ranges": Behaviour(framing=Framing.CHUNKED, ranges=Ranges.NONE),
    "ends with the connection": Behaviour(framing=Framing.CLOSE),
    "ends with the connection, without ranges": Behaviour(framing=Framing.CLOSE, ranges=Ranges.NONE),
    "weak ETag": Behaviour(etag=Etag.WEAK),
    "no validator": Behaviour(etag=Etag.NONE, last_modified=LastModified.NONE),
    "gzip in spite of identity": Behaviour(gzip=True),
    "gzip, chunked": Behaviour(gzip=True, framing=Framing.CHUNKED),
    "gzip, without ranges": Behaviour(gzip=True, ranges=Ranges.NONE),
    "closes after the answer": Behaviour(after=After.CLOSE),
    "drops the connection after the answer": Behaviour(after=After.DROP),
    "bytes after the end": Behaviour(extra_bytes=5),
    "a slow head": Behaviour(head_rate=10_000),
    "another range than asked": Behaviour(content_range=ContentRange.SHIFTED),
    "a shorter range": Behaviour(content_range=ContentRange.SHORT),
    "a range of an unknown size": Behaviour(content_range=ContentRange.UNKNOWN_TOTAL),
    "a range without Content-Range": Behaviour(content_range=ContentRange.MISSING),
    "a range with nonsense in Content-Range": Behaviour(content_range=ContentRange.GARBAGE),
    "multipart/byteranges": Behaviour(content_range=ContentRange.MULTIPART),
    "ranges are refused": Behaviour(ranges=Ranges.REFUSED),
    "ranges are refused, with the size": Behaviour(ranges=Ranges.REFUSED_WITH_SIZE),
}

TRUNCATED = {
    "cut": Behaviour(cut_after=1_000_000),
    "cut before the first byte": Behaviour(cut_after=0),
    "cut before the last byte": Behaviour(cut_after=FILE.size - 1),
    "reset": Behaviour(cut_after=1_000_000, reset=True),
    "cut, chunked": Behaviour(cut_after=1_000_000, framing=Framing.CHUNKED),
    "cut, of a range that ends with the connection": Behaviour(cut_after=1_000_000, framing=Framing.CLOSE),
    "cut, gzip": Behaviour(gzip=True, cut_after=100_000),
    "cut, gzip and chunked": Behaviour(gzip=True, cut_after=100_000, framing=Framing.CHUNKED),
    "cut, gzip that ends with the connection": Behaviour(gzip=True, cut_after=100_000, framing=Framing.CLOSE),
    "silent": Behaviour(stall_after=1_000_000),
    "silent from the first byte": Behaviour(stall_after=0),
    "silent, chunked": Behaviour(stall_after=1_000_000, framing=Framing.CHUNKED),
    "longer by its length than it is": Behaviour(ranges=Ranges.NONE, length_lie=9),
}


FAILURES: dict[str, tuple[Behaviour, type[SourceError], str]] = {
    "a length that is too small": (Behaviour(length_lie=-9), SourceProtocolError, "two sizes"),
    "a length that is too large": (Behaviour(length_lie=9), SourceProtocolError, "two sizes"),
    "a total that is too large": (Behaviour(content_range=ContentRange.OTHER_TOTAL), SourceProtocolError, "two sizes"),
    "a length alone that is too small": (
        Behaviour(ranges=Ranges.NONE, length_lie=-9),
        SourceProtocolError,
        "sends more than",
    ),
    "another protocol": (Behaviour(malformed=Malformed.NOT_HTTP), SourceProtocolError, "is not HTTP"),
    "no status line": (Behaviour(malformed=Malformed.STATUS_LINE), SourceProtocolError, "is not HTTP"),
    "no header line": (Behaviour(malformed=Malformed.HEADER_WITHOUT_COLON), SourceProtocolError, "is not HTTP"),
    "an endless header": (Behaviour(malformed=Malformed.HUGE_HEADER), SourceProtocolError, "is not HTTP"),
    "two lengths": (Behaviour(malformed=Malformed.TWO_LENGTHS), SourceProtocolError, "is not HTTP"),
    "a negative length": (Behaviour(malformed=Malformed.NEGATIVE_LENGTH), SourceProtocolError, "no single length"),
    "a length in words": (Behaviour(malformed=Malformed.LENGTH_IN_WORDS), SourceProtocolError, "no single length"),
    "no answer": (Behaviour(malformed=Malformed.EMPTY), SourceInterruptedError, "without an answer"),
    "half a head": (Behaviour(malformed=Malformed.CUT_HEAD), SourceInterruptedError, "before the end"),
    "silence": (Behaviour(never_answers=True), SourceInterruptedError, "no byte from"),
    "a head that trickles": (Behaviour(head_rate=100), SourceInterruptedError, "no byte from"),
    "brotli": (Behaviour(headers={"Content-Encoding": "br"}), SourceProtocolError, "packed"),
    "gzip that is none": (Behaviour(headers={"Content-Encoding": "gzip"}), SourceProtocolError, "unpacked"),
    "another transfer encoding": (
        Behaviour(headers={"Transfer-Encoding": "gzip, chunked"}),
        SourceProtocolError,
        "transfer encoding",
    ),
    "204": (Behaviour(status=204), SourceProtocolError, "^HTTP 204 No Content in place of the file$"),
    "404": (Behaviour(status=404), SourceRefusedError, "^HTTP 404 Not Found$"),
    "403": (Behaviour(status=403), SourceRefusedError, "^HTTP 403 Forbidden$"),
    "416 to everything": (Behaviour(status=416), SourceRefusedError, "^HTTP 416"),
    "500": (Behaviour(status=500), SourceBusyError, "^HTTP 500 Internal Server Error$"),
    "408": (Behaviour(status=408), SourceBusyError, "^HTTP 408 Request Timeout$"),
}


class Script:
    """Says the same to whoever connects, once it is asked something; then ends the connection, or stays silent."""

    def __init__(self, answer: bytes, *, stays: bool = False, ends_when_asked_again: bool = False) -> None:
        self._answer = answer
        self._stays = stays
        self._ends_when_asked_again = ends_when_asked_again
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self.connected = threading.Event()
        self.url = f"http://127.0.0.1:{self._port}/f"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._answer = b""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        socket.create_connection(("127.0.0.1", self._port)).close()
        self._thread.join()
        for each in (self._listener, *self._open):
            each.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            self._open.append(connection)
            self.connected.set()
            if not connection.recv(65536) and not self._answer:
                return
            with contextlib.suppress(OSError):
                connection.sendall(self._answer)
                if self._ends_when_asked_again:
                    connection.recv(65536)
            if not self._stays:
                connection.close()


class TestAHostileServer:
    @pytest.mark.parametrize("behaviour", HONEST_IN_OTHER_WAYS.values(), ids=HONEST_IN_OTHER_WAYS)
    def test_the_right_bytes(self, origin: Origin, source: Open, behaviour: Behaviour) -> None:
        one = source(origin.add("/f", FILE, behaviour), stall_seconds=STALL_SECONDS)
        info = one.stat()
        assert fetch(one) == FILE.read()
        assert fetch(one) == FILE.read()
        if info.ranges:
            assert fetch(one, 1000, 2000) == FILE.read(1000, 2000)
        else:
            with pytest.raises(SourceProtocolError, match="only as a whole"):
                fetch(one, 1000, 2000)

    @pytest.mark.parametrize("behaviour", TRUNCATED.values(), ids=TRUNCATED)
    def test_a_body_that_breaks_off(self, origin: Origin, source: Open, behaviour: Behaviour) -> None:
        one = source(origin.add("/f", FILE, behaviour), stall_seconds=STALL_SECONDS)
        one.stat()
        got = bytearray()
        buffer = memoryview(bytearray(2**20))
        with pytest.raises(SourceInterruptedError), one.open(0, None) as reader:  # noqa: PT012
            while count := reader.readinto(buffer):
                got += buffer[:count]
        assert got == FILE.read(0, len(got))

    @pytest.mark.parametrize(("behaviour", "kind", "text"), FAILURES.values(), ids=FAILURES)
    def test_a_clear_failure(
        self, origin: Origin, source: Open, behaviour: Behaviour, kind: type[SourceError], text: str
    ) -> None:
        one = source(origin.add("/f", FILE, behaviour), stall_seconds=STALL_SECONDS)
        with pytest.raises(kind, match=text):
            fetch(one)

    @pytest.mark.parametrize(
        ("head", "kind"),
        [
            (b"HTTP/1.1 200 OK\r\n", SourceInterruptedError),
            (b"HTTP/1.1 200 OK\r\nDate: now\r\n", SourceInterruptedError),
            (b"HTTP/1.1 200 OK\r\nContent-Len", SourceInterruptedError),
            (b"HTTP/2 200\r\n\r\n", SourceProtocolError),
            (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", SourceProtocolError),
            (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", SourceProtocolError),
        ],
    )
    def test_a_head_that_is_none(self, source: Open, head: bytes, kind: type[SourceError]) -> None:
        with Script(head) as script, pytest.raises(kind):
            fetch(source(script.url))

    def test_another_answer_after_the_body_is_no_part_of_it(self, source: Open) -> None:
        farewell = b"HTTP/1.1 408 Request Timeout\r\n\r\n"
        with Script(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\r\n" + farewell) as script:
            assert fetch(source(script.url)) == b"abc"

    def test_rests_of_an_earlier_answer_do_not_count_as_the_next(self, origin: Origin, source: Open) -> None:
        url = origin.add("/f", b"content", Behaviour(extra_bytes=20))
        for _ in range(3):
            one = source(url)
            one.stat()
            assert fetch(one) == b"content"


class TestAFileThatChanges:
    @pytest.mark.parametrize(
        "behaviour",
        [
            Behaviour(),
            Behaviour(if_range=False),
            Behaviour(etag=Etag.WEAK),
            Behaviour(etag=Etag.NONE, if_range=False),
            Behaviour(framing=Framing.CHUNKED),
        ],
        ids=["honest", "ignores If-Range", "by date", "by date, ignores If-Range", "chunked"],
    )
    @pytest.mark.parametrize(("offset", "end"), [(1000, 2000), (1, None), (0, 10)])
    def test_at_the_same_size(
        self, origin: Origin, source: Open, behaviour: Behaviour, offset: int, end: int | None
    ) -> None:
        one = source(origin.add("/f", FILE, behaviour))
        one.stat()
        one.close()
        origin.replace("/f", OTHER)
        with pytest.raises(SourceChangedError):
            fetch(one, offset, end)

    @pytest.mark.parametrize("size", [0, 500, FILE.size - 1, FILE.size + 1])
    @pytest.mark.parametrize("etag", [Etag.STRONG, Etag.NONE])
    def test_to_another_size(self, origin: Origin, source: Open, size: int, etag: Etag) -> None:
        one = source(origin.add("/f", FILE, Behaviour(etag=etag, last_modified=LastModified.NONE)))
        one.stat()
        origin.replace("/f", GeneratedFile(size, seed=1))
        with pytest.raises(SourceChangedError):
            fetch(one, 1000, None)

    def test_where_only_the_whole_can_be_read(self, origin: Origin, source: Open) -> None:
        one = source(origin.add("/f", FILE, Behaviour(ranges=Ranges.NONE)))
        one.stat()
        one.close()
        origin.replace("/f", OTHER)
        with pytest.raises(SourceChangedError):
            fetch(one)

    def test_while_it_is_read(self, origin: Origin, source: Open) -> None:
        one = source(origin.add("/f", FILE))
        one.stat()
        gate = origin.gate("/f", 2**20)
        with one.open(0, None) as reader:
            origin.replace("/f", OTHER)
            gate.open()
            buffer = memoryview(bytearray(2**20))
            got = b"".join(bytes(buffer[:count]) for count in iter(lambda: reader.readinto(buffer), 0))
        assert got == FILE.read()
        with pytest.raises(SourceChangedError):
            fetch(one, 2**20)

    def test_an_etag_that_is_new_each_time(self, origin: Origin, source: Open) -> None:
        one = source(origin.add("/f", FILE, Behaviour(etag=Etag.RANDOM)))
        one.stat()
        with pytest.raises(SourceChangedError):
            fetch(one, 1000)

    def test_since_an_earlier_run(self, origin: Origin, source: Open) -> None:
        url = origin.add("/f", FILE)
        known = source(url).stat()
        origin.replace("/f", OTHER)
        with pytest.raises(SourceChangedError):
            fetch(source(url, known), 1000)
        assert fetch(source(url), 1000) == OTHER.read(1000)

    def test_a_part_that_names_no_version(self, origin: Origin, source: Open) -> None:
        one = source(origin.add("/f", FILE, Behaviour(), Behaviour(etag=Etag.NONE, if_range=False)))
        one.stat()
        with pytest.raises(SourceProtocolError, match="which version"):
            fetch(one, 1000)

    def test_ranges_that_are_honoured_only_at_first(self, origin: Origin, source: Open) -> None:
        one = source(origin.add("/f", FILE, Behaviour(), Behaviour(ranges=Ranges.IGNORED)))
        one.stat()
        with pytest.raises(SourceProtocolError, match="ignored the range"):
            fetch(one, 1000)
        assert fetch(one) == FILE.read()  # from 0 the whole will do

    @pytest.mark.parametrize(
        "lie", [each for each in ContentRange if each not in (ContentRange.HONEST, ContentRange.OTHER_TOTAL)]
    )
    def test_parts_that_are_described_wrongly_only_later(self, origin: Origin, source: Open, lie: ContentRange) -> None:
        one = source(origin.add("/f", FILE, Behaviour(), Behaviour(content_range=lie)))
        one.stat()
        with pytest.raises(SourceProtocolError):
            fetch(one, 1000, 2000)

    @pytest.mark.parametrize("lie", [Behaviour(length_lie=1), Behaviour(length_lie=-1), Behaviour(gzip=True)])
    def test_parts_of_another_length_than_their_range(self, origin: Origin, source: Open, lie: Behaviour) -> None:
        one = source(origin.add("/f", FILE, Behaviour(), lie))
        one.stat()
        with pytest.raises((SourceProtocolError, SourceChangedError)):
            fetch(one, 1000, 2000)

    def test_a_chunked_part_that_is_too_long(self, source: Open) -> None:
        head = b'HTTP/1.1 206 Partial Content\r\nETag: "a"\r\nContent-Range: bytes 1-3/9\r\n'
        answer = head + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"
        known = SourceInfo(9, Validator(ValidatorKind.ETAG, '"a"'), ranges=True)
        with Script(answer) as script, pytest.raises(SourceProtocolError, match="sends more than the 3 bytes"):
            fetch(source(script.url, known), 1, 4)


class TestUnchanged:
    @pytest.mark.parametrize(
        "behaviour",
        [
            Behaviour(),
            Behaviour(etag=Etag.NONE),
            Behaviour(ranges=Ranges.NONE),
            Behaviour(etag=Etag.NONE, ranges=Ranges.NONE),
        ],
        ids=["etag", "date", "etag without ranges", "date without ranges"],
    )
    def test_a_head_tells(self, origin: Origin, source: Open, behaviour: Behaviour) -> None:
        one = source(origin.add("/f", FILE, behaviour))
        info = one.stat()
        assert info.validator is not None
        assert one.unchanged(info.validator, FILE.size)
        assert not one.unchanged(Validator(info.validator.kind, info.validator.value + "x"), FILE.size)
        origin.replace("/f", OTHER)
        assert not one.unchanged(info.validator, FILE.size)

    def test_a_date_alone_is_not_enough(self, origin: Origin, source: Open) -> None:
        one = source(origin.add("/f", FILE, Behaviour(etag=Etag.NONE)))
        validator = one.stat().validator
        assert validator is not None
        assert not one.unchanged(validator, FILE.size + 1)

    def test_a_weak_etag_is_not_the_strong_one(self, origin: Origin, source: Open) -> None:
        one = source(origin.add("/f", FILE, Behaviour(etag=Etag.WEAK)))
        assert not one.unchanged(Validator(ValidatorKind.ETAG, f'"{FILE.tag}"'), FILE.size)

    def test_it_costs_no_body(self, origin: Origin, source: Open) -> None:
        url = origin.add("/f", FILE)
        assert source(url).unchanged(Validator(ValidatorKind.ETAG, f'"{FILE.tag}"'), FILE.size)
        origin.cut()  # after which the log says all there is to say
        assert [(each.status, each.sent) for each in origin.requests] == [(304, 0)]

    def test_a_refusal_is_told(self, origin: Origin, source: Open) -> None:
        url = origin.add("/f", FILE, Behaviour(status=404))
        with pytest.raises(SourceRefusedError):
            source(url).unchanged(Validator(ValidatorKind.ETAG, '"a"'), 1)


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_are_followed_anew_by_each_request(self, origin: Origin, source: Open, status: int) -> None:
        origin.add("/f", FILE)
        one = source(origin.add("/to", b"", Behaviour(redirect="f", redirect_status=status)))
        one.stat()
        assert fetch(one) == FILE.read()
        assert fetch(one, 1000) == FILE.read(1000)
        assert [each.path for each in origin.requests] == ["/to", "/f"] * 2

    def test_reuse_the_connection(self, origin: Origin, source: Open) -> None:
        origin.add("/f", b"content")
        url = origin.chain("/to", "/f", 5)
        for _ in range(2):
            one = source(url)
            one.stat()
            assert fetch(one) == b"content"
        assert origin.opened == 1

    def test_ten_are_enough(self, origin: Origin, source: Open) -> None:
        origin.add("/f", b"content")
        assert fetch(source(origin.chain("/ten", "/f", 10))) == b"content"
        with pytest.raises(SourceRefusedError, match="more than 10 redirects"):
            fetch(source(origin.chain("/eleven", "/f", 11)))

    def test_a_loop(self, origin: Origin, source: Open) -> None:
        with pytest.raises(SourceRefusedError, match="redirects"):
            fetch(source(origin.add("/to", b"", Behaviour(redirect="/to"))))

    def test_names_in_other_letters(self, origin: Origin, source: Open) -> None:
        origin.add("/b%C3%BCcher", b"content")
        location = "/bücher".encode().decode("latin-1")
        assert fetch(source(origin.add("/to", b"", Behaviour(redirect=location)))) == b"content"

    @pytest.mark.parametrize("status", [300, 301, 302, 304, 305])
    def test_that_lead_nowhere(self, origin: Origin, source: Open, status: int) -> None:
        with pytest.raises(SourceRefusedError, match=f"HTTP {status}"):
            fetch(source(origin.add("/to", b"", Behaviour(status=status))))

    @pytest.mark.parametrize(
        "location",
        [
            "http://10.0.0.1/",
            "http://169.254.169.254/latest/meta-data/",
            "http://[::1]/",
            "http://0.0.0.0/",
            "http://[::ffff:10.0.0.1]:{port}/",
            "//0.0.0.0:{port}/",
            "file:///etc/passwd",
            "ftp://127.0.0.1/",
            "gopher://127.0.0.1:{port}/",
            "javascript:0",
            "http://127.0.0.1:0/",
        ],
    )
    def test_to_what_may_not_be_fetched(self, origin: Origin, source: Open, location: str) -> None:
        url = origin.add("/to", b"", Behaviour(redirect=location.format(port=origin.port)))
        with pytest.raises(AddressForbiddenError):
            fetch(source(url))
        assert len(origin.requests) == 1

    @pytest.mark.parametrize("location", ["http://[", "http://127.0.0.1:99999/"])
    def test_to_what_is_no_url(self, origin: Origin, source: Open, location: str) -> None:
        url = origin.add("/to", b"", Behaviour(redirect=location))
        with pytest.raises((SourceRefusedError, AddressForbiddenError)):
            fetch(source(url))

    def test_a_large_body_is_not_read(self, origin: Origin, source: Open) -> None:
        origin.add("/f", b"content")
        head = b"HTTP/1.1 302 Found\r\nLocation: " + origin.url("/f").encode() + b"\r\n"
        with Script(head + b"Content-Length: 999999999\r\n\r\nbeginning", stays=True) as script:
            assert fetch(source(script.url)) == b"content"


class TestCredentials:
    @pytest.fixture
    def guarded(self, origin: Origin) -> str:
        origin.add("/f", FILE, Behaviour(credentials="us@r:p:ss"))
        return origin.url("/f").replace("://", "://us%40r:p%3Ass@")

    def test_of_the_url_are_sent(self, guarded: str, source: Open) -> None:
        one = source(guarded)
        one.stat()
        assert fetch(one, 1000) == FILE.read(1000)

    def test_none_are_sent_without(self, origin: Origin, guarded: str, source: Open) -> None:
        with pytest.raises(SourceRefusedError, match="401"):
            source(guarded.replace("us%40r:p%3Ass@", "")).stat()
        assert "authorization" not in origin.requests[0].headers

    def test_stay_within_the_origin(self, origin: Origin, guarded: str, source: Open) -> None:
        origin.add("/to", b"", Behaviour(redirect="/f"))
        assert fetch(source(guarded.replace("/f", "/to"))) == FILE.read()

    def test_do_not_leave_it(self, origin: Origin, guarded: str, source: Open) -> None:
        with Origin() as other:
            other.add("/f", b"content")
            other.add("/back", b"", Behaviour(redirect=origin.url("/f")))
            for target in (other.url("/f"), f"http://files.test:{origin.port}/f", other.url("/back")):
                origin.add("/to", b"", Behaviour(redirect=target))
                one = source(guarded.replace("/f", "/to"))
                if target == other.url("/f"):
                    assert fetch(one) == b"content"
                else:
                    with pytest.raises(SourceRefusedError, match="401"):
                        one.stat()
            assert all("authorization" not in each.headers for each in other.requests)

    def test_of_a_redirect_go_where_it_leads_and_no_further(self, origin: Origin, source: Open) -> None:
        with Origin() as other:
            origin.add("/f", b"content")
            onward = other.add("/on", b"", Behaviour(redirect=origin.url("/f"), credentials="a:b"))
            url = origin.add("/to", b"", Behaviour(redirect=onward.replace("://", "://a:b@")))
            assert fetch(source(url)) == b"content"
        assert all("authorization" not in each.headers for each in origin.requests)

    @pytest.mark.parametrize(
        "behaviour",
        [
            Behaviour(status=404),
            Behaviour(cut_after=10),
            Behaviour(malformed=Malformed.NOT_HTTP),
            Behaviour(never_answers=True),
            Behaviour(redirect="http://10.0.0.1/?token=secret"),
            Behaviour(redirect="http://user:secret@10.0.0.1/"),
            Behaviour(redirect="http://no host/?token=secret"),
        ],
        ids=lambda each: next(iter(each.to_json())),
    )
    def test_and_queries_show_in_no_failure(self, origin: Origin, source: Open, behaviour: Behaviour) -> None:
        url = origin.add("/f", FILE, behaviour).replace("://", "://user:secret@") + "?token=secret"
        with pytest.raises(SourceError) as failure:
            fetch(source(url, stall_seconds=STALL_SECONDS))
        assert "secret" not in "".join(traceback.format_exception(failure.value))

    def test_of_the_machine_are_not_used(
        self, origin: Origin, source: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password secret\n")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert fetch(source(origin.add("/f", FILE))) == FILE.read()
        assert "authorization" not in origin.requests[0].headers


class TestBusyServers:
    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize(
        ("retry_after", "expected"), [("7", 7), (None, None), ("in the past", 0), ("in two minutes", 120)]
    )
    def test_tell_when_to_come_back(
        self, origin: Origin, source: Open, status: int, retry_after: str | None, expected: float | None
    ) -> None:
        dates = {"in the past": http_date(-60), "in two minutes": http_date(120)}
        behaviour = Behaviour(status=status, retry_after=dates.get(str(retry_after), retry_after))
        with pytest.raises(SourceBusyError, match=f"HTTP {status}") as failure:
            source(origin.add("/f", FILE, behaviour)).stat()
        told = failure.value.retry_after_seconds
        assert told == expected if expected is None else told == pytest.approx(expected, abs=2)

    def test_later_too(self, origin: Origin, source: Open) -> None:
        one = source(origin.add("/f", FILE, Behaviour(), Behaviour(status=503, retry_after="1"), Behaviour()))
        one.stat()
        with pytest.raises(SourceBusyError):
            fetch(one, 1000)
        assert fetch(one, 1000) == FILE.read(1000)


class TestUnreachableServers:
    def test_a_refused_connection(self, origin: Origin, source: Open) -> None:
        origin.down()
        with pytest.raises(SourceUnreachableError, match=f"connection refused by 127.0.0.1:{origin.port}"):
            source(origin.url("/f")).stat()

    def test_an_unknown_name(self, source: Open) -> None:
        with pytest.raises(SourceUnreachableError, match=r"the name nowhere\.test is not known"):
            source("http://nowhere.test/f").stat()

    @pytest.mark.parametrize("url", ["ftp://127.0.0.1/f", "file:///etc/passwd", "f", "http://", "http://h:99999/"])
    def test_a_url_that_none_is_asked_for(self, source: Open, url: str) -> None:
        with pytest.raises(AddressForbiddenError):
            source(url)

    def test_a_server_that_went_away_in_between(self, origin: Origin, source: Open) -> None:
        one = source(origin.add("/f", FILE))
        one.stat()
        fetch(one)
        origin.down()
        origin.cut()
        with pytest.raises(SourceUnreachableError, match="refused"):
            fetch(one, 1000)
        origin.up()
        assert fetch(one, 1000) == FILE.read(1000)

    def test_a_name_that_turns_private(self, origin: Origin) -> None:
        resolve = ResolverTable({"rebind.test": ["127.0.0.1", "0.0.0.0"]})  # noqa: S104
        url = f"http://rebind.test:{origin.port}/f"
        origin.add("/f", FILE, Behaviour(after=After.CLOSE))
        with session(LOOPBACK, resolve=resolve) as made, HttpSource(url, made) as one:
            one.stat()
            assert fetch(one) == FILE.read()
            with pytest.raises(AddressForbiddenError):
                fetch(one, 1000)
        assert len(origin.requests) == 1

    def test_a_name_with_a_dead_address(self, origin: Origin) -> None:
        origin.add("/f", FILE)
        resolve = ResolverTable({"two.test": [["::1", "127.0.0.1"]]})  # the origin listens on the second
        allowance = Allowance.parse(["two.test"])
        with session(allowance, resolve=resolve) as made, HttpSource(f"http://two.test:{origin.port}/f", made) as one:
            assert fetch(one) == FILE.read()
        assert origin.requests[0].headers["host"] == f"two.test:{origin.port}"


class TestTLS:
    RESOLVE = {"files.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]}

    @pytest.mark.parametrize("framing", Framing)
    def test_the_name_in_the_url_counts(self, tmp_path: Path, framing: Framing) -> None:
        certificate = self_signed(tmp_path, ["files.test"])
        with (
            Origin(tls=certificate) as origin,
            session(LOOPBACK, resolve=ResolverTable(self.RESOLVE), authorities=str(certificate.path)) as made,
        ):
            origin.add("/f", FILE, Behaviour(framing=framing))
            with HttpSource(origin.url("/f", "files.test"), made) as one:
                assert fetch(one) == FILE.read()
                assert fetch(one, 1000) == FILE.read(1000)
            with (
                HttpSource(origin.url("/f", "other.test"), made) as other,
                pytest.raises(SourceUnreachableError, match=r"certificate of other\.test:\d+ cannot be trusted"),
            ):
                other.stat()

    @pytest.mark.parametrize("expired", [False, True])
    def test_who_signed_it_and_until_when(self, tmp_path: Path, expired: bool) -> None:  # noqa: FBT001
        certificate = self_signed(tmp_path, ["127.0.0.1"], expired=expired)
        authorities = str(certificate.path) if expired else None
        with (
            Origin(tls=certificate) as origin,
            session(LOOPBACK, authorities=authorities) as made,
            HttpSource(origin.url("/f"), made) as one,
            pytest.raises(SourceUnreachableError, match="cannot be trusted"),
        ):
            one.stat()

    def test_a_server_that_does_not_speak_it(self, source: Open) -> None:
        with (
            Script(b"HTTP/1.1 400 Bad Request\r\n\r\n") as script,
            pytest.raises(
                SourceUnreachableError, match=r"no TLS connection with 127\.0\.0\.1:\d+: wrong version number"
            ),
        ):
            source(script.url.replace("http:", "https:")).stat()

    def test_a_body_that_ends_with_the_connection_must_end_as_tls_does(self, tmp_path: Path) -> None:
        certificate = self_signed(tmp_path)
        behaviour = Behaviour(framing=Framing.CLOSE, ranges=Ranges.NONE, cut_after=1_000_000)
        with (
            Origin(tls=certificate) as origin,
            session(LOOPBACK, authorities=str(certificate.path)) as made,
            HttpSource(origin.add("/f", FILE, behaviour), made) as one,
            pytest.raises(SourceInterruptedError),
        ):
            fetch(one)

    def test_credentials_do_not_go_down_to_http(self, tmp_path: Path, origin: Origin) -> None:
        certificate = self_signed(tmp_path)
        origin.add("/f", b"content")
        with Origin(tls=certificate) as secure, session(LOOPBACK, authorities=str(certificate.path)) as made:
            url = secure.add("/to", b"", Behaviour(redirect=origin.url("/f"))).replace("://", "://user:secret@")
            with HttpSource(url, made) as one:
                assert fetch(one) == b"content"
            assert "authorization" in secure.requests[0].headers
            assert "authorization" not in origin.requests[0].headers


class TestAbort:
    @pytest.fixture
    def aborted(self) -> Iterator[Callable[..., float]]:
        """Runs a source in a thread, aborts it once it waits, and gives the seconds that this took to end it."""
        pool = ThreadPoolExecutor(1)

        def run(one: HttpSource, waits: Callable[[], object]) -> float:
            future = pool.submit(fetch, one)
            waits()
            time.sleep(0.05)
            began = time.monotonic()
            one.abort()
            with pytest.raises(SourceInterruptedError, match="told to end"):
                future.result(10)
            with pytest.raises(SourceInterruptedError, match="told to end"):
                one.open(0, 1)
            with pytest.raises(SourceInterruptedError, match="told to end"):
                one.stat()
            return time.monotonic() - began

        with pool:
            yield run

    @pytest.mark.parametrize(
        "behaviour",
        [
            Behaviour(stall_after=1_000_000),
            Behaviour(stall_after=1_000_000, framing=Framing.CHUNKED),
            Behaviour(stall_after=1_000_000, framing=Framing.CLOSE, ranges=Ranges.NONE),
            Behaviour(stall_after=100_000, gzip=True),
            Behaviour(never_answers=True),
            Behaviour(head_rate=5),
        ],
        ids=["body", "chunked", "body that ends with the connection", "gzip", "answer", "head"],
    )
    def test_ends_what_waits(
        self, origin: Origin, source: Open, aborted: Callable[..., float], behaviour: Behaviour
    ) -> None:
        one = source(origin.add("/f", FILE, behaviour), stall_seconds=30)
        assert aborted(one, partial(origin.wait_for_requests, "/f", 1)) < 1

    def test_ends_a_body_over_tls(self, tmp_path: Path, aborted: Callable[..., float]) -> None:
        certificate = self_signed(tmp_path)
        with Origin(tls=certificate) as origin, session(LOOPBACK, authorities=str(certificate.path)) as made:
            url = origin.add("/f", FILE, Behaviour(stall_after=1_000_000))
            with HttpSource(url, made) as one:
                assert aborted(one, partial(origin.wait_for_requests, "/f", 1)) < 1

    def test_ends_a_handshake(self, source: Open, aborted: Callable[..., float]) -> None:
        with Script(b"", stays=True) as script:
            one = source(script.url.replace("http:", "https:"))
            assert aborted(one, script.connected.wait) < 1

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a connection under way ends with its time-out")
    def test_ends_a_connection_under_way(self, source: Open, aborted: Callable[..., float]) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as fillers:
            for _ in range(4):
                filler = fillers.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            one = source(f"http://127.0.0.1:{full.getsockname()[1]}/f")
            assert aborted(one, lambda: None) < 1

    def test_that_comes_before_the_connection_prevents_it(self, origin: Origin) -> None:
        sources: list[HttpSource] = []

        def abort_and_resolve(*_: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
            sources[0].abort()
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", origin.port))]

        with session(LOOPBACK, resolve=abort_and_resolve) as made, HttpSource("http://files.test/f", made) as one:
            sources.append(one)
            with pytest.raises(SourceInterruptedError, match="told to end"):
                one.stat()
        assert origin.opened == 0

    def test_ends_a_body_on_a_connection_that_was_used_before(
        self, origin: Origin, source: Open, aborted: Callable[..., float]
    ) -> None:
        origin.add("/g", b"content")
        first = source(origin.url("/g"))
        first.stat()
        fetch(first)
        one = source(origin.add("/f", FILE, Behaviour(stall_after=1_000_000)), stall_seconds=30)
        assert aborted(one, partial(origin.wait_for_requests, "/f", 1)) < 1
        assert origin.opened == 1

    def test_leaves_the_others_of_the_session_alone(self, origin: Origin, source: Open) -> None:
        url = origin.add("/f", FILE)
        one, other = source(url), source(url)
        one.stat()
        other.stat()
        fetch(one)
        with other.open(0, None) as reader:
            one.abort()
            got = reader.readinto(memoryview(bytearray(10)))
        assert got == 10
        assert fetch(source(url)) == FILE.read()

    def test_does_not_break_the_connections_it_gave_back(self, origin: Origin, source: Open) -> None:
        url = origin.add("/f", b"content")
        one = source(url)
        one.stat()
        fetch(one)
        one.abort()
        one.abort()
        assert fetch(source(url)) == b"content"
        assert origin.opened == 1

    def test_at_any_moment(self, origin: Origin, shared: requests.Session) -> None:
        url = origin.add("/f", GeneratedFile(300_000), Behaviour(rate=3_000_000))

        def run(delay_seconds: float) -> None:
            with HttpSource(url, shared) as one:
                timer = threading.Timer(delay_seconds, one.abort)
                timer.start()
                try:
                    assert fetch(one) == GeneratedFile(300_000).read()
                except SourceInterruptedError as error:
                    assert error.message == "the transfer was told to end"  # noqa: PT017
                finally:
                    timer.cancel()
                    timer.join()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(run, [number * 0.003 for number in range(40)]))
