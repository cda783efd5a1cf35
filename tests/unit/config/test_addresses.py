"""Whose address a request is counted under, whatever its headers claim."""

from __future__ import annotations

import ipaddress

import pytest

from config.addresses import Network, believed, client_of, counted

PROXIES = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "192.168.1.1", "2001:db8:1::/48")]


def told(peer: str, *forwarded: str) -> str:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    client = client_of((peer, 5000), [(b"host", b"carryon"), *headers], PROXIES)
    assert client is not None
    assert client[1] == 5000
    return client[0]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.2", [], "10.0.0.2"),
        ("10.0.0.2", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.2", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.2", ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.2", ["6.6.6.6, 198.51.100.1, 10.9.9.9, 192.168.1.1"], "198.51.100.1"),
        ("10.0.0.2", ["6.6.6.6, 192.168.1.2"], "192.168.1.2"),
        ("10.0.0.2", ["10.3.3.3"], "10.3.3.3"),
        ("10.0.0.2", ["198.51.100.1, nonsense"], "10.0.0.2"),
        ("10.0.0.2", ["198.51.100.1,"], "10.0.0.2"),
        ("10.0.0.2", [""], "10.0.0.2"),
        ("10.0.0.2", ["\xff"], "10.0.0.2"),
        ("::ffff:10.0.0.2", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8:1::5", ["2001:db8:2::7"], "2001:db8:2::7"),
        ("2001:db8:2::7", ["198.51.100.1"], "2001:db8:2::7"),
        ("10.0.0.2", ["::ffff:198.51.100.1"], "198.51.100.1"),
    ],
    ids=str,
)
def test_a_header_counts_as_far_as_the_proxies_are_trusted(peer: str, forwarded: list[str], client: str) -> None:
    assert told(peer, *forwarded) == client


def test_without_trusted_proxies_the_peer_is_the_client() -> None:
    assert client_of(("10.0.0.2", 1), [(b"x-forwarded-for", b"198.51.100.1")], []) == ("10.0.0.2", 1)
    assert client_of(None, [(b"x-forwarded-for", b"198.51.100.1")], PROXIES) is None


@pytest.mark.parametrize(
    ("peer", "trusted", "is_believed"),
    [
        ("10.0.0.2", PROXIES, True),
        ("::ffff:10.0.0.2", PROXIES, True),
        ("203.0.113.9", PROXIES, False),
        ("127.0.0.1", PROXIES, False),
        ("127.0.0.1", [], True),
        ("::1", [], True),
        ("10.0.0.2", [], False),
        ("nonsense", PROXIES, False),
    ],
)
def test_the_scheme_is_believed_of_proxies_alone(peer: str, trusted: list[Network], is_believed: bool) -> None:  # noqa: FBT001 - a table
    host, told = (b"host", b"carryon"), (b"X-Forwarded-Proto", b"https")
    assert believed((peer, 5000), [host, told], trusted) == ([host, told] if is_believed else [host])
    assert believed(None, [host, told], trusted) == [host]


@pytest.mark.parametrize(
    ("address", "under"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("2001:db8:5:6:7:8:9:a", "2001:db8:5:6::"),
        ("2001:db8:5:6::1", "2001:db8:5:6::"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("", ""),
    ],
)
def test_of_ipv6_a_network_counts_as_one(address: str, under: str) -> None:
    assert counted(address) == under
