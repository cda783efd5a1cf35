"""The form of an answer, and other answers than the file."""

from __future__ import annotations

import gzip

import pytest

from tests.origin import After, Behaviour, Framing, GeneratedFile, Malformed, Origin, Request, http_date
from tests.unit.origin.client import FILE, PATH, Client, ask, fetch

# The form of the answer


def test_gzip_in_spite_of_identity(origin: Origin) -> None:
    reply = fetch(origin, Behaviour(gzip=True), Accept_Encoding="identity")
    assert reply.headers["content-encoding"] == "gzip"
    assert gzip.decompress(reply.body) == FILE.read()
    part = ask(origin.url(PATH), Range="bytes=10-19")
    assert (part.status, part.body) == (206, reply.body[10:20])


@pytest.mark.parametrize(("lie", "got", "ended", "junk"), [(100, 300_000, "eof", 0), (-100, 299_900, "length", 100)])
def test_a_lying_content_length(origin: Origin, lie: int, got: int, ended: str, junk: int) -> None:
    with Client(origin.add(PATH, FILE, Behaviour(length_lie=lie))) as client:
        reply = client.get()
        assert reply.headers["content-length"] == str(300_000 + lie)
        assert (reply.body, reply.ended) == (FILE.read(0, got), ended)
        assert len(client.rest()) == junk


def test_more_bytes_than_promised(origin: Origin) -> None:
    with Client(origin.add(PATH, FILE, Behaviour(extra_bytes=50))) as client:
        assert client.get().body == FILE.read()
        assert client.rest() == b"?" * 50


def test_no_content_length(origin: Origin) -> None:
    reply = fetch(origin, Behaviour(framing=Framing.CLOSE))
    assert not reply.headers.keys() & {"content-length", "transfer-encoding"}
    assert (reply.body, reply.ended) == (FILE.read(), "eof")


def test_chunked(origin: Origin) -> None:
    with Client(origin.add(PATH, FILE, Behaviour(framing=Framing.CHUNKED))) as client:
        for _ in range(2):
            reply = client.get()
            assert "content-length" not in reply.headers
            assert reply.body == FILE.read()
    cut = fetch(origin, Behaviour(framing=Framing.CHUNKED, cut_after=100_000))
    assert (len(cut.body), cut.ended) == (100_000, "length")


@pytest.mark.parametrize(
    ("malformed", "seen"),
    [
        (Malformed.NOT_HTTP, b"220 mail.example"),
        (Malformed.STATUS_LINE, b"HTTP/1.1 OK two hundred\r\n"),
        (Malformed.HEADER_WITHOUT_COLON, b"\r\nthis is no header\r\n"),
        (Malformed.HUGE_HEADER, b"x" * 2**20),
        (Malformed.TWO_LENGTHS, b"Content-Length: 20\r\nContent-Length: 27\r\n"),
        (Malformed.NEGATIVE_LENGTH, b"Content-Length: -5\r\n"),
        (Malformed.LENGTH_IN_WORDS, b"Content-Length: many\r\n"),
        (Malformed.CUT_HEAD, b"HTTP/1.1 200 OK\r\n"),
    ],
)
def test_malformed_heads(origin: Origin, malformed: Malformed, seen: bytes) -> None:
    with Client(origin.add(PATH, GeneratedFile(20), Behaviour(malformed=malformed))) as client:
        client.send()
        answer = client.rest()
        assert seen in answer
        assert (b"\r\n\r\n" in answer) == (malformed not in (Malformed.NOT_HTTP, Malformed.CUT_HEAD))


def test_an_empty_answer(origin: Origin) -> None:
    with Client(origin.add(PATH, FILE, Behaviour(malformed=Malformed.EMPTY))) as client:
        client.send()
        assert client.rest() == b""


def test_the_end_of_a_connection_announced_and_not(origin: Origin) -> None:
    for after, announced in [(After.CLOSE, "close"), (After.DROP, None)]:
        with Client(origin.add(PATH, FILE, Behaviour(after=after))) as client:
            assert client.get().headers.get("connection") == announced
            assert client.rest() == b""
        assert origin.requests[-1].finished


# Answers in place of the file


@pytest.mark.parametrize("status", [401, 403, 404, 408, 410, 425, 429, 500, 502, 503, 504])
def test_a_status(origin: Origin, status: int) -> None:
    reply = fetch(origin, Behaviour(status=status))
    assert (reply.status, reply.body[:3]) == (status, str(status).encode())


def test_busy_twice_then_there(origin: Origin) -> None:
    date = http_date(30)
    busy = Behaviour(status=429, retry_after="2"), Behaviour(status=503, retry_after=date)
    url = origin.add(PATH, FILE, *busy, Behaviour())
    replies = [ask(url) for _ in range(4)]
    assert [each.status for each in replies] == [429, 503, 200, 200]
    assert [each.headers.get("retry-after") for each in replies] == ["2", date, None, None]


def test_head_alone_refused(origin: Origin) -> None:
    with Client(origin.add(PATH, FILE, Behaviour(head_status=405))) as client:
        client.send("HEAD")
        assert client.head().status == 405
        assert client.get().status == 200


def test_basic_authentication(origin: Origin) -> None:
    url = origin.add(PATH, FILE, Behaviour(credentials="me:secret"))
    assert ask(url).headers["www-authenticate"].startswith("Basic")
    assert ask(url, Authorization="Basic bWU6d3Jvbmc=").status == 401
    assert ask(url, Authorization="Basic bWU6c2VjcmV0").body == FILE.read()


def test_redirects(origin: Origin) -> None:
    origin.add(PATH, FILE)
    with Client(origin.chain("/start", PATH, hops=3)) as client:
        seen = []
        while (reply := client.get()).status == 302:
            seen.append(reply.headers["location"])
            client.target = reply.headers["location"][1:]
    assert seen == ["/start/1", "/start/2", PATH]
    assert reply.body == FILE.read()
    loop = Behaviour(redirect="/loop", redirect_status=307)
    assert [ask(origin.add("/loop", b"", loop)).status for _ in range(3)] == [307, 307, 307]


def test_so_many_answers_at_once_and_no_more(origin: Origin) -> None:
    url = origin.add(PATH, FILE, Behaviour(most_at_once=1))
    gate = origin.gate(PATH, at=10)
    with Client(url) as first:
        first.send()
        gate.wait()
        assert ask(url).status == 503
        gate.open()
        assert first.head().status == 200
        assert first.rest() == FILE.read()
    assert ask(url).status == 200


def test_a_choice_by_the_request(origin: Origin) -> None:
    def choose(request: Request) -> Behaviour:
        return Behaviour(status=500) if "range" in request.headers and request.number > 1 else Behaviour()

    url = origin.add(PATH, FILE, choose=choose)
    assert [ask(url, Range="bytes=0-1").status, ask(url, Range="bytes=0-1").status, ask(url).status] == [206, 500, 200]


def test_behaviours_change_at_run_time(origin: Origin) -> None:
    with Client(origin.add(PATH, FILE, Behaviour(status=503))) as client:
        assert client.get().status == 503
        origin.behave(PATH)
        assert client.get().status == 200
