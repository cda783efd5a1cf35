from __future__ import annotations

import socket

import pytest

from config.supervisor import listener
from config.supervisor.errors import StartError


def test_port_0_takes_a_free_one_and_tells_it() -> None:
    with listener.listen("127.0.0.1", 0) as listening:
        host, port = listener.local_address(listening)
        assert host == "127.0.0.1"
        with socket.create_connection((host, port)):
            pass


def test_a_name_with_both_families_means_ipv4() -> None:
    with listener.listen("localhost", 0) as listening:
        assert listening.family == socket.AF_INET


def test_every_address_is_reached_on_the_loopback_one() -> None:
    with listener.listen("0.0.0.0", 0) as listening:  # noqa: S104 - for a moment
        assert listener.local_address(listening)[0] == "127.0.0.1"


def test_a_taken_port_is_told() -> None:
    with listener.listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(StartError, match=f"Port {port} on 127.0.0.1 is taken"):
            listener.listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.name.invalid"], ids=["foreign", "unknown"])
def test_a_host_that_is_not_ours_is_told(host: str) -> None:
    with pytest.raises(StartError, match="HOST: "):
        listener.listen(host, 0)


def test_a_port_that_was_just_used_can_be_used_again() -> None:
    with listener.listen("127.0.0.1", 0) as listening:
        address = listening.getsockname()
        client = socket.create_connection(address)
        served, _ = listening.accept()
        served.close()  # this side closes first, so the port waits in TIME_WAIT
        client.close()
    with listener.listen(*address) as listening:
        assert listening.getsockname() == address


@pytest.mark.parametrize(
    ("address", "url"),
    [(("127.0.0.1", 8008), "http://127.0.0.1:8008"), (("::1", 80), "http://[::1]:80")],
    ids=["IPv4", "IPv6"],
)
def test_urls(address: tuple[str, int], url: str) -> None:
    assert listener.url(address) == url
