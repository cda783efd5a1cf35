"""One client's socket: bytes out at a chosen pace, and noticing when the client is gone."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import select
import socket
import ssl
import struct
import sys
import termios
import time
from collections.abc import Callable
from typing import BinaryIO, cast

from tests.origin.content import Content, DiskFile

RUN_BYTES = 8 * 2**20
"""The most that one call hands to the kernel, so that the log keeps up with what was sent."""
TICK_SECONDS = 0.02
_SO_NWRITE = 0x1024  # macOS, <sys/socket.h>


class ClientGoneError(Exception):
    """The client has ended the connection, or the origin is closing."""


class Wire:
    """A connected socket, in the hands of one thread; others may call `end` and `is_gone`."""

    def __init__(self, connected: socket.socket, tls: ssl.SSLContext | None) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tls = tls is not None
        self._socket = tls.wrap_socket(connected, server_side=True, do_handshake_on_connect=False) if tls else connected
        self.stream = cast("BinaryIO", self._socket.makefile("rb"))
        self._due = 0.0

    def shake_hands(self) -> None:
        """Finish the TLS handshake, if there is to be one."""
        if isinstance(self._socket, ssl.SSLSocket):
            self._socket.do_handshake()

    def pause(self, seconds: float | None) -> None:
        """Wait (None: for ever); ClientGoneError as soon as the client is gone."""
        if self._speaks(None if seconds is None else max(seconds, 0) * 1000):
            raise ClientGoneError

    def is_gone(self) -> bool:
        """Whether the client has ended the connection: while it is being answered it has nothing else to say."""
        return self._speaks(0)

    def _speaks(self, milliseconds: float | None) -> bool:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(milliseconds))

    def send(self, data: bytes | memoryview, rate: float | None = None) -> None:
        """Send all of it, at so many bytes a second."""
        view = memoryview(data)
        while view:
            view = view[self._send_some(view, rate) :]

    def send_run(self, content: Content, offset: int, end: int, rate: float | None = None) -> int:
        """Send bytes from `offset` on, not past `end`; how many."""
        if isinstance(content, DiskFile) and not self._tls and rate is None:
            with content.path.open("rb") as file:
                return os.sendfile(self._socket.fileno(), file.fileno(), offset, min(end - offset, RUN_BYTES))
        return self._send_some(content.piece(offset, end), rate)

    def _send_some(self, view: memoryview, rate: float | None) -> int:
        if rate is None:
            return self._socket.send(view)
        self.pause(self._due - time.monotonic())  # not after it: a client that has all may have its next question sent
        sent = self._socket.send(view[: max(1, int(rate * TICK_SECONDS))])
        self._due = max(self._due, time.monotonic() - TICK_SECONDS) + sent / rate
        return sent

    def end(self, *, silently: bool = False) -> None:
        """Wake up whoever reads or waits here, from any thread; the client sees its end too, unless `silently`."""
        with contextlib.suppress(OSError):  # an SSLSocket's own shutdown would drop its TLS state
            socket.socket.shutdown(self._socket, socket.SHUT_RD if silently else socket.SHUT_RDWR)

    def close(self, *, reset: bool = False) -> None:
        """Close with a FIN, or with a RST once the client's kernel has all that was sent."""
        if reset:
            wait_until(lambda: unsent_bytes(self._socket) == 0, timeout_seconds=1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.close()
        self._socket.close()


def unsent_bytes(connected: socket.socket) -> int:
    """Bytes that the other side's kernel has not acknowledged yet."""
    if sys.platform == "darwin":
        return connected.getsockopt(socket.SOL_SOCKET, _SO_NWRITE)
    count = array.array("i", [0])
    fcntl.ioctl(connected, termios.TIOCOUTQ, count)  # SIOCOUTQ, for a socket
    return count[0]


def wait_until(is_so: Callable[[], bool], timeout_seconds: float = 5) -> bool:
    """Look again and again, every few milliseconds, until it is so; whether it came about."""
    deadline = time.monotonic() + timeout_seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True
