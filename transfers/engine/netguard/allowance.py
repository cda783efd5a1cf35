"""Which addresses may be fetched: a judgement over numbers and names that touches no network."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# The address tables of Python differ between its releases (CVE-2024-4032), so the judgement does not rest on them
# alone. Source: the IANA special-purpose address registries, less what is globally reachable.
_SPECIAL_IPV4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this network; Linux takes 0.0.0.0 for itself
            "10.0.0.0/8",
            "100.64.0.0/10",  # shared between a provider and its customers; also a cloud's metadata
            "127.0.0.0/8",
            "168.63.129.16/32",  # a public address that stands for the host itself in one cloud
            "169.254.0.0/16",  # link-local, metadata of most clouds
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocol assignments; also a cloud's metadata
            "192.0.2.0/24",
            "192.88.99.0/24",  # 6to4 relays, withdrawn
            "192.168.0.0/16",
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")  # nothing outside it is given to anybody
_SPECIAL_IPV6 = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, withdrawn: carries any IPv4 address
            "3fff::/20",  # documentation
        ),
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # how a host without IPv4 sees every IPv4 address (RFC 6052)


def is_public(address: Address) -> bool:
    """Whether the address belongs to the public internet; one that carries an IPv4 address is judged by that."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not any(address in network for network in _SPECIAL_IPV4)
    carried = _carried_ipv4(address)
    if carried is not None:
        return is_public(carried)
    return address in _GLOBAL_IPV6 and address.is_global and not any(address in network for network in _SPECIAL_IPV6)


def _carried_ipv4(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that a packet to this IPv6 address really goes to, where that is so by a standard in use."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be fetched though it is not public: hosts by name, wherever they lead, and networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Allowance:
        """Read names, addresses and CIDRs; ValueError for what is none of them."""
        hosts, networks = set(), []
        for entry in entries:
            try:
                networks.append(ipaddress.ip_network(entry.strip().strip("[]"), strict=False))
            except ValueError:
                hosts.add(_name_to_allow(entry.strip()))
        return cls(frozenset(hosts), tuple(networks))

    def permits(self, host: str, address: str) -> bool:
        """Whether `address`, which `host` leads to, may be fetched."""
        if _plain(host) in self.hosts:
            return True
        bare, _, zone = address.partition("%")
        parsed = ipaddress.ip_address(bare)
        forms = (parsed, _carried_ipv4(parsed) or parsed)
        if any(form in network for form in forms for network in self.networks):
            return True
        return not zone and is_public(parsed)


def _name_to_allow(entry: str) -> str:
    if not entry or any(each in entry for each in "/:@*? "):
        raise ValueError(f"{entry!r} is neither the name of a host nor an address nor a CIDR")
    prepared = requests.Request("GET", f"http://{entry}/").prepare()  # spells a name in other letters as URLs get it
    return _plain(urlsplit(str(prepared.url)).hostname or entry)


def _plain(host: str) -> str:
    return host.lower().rstrip(".")
