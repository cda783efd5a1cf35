"""A proxy before the store that counts requests and bytes: `python -m benchmarks.sync.proxy PORT`.

Bodies go from socket to socket through a pipe in the kernel (splice), so that it slows hardly anything. It listens on a
free port, which it tells first; each line on its input is answered with the counts so far. `hold NAME BYTES` has it
stop when so many more bytes of that name went through, until `go`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO

PIPE_BYTES = 2**20
HEAD_BYTES = 65536
UP, DOWN, HELD = "up", "down", "held"
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)


@dataclass(frozen=True)
class Counts:
    """What went through."""

    requests: Mapping[str, int] = field(default_factory=dict)
    """How many, by method."""
    up: int = 0
    """Bytes of requests' bodies."""
    down: int = 0
    """Bytes of answers, their headers included."""

    def since(self, before: Counts) -> Counts:
        """What went through since then."""
        requests = {method: count - before.requests.get(method, 0) for method, count in self.requests.items()}
        return Counts(
            {m: count for m, count in requests.items() if count}, self.up - before.up, self.down - before.down
        )


class Proxy:
    """A running one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._questions, self._answers = _given(process.stdin), _given(process.stdout)
        self.port = int(self._answers.readline())
        self._lock = threading.Lock()

    def counts(self) -> Counts:
        """What went through so far."""
        told = self._ask("")
        requests = {name: count for name, count in told.items() if name not in (UP, DOWN, HELD)}
        return Counts(requests, told.get(UP, 0), told.get(DOWN, 0))

    def hold(self, name: str, size: int) -> None:
        """Stop when so many more bytes went up, or down."""
        self._ask(f"hold {name} {size}")

    @property
    def holds(self) -> bool:
        """Whether it has stopped."""
        return bool(self._ask("")[HELD])

    def go(self) -> None:
        """Pass on everything again."""
        self._ask("go")

    def _ask(self, words: str) -> dict[str, int]:
        with self._lock:
            self._questions.write(f"{words}\n")
            self._questions.flush()
            told: dict[str, int] = json.loads(self._answers.readline())
        return told


@contextmanager
def counting_proxy(target: int) -> Iterator[Proxy]:
    """Run one before a port of this machine."""
    command = [sys.executable, "-m", "benchmarks.sync.proxy", str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Proxy(process)
        finally:
            process.kill()


class _Counter:
    """Counts of all connections together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._goes_on = threading.Event()
        self._goes_on.set()
        self._limit: tuple[str, int] | None = None

    def add(self, name: str, count: int) -> None:
        """Count; where the limit is reached nothing goes on."""
        with self._lock:
            self._counts[name] += count
            if self._limit and self._counts[self._limit[0]] >= self._limit[1]:
                self._goes_on.clear()
        self._goes_on.wait()

    def obey(self, words: list[str]) -> str:
        """Do as a line of the input says, and tell the counts."""
        with self._lock:
            if words[:1] == ["hold"]:
                self._limit = (words[1], self._counts[words[1]] + int(words[2]))
            if words[:1] == ["go"]:
                self._limit = None
                self._goes_on.set()
            return json.dumps({**self._counts, HELD: int(not self._goes_on.is_set())})


class _Pump:
    """Moves bytes one way through a pipe of its own."""

    def __init__(self, source: socket.socket, sink: socket.socket, counter: _Counter, name: str) -> None:
        self._source, self._sink, self._counter, self._name = source, sink, counter, name
        self._out, self._in = os.pipe()
        fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def move(self, most: int | None) -> bool:
        """Move so many bytes, or all; False when they have ended."""
        while most is None or most > 0:
            wanted = PIPE_BYTES if most is None else min(most, PIPE_BYTES)
            taken = os.splice(self._source.fileno(), self._in, wanted)
            if not taken:
                return False
            most = None if most is None else most - taken
            self._counter.add(self._name, taken)
            while taken:
                taken -= os.splice(self._out, self._sink.fileno(), taken)
        return True

    def close(self) -> None:
        os.close(self._in)
        os.close(self._out)


def _requests(client: socket.socket, store: socket.socket, counter: _Counter) -> None:
    """Pass on requests, one after another; their heads are read, their bodies only counted."""
    pump = _Pump(client, store, counter, UP)
    rest = b""
    try:
        while True:
            while b"\r\n\r\n" not in rest:
                more = client.recv(HEAD_BYTES)
                if not more:
                    return
                rest += more
            head, _, rest = rest.partition(b"\r\n\r\n")
            if _CHUNKED.search(head):
                raise SystemExit("a body without a length cannot be counted")
            counter.add(head.partition(b" ")[0].decode("latin-1"), 1)
            length = int(told[1]) if (told := _LENGTH.search(head)) else 0
            body, rest = rest[:length], rest[length:]
            counter.add(UP, len(body))
            store.sendall(head + b"\r\n\r\n" + body)
            if not pump.move(length - len(body)):
                return
    except OSError:
        return
    finally:
        _end(store)
        pump.close()


def _answers(client: socket.socket, store: socket.socket, counter: _Counter) -> None:
    pump = _Pump(store, client, counter, DOWN)
    try:
        pump.move(None)
    except OSError:
        return
    finally:
        _end(client)
        pump.close()


def _end(side: socket.socket) -> None:
    with suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)


def _serve(client: socket.socket, target: int, counter: _Counter) -> None:
    with client, socket.create_connection(("127.0.0.1", target)) as store:
        for side in (client, store):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = threading.Thread(target=_answers, args=(client, store, counter), daemon=True)
        answers.start()
        _requests(client, store, counter)
        answers.join()


def _accept(listening: socket.socket, target: int, counter: _Counter) -> None:
    while True:
        client, _ = listening.accept()
        threading.Thread(target=_serve, args=(client, target, counter), daemon=True).start()


def _given(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise ValueError("the process has no such stream")
    return stream


def main() -> None:
    """Serve until the input ends."""
    counter = _Counter()
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        print(listening.getsockname()[1], flush=True)
        threading.Thread(target=_accept, args=(listening, int(sys.argv[1]), counter), daemon=True).start()
        for line in sys.stdin:
            print(counter.obey(line.split()), flush=True)


if __name__ == "__main__":
    main()
