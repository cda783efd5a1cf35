"""What stands behind one path of the origin."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence

from tests.origin.behaviour import HONEST, Behaviour
from tests.origin.content import Content
from tests.origin.gate import Gate
from tests.origin.request import Request

Choose = Callable[[Request], Behaviour]


class File:
    """A content, the behaviours of its requests, and its gates; all of them may change at any time."""

    def __init__(self, content: Content, behaviours: Sequence[Behaviour] = (), choose: Choose | None = None) -> None:
        self.content = content
        self.busiest = 0
        self._lock = threading.Lock()
        self._answering = 0
        self._gates: list[Gate] = []
        self.behave(behaviours, choose)

    def behave(self, behaviours: Sequence[Behaviour], choose: Choose | None = None) -> None:
        """Treat the next requests with these in turn, all later ones with the last; or as `choose` says."""
        in_turn = itertools.chain(behaviours, itertools.repeat(behaviours[-1] if behaviours else HONEST))
        self._choose = choose or (lambda _: next(in_turn))

    def choose(self, request: Request) -> tuple[Behaviour, Content]:
        """How to treat this request, and the bytes that are the file for it."""
        with self._lock:
            behaviour = self._choose(request)
        return behaviour, behaviour.content or self.content

    @contextlib.contextmanager
    def answering(self) -> Iterator[int]:
        """Count an answer under way; gives how many there are with it."""
        with self._lock:
            self._answering += 1
            self.busiest = max(self.busiest, self._answering)
            at_once = self._answering
        try:
            yield at_once
        finally:
            with self._lock:
                self._answering -= 1

    def add_gate(self, at: int) -> Gate:
        """A closed gate before the byte at this offset."""
        gate = Gate(at)
        self._gates.append(gate)
        return gate

    def open_gates(self) -> None:
        """Let everything go on."""
        for gate in self._gates:
            gate.open()

    def admit(self, offset: int, end: int, is_gone: Callable[[], bool]) -> int:
        """Wait until the byte at `offset` may leave; how far, at most to `end`. `offset` itself: the client is gone."""
        for gate in self._gates:
            end = gate.admit(offset, end, is_gone)
        return end
