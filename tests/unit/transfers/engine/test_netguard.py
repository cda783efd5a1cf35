from __future__ import annotations

import contextlib
import ipaddress
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
import requests

from tests.dns import ResolverTable
from transfers.engine.netguard import (
    Allowance,
    Guard,
    GuardedAdapter,
    GuardedResponse,
    check_url,
    is_public,
    may_keep_credentials,
    place_of,
    split_credentials,
    watched,
)
from transfers.engine.netguard.connection import connection_failure
from transfers.errors import AddressForbiddenError, SourceError, SourceInterruptedError, SourceUnreachableError

LOOPBACK = Allowance.parse(["127.0.0.1/32"])
ANY = "0.0.0.0"  # noqa: S104 - another address of this machine, where a connection would arrive


class TestIsPublic:
    @pytest.mark.parametrize(
        "address",
        [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "2001:200::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ],
    )
    def test_public(self, address: str) -> None:
        assert is_public(ipaddress.ip_address(address))

    @pytest.mark.parametrize(
        "address",
        [
            "0.0.0.0",  # noqa: S104 - what is judged, not bound
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.9",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::10.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::808:808",
            "100::1",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:db8::1",
            "2001:10::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
        ],
    )
    def test_not_public(self, address: str) -> None:
        assert not is_public(ipaddress.ip_address(address))


class TestAllowance:
    @pytest.mark.parametrize(
        ("entries", "host", "address"),
        [
            (["files.example"], "files.example", "10.0.0.1"),
            (["Files.Example."], "files.example", "10.0.0.1"),
            (["files.example"], "FILES.EXAMPLE.", "10.0.0.1"),
            (["bücher.example"], "xn--bcher-kva.example", "10.0.0.1"),
            (["10.0.0.0/8"], "files.example", "10.1.2.3"),
            (["10.1.2.3/8"], "files.example", "10.9.9.9"),
            (["10.0.0.1"], "10.0.0.1", "10.0.0.1"),
            (["10.0.0.0/8"], "files.example", "::ffff:10.0.0.1"),
            (["10.0.0.0/8"], "files.example", "64:ff9b::a00:1"),
            (["[::1]"], "localhost", "::1"),
            (["::1"], "localhost", "::1"),
            (["fe80::/10"], "printer", "fe80::1%eth0"),
            ([" 192.168.0.0/16 ", "other"], "nas", "192.168.1.2"),
            ([], "example.com", "93.184.216.34"),
        ],
    )
    def test_permits(self, entries: list[str], host: str, address: str) -> None:
        assert Allowance.parse(entries).permits(host, address)

    @pytest.mark.parametrize(
        ("entries", "host", "address"),
        [
            ([], "files.example", "10.0.0.1"),
            (["files.example"], "other.example", "10.0.0.1"),
            (["files.example"], "sub.files.example", "10.0.0.1"),
            (["files.example"], "files.example.evil.test", "10.0.0.1"),
            (["10.0.0.0/8"], "files.example", "192.168.0.1"),
            (["10.0.0.0/8"], "files.example", "::ffff:127.0.0.1"),
            (["127.0.0.1"], "localhost", "127.0.0.2"),
            (["127.0.0.0/8"], "localhost", "::1"),
            ([], "v6.example", "2606:4700::1%eth0"),
        ],
    )
    def test_forbids(self, entries: list[str], host: str, address: str) -> None:
        assert not Allowance.parse(entries).permits(host, address)

    @pytest.mark.parametrize("entry", ["", " ", "http://host/", "host:80", "user@host", "*.example", "10.0.0.0/33"])
    def test_an_entry_that_is_none(self, entry: str) -> None:
        with pytest.raises(ValueError, match="neither"):
            Allowance.parse([entry])


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        [
            "http://example.com/",
            "HTTPS://EXAMPLE.com:8443/x",
            "http://[2606:4700::1111]/",
            "http://user:secret@example.com/",
            "http://example.com/two words",
            "http://2130706433/",  # the connection finds out where such a spelling leads
        ],
    )
    def test_may_be_asked(self, url: str) -> None:
        assert check_url(url).hostname

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "example.com/file",
            "//example.com/file",
            "file:///etc/passwd",
            "ftp://example.com/",
            "gopher://example.com/",
            "data:text/plain,x",
            "httpx://example.com/",
            "http:example.com",
            "http://",
            "http:///file",
            "http://:80/",
            "http://user@/",
            "http://example.com:0/",
            "http://example.com:65536/",
            "http://example.com:port/",
            "http://[::1/",
            "http://[fe80::1%25eth0]/",
            "http://127%2e0.0.1/",
            "http://good.example\\@evil.example/",
            "http://evil.example\\.good.example/",
            "http://two words/",
            "http://a\nb/",
            "http://example.com/a\r\nX: y",
            "http://example.com/\x00",
        ],
    )
    def test_may_not(self, url: str) -> None:
        with pytest.raises(AddressForbiddenError):
            check_url(url)

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("http://example.com/a?b=c", "example.com:80"),
            ("https://user:secret@example.com/", "example.com:443"),
            ("https://example.com:8443/", "example.com:8443"),
            ("http://[2606:4700::1111]/", "[2606:4700::1111]:80"),
        ],
    )
    def test_place(self, url: str, expected: str) -> None:
        assert place_of(url) == expected

    @pytest.mark.parametrize(
        ("url", "plain", "authorization"),
        [
            ("http://example.com/a@b", "http://example.com/a@b", None),
            ("http://u:p@example.com/x?y=z", "http://example.com/x?y=z", "Basic dTpw"),
            ("http://u@example.com/", "http://example.com/", "Basic dTo="),
            ("https://us%40r:p%3A%C3%BC@example.com:8443/", "https://example.com:8443/", "Basic dXNAcjpwOsO8"),
            ("http://good.example@evil.example/", "http://evil.example/", "Basic Z29vZC5leGFtcGxlOg=="),
        ],
    )
    def test_credentials(self, url: str, plain: str, authorization: str | None) -> None:
        assert split_credentials(url) == (plain, authorization)

    @pytest.mark.parametrize(
        ("url", "target", "may"),
        [
            ("http://a.example/", "http://a.example:80/other", True),
            ("https://A.example/", "https://a.example/", True),
            ("http://a.example/", "https://a.example/", True),
            ("https://a.example/", "http://a.example/", False),
            ("http://a.example:8080/", "https://a.example/", False),
            ("http://a.example/", "https://a.example:8443/", False),
            ("http://a.example/", "http://a.example:81/", False),
            ("http://a.example/", "http://b.a.example/", False),
        ],
    )
    def test_credentials_stay_with_their_origin(self, url: str, target: str, *, may: bool) -> None:
        assert may_keep_credentials(url, target) is may


class Listener:
    """Accepts connections on a free port and counts them; nobody answers."""

    def __init__(self, *, backlog: int = 16) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.port: int = self.socket.getsockname()[1]
        self._fillers: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self.socket, *self._fillers):
            each.close()

    @property
    def reached(self) -> bool:
        return bool(select.select([self.socket], [], [], 0)[0])

    def fill(self) -> None:
        """Let every further connection wait, as at an address that swallows what is sent to it."""
        for _ in range(8):
            filler = socket.socket()
            self._fillers.append(filler)
            filler.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                filler.connect(("127.0.0.1", self.port))


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as made:
        yield made


@pytest.fixture
def closed_port() -> int:
    with Listener() as made:
        return made.port


def resolving(*addresses: tuple[str, int]) -> Callable[..., list[Any]]:
    """A resolver that knows one answer, with ports of its own, so that one machine can be many addresses."""
    return lambda *_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]


class TestGuard:
    def test_connects_to_what_is_permitted(self, listener: Listener) -> None:
        with Guard(LOOPBACK).connect("127.0.0.1", listener.port, 5) as connection:
            assert connection.getpeername() == ("127.0.0.1", listener.port)

    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", ANY, "::1"]
    )
    def test_the_machine_itself_is_forbidden_however_it_is_spelled(self, listener: Listener, host: str) -> None:
        with pytest.raises(AddressForbiddenError, match="not public"):
            Guard(Allowance()).connect(host, listener.port, 5)
        assert not listener.reached

    @pytest.mark.parametrize("answer", [["127.0.0.1", ANY], [ANY, "127.0.0.1"], ["127.0.0.1", "10.0.0.1"]])
    def test_one_forbidden_address_forbids_all(self, listener: Listener, answer: list[str]) -> None:
        guard = Guard(LOOPBACK, ResolverTable({"mixed.test": [answer]}))
        with pytest.raises(AddressForbiddenError, match=r"mixed\.test leads to an address that is not public"):
            guard.connect("mixed.test", listener.port, 5)
        assert not listener.reached

    def test_a_name_that_changes_after_it_was_judged(self, listener: Listener) -> None:
        resolve = ResolverTable({"rebind.test": ["127.0.0.1", ANY]})
        guard = Guard(LOOPBACK, resolve)
        with guard.connect("rebind.test", listener.port, 5) as connection:
            assert connection.getpeername()[0] == "127.0.0.1"
        assert resolve.asked == ["rebind.test"]
        with pytest.raises(AddressForbiddenError):
            guard.connect("rebind.test", listener.port, 5)

    def test_the_next_address_is_tried(self, listener: Listener, closed_port: int) -> None:
        guard = Guard(LOOPBACK, resolving(("127.0.0.1", closed_port), ("127.0.0.1", listener.port)))
        with guard.connect("two.test", 80, 5) as connection:
            assert connection.getpeername()[1] == listener.port

    def test_a_silent_address_leaves_time_for_the_next(self, listener: Listener) -> None:
        with Listener(backlog=0) as silent:
            silent.fill()
            guard = Guard(LOOPBACK, resolving(("127.0.0.1", silent.port), ("127.0.0.1", listener.port)))
            began = time.monotonic()
            with guard.connect("two.test", 80, 1) as connection:
                assert connection.getpeername()[1] == listener.port
            assert time.monotonic() - began < 0.9

    def test_silence_is_an_interruption_within_the_time(self) -> None:
        with Listener(backlog=0) as silent:
            silent.fill()
            began = time.monotonic()
            with pytest.raises(SourceInterruptedError, match=r"no connection to two\.test:80 came about in time"):
                Guard(LOOPBACK, resolving(("127.0.0.1", silent.port))).connect("two.test", 80, 0.3)
            assert time.monotonic() - began < 2

    def test_a_refusal(self, closed_port: int) -> None:
        with pytest.raises(SourceUnreachableError, match=rf"^connection refused by 127\.0\.0\.1:{closed_port}$"):
            Guard(LOOPBACK).connect("127.0.0.1", closed_port, 5)

    def test_an_unknown_name(self) -> None:
        with pytest.raises(SourceUnreachableError, match=r"^the name nowhere\.test is not known$"):
            Guard(LOOPBACK, ResolverTable({})).connect("nowhere.test", 80, 5)

    @pytest.mark.parametrize("host", ["a" * 70 + ".test", "x..test"])
    def test_a_name_that_none_can_have(self, host: str) -> None:
        with pytest.raises(SourceUnreachableError, match="is not a name that a host can have"):
            Guard(LOOPBACK).connect(host, 80, 5)

    def test_a_resolver_that_cannot_answer_now(self) -> None:
        def failing(*_: object) -> list[Any]:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

        with pytest.raises(SourceInterruptedError, match="cannot be looked up at the moment"):
            Guard(LOOPBACK, failing).connect("files.example", 80, 5)

    def test_a_name_without_addresses(self) -> None:
        with pytest.raises(SourceUnreachableError, match="no address"):
            Guard(LOOPBACK, resolving()).connect("files.example", 80, 5)


class TestWatched:
    def test_a_connection_under_way_is_ended(self) -> None:
        handles: list[socket.socket] = []
        failures: list[BaseException] = []
        announced = threading.Event()

        def watcher(handle: socket.socket, /, *, used: bool) -> None:
            assert not used
            handles.append(handle)
            announced.set()

        def connect(port: int) -> None:
            try:
                with watched(watcher):
                    Guard(LOOPBACK).connect("127.0.0.1", port, 30).close()
            except SourceError as error:
                failures.append(error)

        with Listener(backlog=0) as silent:
            silent.fill()
            connecting = threading.Thread(target=connect, args=(silent.port,))
            connecting.start()
            assert announced.wait(5)
            _until(lambda: _is_connecting(handles[0]))
            handles[0].shutdown(socket.SHUT_RDWR)
            connecting.join(5)
            assert not connecting.is_alive()
        for handle in handles:
            handle.close()

    def test_a_watcher_may_refuse(self, listener: Listener) -> None:
        def watcher(handle: socket.socket, /, *, used: bool) -> None:
            handle.close()
            raise SourceInterruptedError(f"ended {used}")

        with watched(watcher), pytest.raises(SourceInterruptedError, match="ended False"):
            Guard(LOOPBACK).connect("127.0.0.1", listener.port, 5)
        assert not listener.reached

    def test_a_handle_does_not_keep_the_file_number(self, listener: Listener) -> None:
        handles: list[socket.socket] = []

        def watcher(handle: socket.socket, /, *, used: bool) -> None:
            handles.append(handle)

        with watched(watcher):
            connection = Guard(LOOPBACK).connect("127.0.0.1", listener.port, 5)
        number = connection.fileno()
        assert number not in [each.fileno() for each in handles]
        connection.close()
        for each in handles:
            each.close()


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.005)


def _is_connecting(handle: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        handle.getpeername()
        return False
    return bool(handle.getsockname()[1])


class TestGuardedResponse:
    def test_a_head_has_one_time_for_all_its_bytes(self) -> None:
        server, client = socket.socketpair()
        with server, client:
            client.settimeout(0.05)
            response = GuardedResponse(client)
            time.sleep(0.1)
            server.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            with response, pytest.raises(TimeoutError):
                response.begin()

    def test_a_body_has_it_for_each(self) -> None:
        server, client = socket.socketpair()
        with server, client:
            client.settimeout(0.2)
            server.sendall(b"HTTP/1.1 200 OK\r\n\r\nbody")
            with GuardedResponse(client) as response:
                response.begin()
                time.sleep(0.25)
                assert (response.peek_now(), client.gettimeout()) == (b"body", 0.2)
                assert response.read1() == b"body"
                assert response.peek_now() == b""
                with pytest.raises(TimeoutError):
                    response.read1()


class TestConnectionFailure:
    @pytest.mark.parametrize(
        ("error", "kind", "text"),
        [
            (TimeoutError("timed out"), SourceInterruptedError, "no connection to h:1 came about in time"),
            (ConnectionRefusedError(111, "x"), SourceUnreachableError, "connection refused by h:1"),
            (ConnectionResetError(104, "x"), SourceInterruptedError, "connection closed by h:1"),
            (BrokenPipeError(32, "x"), SourceInterruptedError, "connection closed by h:1"),
            (ssl.SSLError(1, "x"), SourceUnreachableError, "no TLS connection with h:1: the handshake failed"),
            (OSError(101, "Network is unreachable"), SourceUnreachableError, "h:1 cannot be reached"),
            (OSError(113, "No route to host"), SourceUnreachableError, "h:1 cannot be reached"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
    )
    def test_table(self, error: OSError, kind: type[SourceError], text: str) -> None:
        failure = connection_failure(error, "h:1")
        assert (type(failure), failure.message) == (kind, text)


class TestGuardedAdapter:
    @pytest.fixture
    def session(self) -> Iterator[requests.Session]:
        with requests.Session() as made:
            adapter = GuardedAdapter(Guard(LOOPBACK), pool_size=1)
            made.mount("http://", adapter)
            made.mount("https://", adapter)
            yield made

    def test_a_session_reaches_nothing_forbidden(self, session: requests.Session, listener: Listener) -> None:
        with pytest.raises(AddressForbiddenError):
            session.get(f"http://{ANY}:{listener.port}/", timeout=5)
        assert not listener.reached

    def test_proxies_are_not_asked(self, session: requests.Session, listener: Listener) -> None:
        proxies = {"http": f"http://127.0.0.1:{listener.port}", "https": f"http://127.0.0.1:{listener.port}"}
        for url in ("http://10.0.0.1/", "https://10.0.0.1/"):
            with pytest.raises(AddressForbiddenError):
                session.get(url, proxies=proxies, timeout=5)
        assert not listener.reached

    def test_no_address_but_http(self, session: requests.Session) -> None:
        session.mount("file://", session.get_adapter("http://x"))
        with pytest.raises(AddressForbiddenError):
            session.get(f"file://{os.devnull}")
