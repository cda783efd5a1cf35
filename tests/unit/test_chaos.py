"""Every fault of the proxy, seen from both of its sides."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import ChaosProxy, Ending, Faults
from tests.origin import Behaviour, GeneratedFile, Origin

FILE = GeneratedFile(300_000, seed=1)
PATH = "/file.bin"


class Echo:
    """Sends back what it gets, and after the client's end of sending says goodbye; on TCP or a unix socket."""

    def __init__(self, path: Path | None = None) -> None:
        self._server = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self._server.bind(str(path) if path else ("127.0.0.1", 0))
        self._server.listen()
        self.address = path or self._server.getsockname()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            with connection:
                try:
                    while piece := connection.recv(65536):
                        if piece == b"stop":
                            return
                        connection.sendall(piece)
                    connection.sendall(b"goodbye")
                except OSError:
                    pass

    def close(self) -> None:
        with socket.socket(self._server.family) as client:
            client.connect(str(self.address) if isinstance(self.address, Path) else self.address)
            client.sendall(b"stop")
            self._thread.join()
        self._server.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[ChaosProxy]:
    with ChaosProxy(echo.address) as running:
        yield running


def connect(proxy: ChaosProxy, timeout: float = 5) -> socket.socket:
    if isinstance(proxy.address, Path):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(proxy.address))
    else:
        client = socket.create_connection(proxy.address)
    client.settimeout(timeout)
    return client


def say(client: socket.socket, words: bytes) -> bytes:
    client.sendall(words)
    return client.recv(65536)


def ending_of(client: socket.socket, words: bytes = b"") -> str:
    if words:
        client.sendall(words)
    try:
        return "eof" if client.recv(1) == b"" else "more"
    except ConnectionResetError:
        return "reset"


def everything(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def test_without_faults_bytes_and_ends_pass_both_ways(proxy: ChaosProxy) -> None:
    with connect(proxy) as client:
        assert say(client, b"hello") == b"hello"
        assert (proxy.connections, proxy.accepted) == (1, 1)
        client.shutdown(socket.SHUT_WR)
        assert everything(client) == b"goodbye"


def test_an_http_body_comes_through_whole() -> None:
    with Origin() as origin, ChaosProxy(("127.0.0.1", origin.port)) as proxy, connect(proxy) as client:
        origin.add(PATH, FILE)
        client.sendall(f"GET {PATH} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
        assert everything(client).endswith(FILE.read())


@pytest.mark.parametrize(("unix_target", "unix_listen"), [(True, False), (False, True), (True, True)])
def test_unix_sockets_on_either_side(tmp_path: Path, *, unix_target: bool, unix_listen: bool) -> None:
    server = Echo(tmp_path / "target" if unix_target else None)
    faults = Faults(cut_after=5, ending=Ending.RESET)
    listen = tmp_path / "proxy" if unix_listen else None
    with ChaosProxy(server.address, faults, listen) as proxy, connect(proxy) as client:
        assert say(client, b"hello") == b"hello"
        assert ending_of(client, b"cut me") == ("eof" if unix_listen else "reset")
    server.close()
    assert not (tmp_path / "proxy").exists()


def test_latency(proxy: ChaosProxy) -> None:
    proxy.set(Faults(latency_seconds=0.05))
    with connect(proxy) as client:
        started = time.monotonic()
        say(client, b"hello")
        assert time.monotonic() - started >= 0.1


def test_rate(proxy: ChaosProxy) -> None:
    proxy.set(Faults(rate=20_000))
    with connect(proxy) as client:
        started = time.monotonic()
        client.sendall(bytes(3000))
        client.shutdown(socket.SHUT_WR)
        assert len(everything(client)) == 3000 + len(b"goodbye")
        assert 0.12 < time.monotonic() - started < 1


@pytest.mark.parametrize("ending", [Ending.FIN, Ending.RESET])
@pytest.mark.parametrize("after", [0, 1, 99_999])
def test_a_cut_after_so_many_bytes_towards_the_client(ending: Ending, after: int) -> None:
    with Origin() as origin, ChaosProxy(("127.0.0.1", origin.port), Faults(cut_after=after, ending=ending)) as proxy:
        origin.add(PATH, FILE)
        with connect(proxy) as client:
            client.sendall(f"GET {PATH} HTTP/1.1\r\n\r\n".encode())
            got = 0
            try:
                while piece := client.recv(65536):
                    got += len(piece)
                assert ending is Ending.FIN
            except ConnectionResetError:
                assert ending is Ending.RESET
            assert got == after


def test_a_cut_after_so_many_bytes_towards_the_target(proxy: ChaosProxy) -> None:
    proxy.set(Faults(cut_after_sent=3))
    with connect(proxy) as client:
        client.sendall(b"hello")
        assert everything(client) in (b"hel", b"")  # the echo of the three may lose the race with the cut
    assert proxy.accepted == 1


def test_half_closed_towards_the_client_the_other_direction_goes_on() -> None:
    faults = Faults(cut_after=2, ending=Ending.HALF_CLOSE)
    with (
        socket.create_server(("127.0.0.1", 0)) as target,
        ChaosProxy(target.getsockname(), faults) as proxy,
        connect(proxy) as client,
        target.accept()[0] as accepted,
    ):
        accepted.sendall(b"hello")
        assert everything(client) == b"he"
        client.sendall(b"still here")
        assert accepted.recv(100) == b"still here"


def test_half_closed_towards_the_target_the_answer_still_comes(proxy: ChaosProxy) -> None:
    proxy.set(Faults(cut_after_sent=3, ending=Ending.HALF_CLOSE))
    with connect(proxy) as client:
        client.sendall(b"hello")
        assert everything(client) == b"helgoodbye"


def test_a_black_hole_swallows_and_gives_back(proxy: ChaosProxy) -> None:
    with connect(proxy, timeout=0.1) as old:
        say(old, b"hello")
        proxy.set(Faults(black_hole=True))
        with connect(proxy, timeout=0.1) as new:
            for client in (old, new):
                with pytest.raises(TimeoutError):
                    say(client, b"anyone?")
        proxy.set(Faults())
        old.settimeout(5)
        assert old.recv(100) == b"anyone?"


@pytest.mark.parametrize("ending", [Ending.FIN, Ending.RESET])
def test_cutting_what_is_open_now(proxy: ChaosProxy, ending: Ending) -> None:
    with connect(proxy) as client:
        say(client, b"hello")
        proxy.cut(ending)
        assert ending_of(client) == ("reset" if ending is Ending.RESET else "eof")
    assert proxy.connections == 0


def test_a_reset_by_the_target_is_passed_on() -> None:
    with Origin() as origin, ChaosProxy(("127.0.0.1", origin.port)) as proxy, connect(proxy) as client:
        origin.add(PATH, FILE, Behaviour(cut_after=0, reset=True))
        assert ending_of(client, f"GET {PATH} HTTP/1.1\r\n\r\n".encode()) == "more"
        with pytest.raises(ConnectionResetError):
            everything(client)


def test_down_and_up_at_the_same_port(proxy: ChaosProxy) -> None:
    with connect(proxy) as client:
        say(client, b"hello")
        proxy.down()
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        assert say(client, b"still") == b"still"
    proxy.up()
    with connect(proxy) as client:
        assert say(client, b"again") == b"again"


def test_a_target_that_is_not_there_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    with ChaosProxy(address) as proxy, connect(proxy) as client:
        assert client.recv(1) == b""


def test_nothing_is_left_behind(echo: Echo) -> None:
    before = threading.active_count()
    with ChaosProxy(echo.address, Faults(black_hole=True)) as proxy:
        clients = [connect(proxy) for _ in range(3)]
        clients[0].sendall(b"hello")
    assert (threading.active_count(), proxy.connections) == (before, 0)
    for client in clients:
        client.close()
