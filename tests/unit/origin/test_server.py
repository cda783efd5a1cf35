"""The log, connections, TLS, and an origin in a process of its own."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

import pytest

from tests.origin import Behaviour, ContentRange, Origin, OriginProcess, read, self_signed
from tests.service import wait_until
from tests.unit.origin.client import FILE, PATH, Client, ask

# The log and the network


def test_the_log_tells_what_was_asked_and_sent(origin: Origin) -> None:
    with Client(origin.add(PATH, FILE) + "?a=b") as client:
        client.get(Range="bytes=0-99", If_Range='"x"')
        client.get(Range="bytes=0-99")
    first, second = origin.wait_for_requests(PATH, count=2)
    wait_until(lambda: second.finished, 5)  # what was sent is noted after it has been received
    assert (first.method, first.target, first.headers["if-range"]) == ("GET", "/file.bin?a=b", '"x"')
    assert [(each.status, each.sent, each.number) for each in (first, second)] == [(200, 300_000, 1), (206, 100, 2)]
    assert first.connection == second.connection == 1
    assert origin.fetched(PATH) == 300_100
    origin.forget()
    assert origin.requests == []
    with pytest.raises(TimeoutError):
        origin.wait_for_requests(PATH, count=1, timeout_seconds=0.01)


@pytest.mark.parametrize(("reset", "ended"), [(False, b""), (True, None)])
def test_cutting_all_connections_now(origin: Origin, ended: bytes | None, *, reset: bool) -> None:
    with Client(origin.add(PATH, FILE, Behaviour(stall_after=0)), timeout=1) as client:
        client.send()
        client.head()
        origin.cut(reset=reset)
        if ended is None:
            with pytest.raises(ConnectionResetError):
                client._socket.recv(1)
        else:
            assert client._socket.recv(1) == ended
    assert origin.connections == 0


def test_down_and_up_on_the_same_port(origin: Origin) -> None:
    url = origin.add(PATH, FILE)
    with Client(url) as client:
        origin.down()
        with pytest.raises(ConnectionRefusedError):
            Client(url)
        assert client.get().body == FILE.read()
    origin.up()
    assert ask(url).body == FILE.read()


def test_tls_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    with Origin(tls=certificate) as origin:
        url = origin.add(PATH, FILE, Behaviour(), Behaviour(cut_after=1000))
        with Client(url, trust=certificate.path) as client:
            assert client.get().body == FILE.read()
            assert client.get().body == FILE.read(0, 1000)
        (tmp_path / "stranger").mkdir()
        with pytest.raises(ssl.SSLCertVerificationError):
            Client(url, trust=self_signed(tmp_path / "stranger").path)


def test_an_expired_certificate(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path, expired=True)
    with Origin(tls=certificate) as origin, pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        Client(origin.url(PATH), trust=certificate.path)


def test_nothing_is_left_behind_by_held_silent_and_idle_connections() -> None:
    before = threading.active_count()
    with Origin() as origin:
        origin.add("/silent", FILE, Behaviour(stall_after=0))
        origin.add("/held", FILE)
        origin.gate("/held", at=0).close(at=0)
        clients = [Client(origin.url(path)) for path in ("/silent", "/held", "/idle")]
        for client in clients[:2]:
            client.send()
            client.head()
    assert (threading.active_count(), origin.connections) == (before, 0)
    for client in clients:
        client.__exit__()


# In a process of its own


def test_an_origin_in_its_own_process(tmp_path: Path) -> None:
    (tmp_path / "a b").write_bytes(b"on disk")
    with OriginProcess(tmp_path) as origin:
        assert ask(origin.url(FILE)).body == FILE.read()
        twice = origin.url(FILE, Behaviour(status=503), Behaviour(cut_after=10, content_range=ContentRange.SHIFTED))
        assert ask(twice).status == 503
        assert ask(twice, Range="bytes=5-99").body == FILE.read(6, 16)
        assert ask(origin.file_url("a b")).body == b"on disk"
        assert ask(f"{origin.base}/files/nothing").status == 404
        assert [each["status"] for each in origin.requests()] == [200, 503, 206, 200, 404]


def test_content_in_memory_and_as_text(origin: Origin) -> None:
    assert ask(origin.add("/bytes", b"abc")).body == b"abc"
    assert ask(origin.add("/text", "größer")).body.decode() == "größer"
    assert read(FILE, 5, 7) == FILE.read(5, 7)
