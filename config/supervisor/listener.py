"""The listening socket, bound once and lent to every web process in turn."""

from __future__ import annotations

import errno
import socket

from config.supervisor.errors import StartError

_BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """Listen on the address, IPv4 when a name has both; StartError says why it cannot be."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise StartError(f"HOST: {host} is no address of this machine ({error.strerror}).") from None
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError(_why(error, host, port)) from None
    return listener


def local_address(listener: socket.socket) -> tuple[str, int]:
    """Where this machine itself reaches the socket: every address stands for the loopback one too."""
    host, port = listener.getsockname()[:2]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104 - compared, not bound


def url(address: tuple[str, int]) -> str:
    """The address as browsers take it."""
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken by another program. Set PORT to another one; PORT=0 takes a free one."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"HOST: {host} is no address of this machine."
    return f"Cannot listen on {host} port {port}: {error.strerror}."
