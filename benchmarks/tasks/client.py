"""A load of polls from one thread, which costs a fraction of what any Python server needs for its answers."""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection

TIMEOUT_SECONDS = 30
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Poll:
    """What one connection asks for again and again, and what it must be answered with."""

    path: str
    headers: Mapping[str, str]
    status: int = 200

    def wire(self) -> bytes:
        """The request as it is sent."""
        lines = [f"GET {self.path} HTTP/1.1", "Host: localhost"]
        return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in self.headers.items()), "", ""]).encode()


@dataclass(frozen=True)
class Load:
    """What the server stood, and how much of the time the client itself was at work."""

    per_second: float
    p99_ms: float
    client_busy: float


def ask(port: int, path: str, headers: Mapping[str, str]) -> tuple[str, bytes]:
    """The ETag, "" without one, and the body of one answer; SystemExit when it is not 200."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    connection.request("GET", path, headers=dict(headers))
    with connection.getresponse() as response:
        body = response.read()
    connection.close()
    if response.status != 200:
        raise SystemExit(f"{path} was answered {response.status}: {body[:500]!r}")
    return response.headers.get("ETag", ""), body


def put_load(port: int, polls: Sequence[Poll], seconds: float) -> Load:
    """Poll on a connection each, all at once, for that long; SystemExit when an answer is not the expected one."""
    took: list[float] = []
    with selectors.DefaultSelector() as selector, ExitStack() as closing:
        lanes = [_Lane(port, poll) for poll in polls]
        for lane in lanes:
            closing.callback(lane.socket.close)
            selector.register(lane.socket, selectors.EVENT_READ, lane)
        end, worked = time.perf_counter() + seconds, time.process_time()
        for lane in lanes:
            lane.send()
        while (now := time.perf_counter()) < end:
            for lane in _ready(selector, end - now):
                if lane.receive():
                    took.append(time.perf_counter() - lane.began)
                    lane.send()
        worked = time.process_time() - worked
        _await_the_rest(selector, len(lanes))
    return Load(len(took) / seconds, sorted(took)[int(len(took) * 0.99)] * 1000, worked / seconds)


def _await_the_rest(selector: selectors.BaseSelector, count: int) -> None:
    """The next load shall find a server that has nothing left to do."""
    while count:
        count -= sum(lane.receive() for lane in _ready(selector, TIMEOUT_SECONDS))


def _ready(selector: selectors.BaseSelector, seconds: float) -> Iterator[_Lane]:
    return (key.data for key, _ in selector.select(seconds))


class _Lane:
    """A connection with one poll under way at a time."""

    def __init__(self, port: int, poll: Poll) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began = 0.0
        self._poll, self._request = poll, poll.wire()
        self._expected = f"HTTP/1.1 {poll.status} ".encode()
        self._answer = b""

    def send(self) -> None:
        """Ask again."""
        self._answer = b""
        self.began = time.perf_counter()
        self.socket.sendall(self._request)

    def receive(self) -> bool:
        """Take what has come of the answer; whether that is all of it."""
        piece = self.socket.recv(2**18)
        self._answer += piece
        if not piece or not self._answer.startswith(self._expected[: len(self._answer)]):
            raise SystemExit(f"{self._poll} was answered {self._answer[:1000]!r}")
        head = self._answer.find(b"\r\n\r\n") + 4
        if head < 4:
            return False
        length = _LENGTH.search(self._answer, 0, head) if self._poll.status == 200 else None
        return len(self._answer) >= head + (int(length[1]) if length else 0)
