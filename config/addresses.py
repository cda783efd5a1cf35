"""Where a request comes from, and whether by TLS: what is seen of the peer, or what a proxy that is trusted says."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Client = tuple[str, int]

FORWARDED_FOR = b"x-forwarded-for"
FORWARDED_PROTO = b"x-forwarded-proto"
THIS_MACHINE: Sequence[Network] = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))
PREFIX_BITS = 64
"""What one household or host has of IPv6, where a single address counts for nothing (RFC 6177)."""


def client_of(peer: Client | None, headers: Iterable[tuple[bytes, bytes]], trusted: Sequence[Network]) -> Client | None:
    """The client as it is known: the nearest address to us, going back through the proxies, that is not one of them.

    What `X-Forwarded-For` says further away than that was said by the client itself, and is not looked at.
    """
    address = _parsed(peer[0]) if peer else None
    if peer is None or address is None or not trusted:
        return peer
    told = [value for name, value in headers if name.lower() == FORWARDED_FOR]
    for word in reversed(b",".join(told).decode("latin-1").split(",")):
        before = _parsed(word.strip()) if _is_in(address, trusted) else None
        if before is None:
            break
        address = before
    return str(address), peer[1]


def believed(
    peer: Client | None, headers: Iterable[tuple[bytes, bytes]], trusted: Sequence[Network]
) -> list[tuple[bytes, bytes]]:
    """The headers without `X-Forwarded-Proto`, unless the peer is one of the trusted proxies.

    Where none is named, one on this machine may say it: nobody passes for somebody else by it.
    """
    address = _parsed(peer[0]) if peer else None
    is_trusted = address is not None and _is_in(address, trusted or THIS_MACHINE)
    return [(name, value) for name, value in headers if is_trusted or name.lower() != FORWARDED_PROTO]


def counted(address: str) -> str:
    """What requests of one client are counted under: its address, or of IPv6 its network, of which it may use any."""
    parsed = _parsed(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((parsed, PREFIX_BITS), strict=False).network_address)
    return str(parsed) if parsed else address


def _parsed(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)
