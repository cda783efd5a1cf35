"""The hostile origin itself: an HTTP/1.1 server that does to its clients whatever a test asks for."""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.origin.behaviour import Behaviour
from tests.origin.certificate import Certificate
from tests.origin.connection import Connection
from tests.origin.content import Content, as_content
from tests.origin.file import Choose, File
from tests.origin.gate import Gate
from tests.origin.request import Request


class Origin:
    """A server on a free port of `host`, honest where it is not told otherwise; a context manager.

    Each connection has a thread of its own. Everything may be called from any thread, while requests are under way.
    """

    def __init__(
        self,
        *,
        tls: Certificate | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        find: Callable[[Request], File | None] | None = None,
    ) -> None:
        """`seed` decides random cuts and ETags; `find` is asked for paths that were not added."""
        self._tls = tls.server_context() if tls else None
        self._host, self._port = host, port
        self._draw = random.Random(seed)
        self._find = find or (lambda _: None)
        self._files: dict[str, File] = {}
        self._log: list[Request] = []
        self._counts: Counter[str] = Counter()
        self._logged = threading.Condition()
        self._connections: dict[Connection, threading.Thread] = {}
        self._beginning = threading.Lock()
        self._opened = 0
        self._listener: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._last_client: tuple[str, int] | None = None

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()
        for file in self._files.values():
            file.open_gates()
        self.cut()

    # What is served

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The address of a path."""
        return f"{'https' if self._tls else 'http'}://{host}:{self._port}{path}"

    def add(
        self,
        path: str,
        content: bytes | str | Path | Content = b"",
        *behaviours: Behaviour,
        choose: Choose | None = None,
    ) -> str:
        """Serve the content; the nth request meets the nth behaviour, all later ones the last. Gives the URL."""
        self._files[path] = File(as_content(content), behaviours, choose)
        return self.url(path)

    def chain(self, path: str, target: str, hops: int) -> str:
        """Redirect so many times before `target`, a path or URL; the URL to start from."""
        for hop in range(hops):
            onward = target if hop == hops - 1 else f"{path}/{hop + 1}"
            self.add(path if hop == 0 else f"{path}/{hop}", b"", Behaviour(redirect=onward))
        return self.url(path)

    def behave(self, path: str, *behaviours: Behaviour, choose: Choose | None = None) -> None:
        """From now on, treat the path's requests with these in turn; answers under way go on as they began."""
        self._files[path].behave(behaviours, choose)

    def replace(self, path: str, content: bytes | str | Path | Content) -> None:
        """Put other bytes in the path's place; bodies under way go on with the old ones."""
        self._files[path].content = as_content(content)

    def gate(self, path: str, at: int) -> Gate:
        """Hold back every byte of the file from offset `at` on, until the gate is opened."""
        return self._files[path].add_gate(at)

    # What was asked

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order of their arrival."""
        with self._logged:
            return list(self._log)

    def requests_for(self, path: str) -> list[Request]:
        """The requests for one path."""
        return [each for each in self.requests if each.path == path]

    def fetched(self, path: str) -> int:
        """Body bytes sent for the path, all its requests together."""
        return sum(each.sent for each in self.requests_for(path))

    def busiest(self, path: str) -> int:
        """The most answers of the path that were under way at once."""
        return self._files[path].busiest

    def wait_for_requests(self, path: str, count: int, timeout_seconds: float = 10) -> list[Request]:
        """Return the path's requests once there are so many; TimeoutError when they do not come."""
        with self._logged:
            enough = self._logged.wait_for(lambda: self._counts[path] >= count, timeout_seconds)
        if not enough:
            raise TimeoutError(f"{len(self.requests_for(path))} of {count} requests for {path} came")
        return self.requests_for(path)

    def forget(self) -> None:
        """Empty the log."""
        with self._logged:
            self._log.clear()
            self._counts.clear()

    # The network's side

    @property
    def port(self) -> int:
        """The port, the same through every `down` and `up`."""
        return self._port

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    @property
    def opened(self) -> int:
        """Connections ever accepted."""
        return self._opened

    def cut(self, *, reset: bool = False) -> None:
        """End every open connection, and return when all have ended."""
        with self._beginning:
            open_now = list(self._connections.items())
        for connection, thread in open_now:
            connection.end(reset=reset)
            thread.join(1)
            if thread.is_alive():  # blocked in sending, which only the end of both directions ends
                connection.end()
                thread.join(5)

    def down(self) -> None:
        """Refuse new connections; open ones live on."""
        if self._listener is None or self._accepting is None:
            return
        with socket.socket() as last:  # what the blocked accept wakes up from, after all that came before it
            last.bind(("127.0.0.1", 0))
            self._last_client = last.getsockname()
            last.connect(("127.0.0.1", self._port))
            self._accepting.join()
        self._listener.close()
        self._listener = None

    def up(self) -> None:
        """Accept connections, on the same port as before."""
        self._listener = socket.create_server((self._host, self._port), backlog=512)
        self._port = self._listener.getsockname()[1]
        self._last_client = None
        self._accepting = threading.Thread(target=self._accept, args=(self._listener,), name="origin", daemon=True)
        self._accepting.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            accepted, client = listener.accept()
            if client == self._last_client:
                accepted.close()
                return
            self._opened += 1
            try:
                connection = Connection(accepted, self._tls, self._opened, self._enter, self._draw)
            except OSError:  # the client has left already
                accepted.close()
                continue
            thread = threading.Thread(target=self._serve, args=(connection,), name="origin-connection", daemon=True)
            with self._beginning:  # nobody is to find a thread here that has not begun
                self._connections[connection] = thread
                thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            del self._connections[connection]

    def _enter(self, request: Request) -> File | None:
        with self._logged:
            self._log.append(request)
            self._counts[request.path] += 1
            request.number = self._counts[request.path]
            self._logged.notify_all()
        return self._files.get(request.path) or self._find(request)
