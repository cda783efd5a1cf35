"""A proxy that breaks connections on purpose, between TCP or unix sockets of any protocol."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import socket
import struct
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self

from tests.origin.wire import unsent_bytes

Address = tuple[str, int] | Path
"""Host and port, or the path of a unix socket."""

_PIECE_BYTES = 65536


class Ending(enum.Enum):
    """How a connection is cut."""

    FIN = enum.auto()
    RESET = enum.auto()  # SO_LINGER 0; a unix socket has no such thing and is just closed
    HALF_CLOSE = enum.auto()  # a FIN in the one direction, while the other goes on


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is done to connections, old and new, from now on; the default is nothing."""

    latency_seconds: float = 0
    """Added to every piece, in each direction."""
    rate: float | None = None
    """Bytes a second, in each direction of each connection."""
    cut_after: int | None = None
    """Bytes of one connection towards the client, after which it is cut."""
    cut_after_sent: int | None = None
    """Bytes of one connection towards the target, after which it is cut."""
    ending: Ending = Ending.FIN
    black_hole: bool = False
    """Accept everything, pass nothing on, end nothing; what waits goes on when it is switched off."""


class ChaosProxy:
    """Listens on a free port of 127.0.0.1, or on a unix socket, for a target; a context manager.

    It has an event loop in a thread of its own, and everything may be called from any thread.
    """

    def __init__(self, target: Address, faults: Faults = Faults(), listen: Path | None = None) -> None:
        self._target = target
        self._faults = faults
        self._listen: Address = listen or ("127.0.0.1", 0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos", daemon=True)
        self._flows = asyncio.Event()
        self._listener: socket.socket | None = None
        self._links: dict[_Link, asyncio.Task[None]] = {}
        self._accepted = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.set(self._faults)
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # What it does

    @property
    def address(self) -> Address:
        """Where it listens, the same through every `down` and `up`."""
        return self._listen

    @property
    def port(self) -> int:
        """The port it listens on; TypeError when that is a unix socket."""
        if isinstance(self._listen, Path):
            raise TypeError("a unix socket has no port")
        return self._listen[1]

    def set(self, faults: Faults) -> None:
        """Do this from now on."""
        self._faults = faults
        self._loop.call_soon_threadsafe(self._flows.clear if faults.black_hole else self._flows.set)

    def cut(self, ending: Ending = Ending.FIN) -> None:
        """Cut every open connection now, and return when that is done."""
        self._run(self._end_all(ending))

    def down(self) -> None:
        """Refuse new connections; open ones live on."""
        self._run(self._stop_listening())

    def up(self) -> None:
        """Accept connections, at the same address as before."""
        self._run(self._start_listening())

    # What it saw

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._links)

    @property
    def accepted(self) -> int:
        """Connections ever accepted."""
        return self._accepted

    # In the loop's thread

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _start_listening(self) -> None:
        if isinstance(self._listen, Path):
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self._listen))
            self._listener.listen(512)
        else:
            self._listener = socket.create_server(self._listen, backlog=512)
            self._listen = self._listener.getsockname()
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept, self._listener)

    async def _stop_listening(self) -> None:
        if self._listener is None:
            return
        self._loop.remove_reader(self._listener)
        self._accept(self._listener)  # whoever has connected already is served
        self._listener.close()
        self._listener = None
        if isinstance(self._listen, Path):
            self._listen.unlink()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._link(listener.accept()[0])

    def _link(self, client: socket.socket) -> None:
        client.setblocking(False)
        self._accepted += 1
        link = _Link(client, socket.socket(socket.AF_UNIX if isinstance(self._target, Path) else socket.AF_INET))
        self._links[link] = self._loop.create_task(self._serve(link))

    async def _serve(self, link: _Link) -> None:
        try:
            await self._loop.sock_connect(link.target, _for_socket(self._target))
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(link, link.target, link.client))
                pumps.create_task(self._pump(link, link.client, link.target))
        except* ConnectionResetError:
            link.ending = Ending.RESET  # what one side does, the other one sees
        except* (OSError, _CutError):
            pass
        finally:
            del self._links[link]
            await link.close()

    async def _end_all(self, ending: Ending) -> None:
        links = dict(self._links)
        await asyncio.sleep(0)  # a task that was never begun would leave its sockets open
        for link, task in links.items():
            if ending is Ending.HALF_CLOSE:
                link.client.shutdown(socket.SHUT_WR)
            else:
                link.ending = ending
                task.cancel()
        if ending is not Ending.HALF_CLOSE:
            await asyncio.gather(*links.values(), return_exceptions=True)

    async def _pump(self, link: _Link, source: socket.socket, sink: socket.socket) -> None:
        passed = 0
        while piece := await self._loop.sock_recv(source, _PIECE_BYTES):
            await self._flows.wait()
            await asyncio.sleep(self._faults.latency_seconds)
            limit = self._faults.cut_after if sink is link.client else self._faults.cut_after_sent
            if limit is not None and passed + len(piece) > limit:
                await self._pass(piece[: max(limit - passed, 0)], sink)
                link.ending = self._faults.ending
                break
            await self._pass(piece, sink)
            passed += len(piece)
        else:
            await self._flows.wait()
        if link.ending in (Ending.FIN, Ending.RESET):
            raise _CutError
        sink.shutdown(socket.SHUT_WR)

    async def _pass(self, piece: bytes, sink: socket.socket) -> None:
        while piece:
            rate = self._faults.rate
            now = piece if rate is None else piece[: max(1, int(rate / 50))]
            await self._loop.sock_sendall(sink, now)
            if rate is not None:
                await asyncio.sleep(len(now) / rate)
            piece = piece[len(now) :]


class _CutError(Exception):
    """The faults ended this connection."""


class _Link:
    """A client's connection and the one to the target that is opened for it."""

    def __init__(self, client: socket.socket, target: socket.socket) -> None:
        self.client = client
        self.target = target
        self.target.setblocking(False)
        self.ending: Ending | None = None

    async def close(self) -> None:
        """End both, as `ending` says."""
        for side in (self.client, self.target):
            if self.ending is Ending.RESET and side.family == socket.AF_INET:
                await _delivered(side)
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            side.close()


async def _delivered(side: socket.socket) -> None:
    """Wait until the other side's kernel has all that was passed on: a RST throws away what it has not."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            while unsent_bytes(side):  # noqa: ASYNC110 - the kernel has no event for it
                await asyncio.sleep(0.002)


def _for_socket(address: Address) -> Any:
    return str(address) if isinstance(address, Path) else address
