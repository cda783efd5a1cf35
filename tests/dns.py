"""A resolver that answers from a table, in the shape of `socket.getaddrinfo`."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence

Found = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]]


class ResolverTable:
    """Each name has answers in turn, the last one for good; an answer is an address or several at once.

        ResolverTable({"rebind.test": ["93.184.216.34", "127.0.0.1"]})  # first public, then private

    A name that is not in the table is unknown, as is one whose answer has no address; addresses stand for themselves.
    """

    def __init__(self, answers: Mapping[str, Sequence[str | Sequence[str]]]) -> None:
        self._answers = {
            name: [[each] if isinstance(each, str) else [*each] for each in turns] for name, turns in answers.items()
        }
        self.asked: list[str] = []
        """Every name that was asked for, in order."""

    def __call__(  # noqa: PLR0917 - getaddrinfo's own signature
        self,
        host: str | bytes | None,
        port: str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002
        proto: int = 0,  # noqa: ARG002
        flags: int = 0,  # noqa: ARG002
    ) -> list[Found]:
        """Answer as `socket.getaddrinfo`; `socket.gaierror` for what is unknown or of another family."""
        name = host.decode() if isinstance(host, bytes) else host or "localhost"
        self.asked.append(name)
        kind = socket.SocketKind(type or socket.SOCK_STREAM)
        found = [_found(address, int(port or 0), kind) for address in self._next(name)]
        found = [each for each in found if family in (socket.AF_UNSPEC, each[0])]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found

    def _next(self, name: str) -> Sequence[str]:
        if name in self._answers:
            turns = self._answers[name]
            return turns.pop(0) if len(turns) > 1 else turns[0]
        try:
            return [str(ipaddress.ip_address(name))]
        except ValueError:
            return []


def _found(address: str, port: int, kind: socket.SocketKind) -> Found:
    if ipaddress.ip_address(address).version == 4:
        return socket.AF_INET, kind, socket.IPPROTO_TCP, "", (address, port)
    return socket.AF_INET6, kind, socket.IPPROTO_TCP, "", (address, port, 0, 0)
