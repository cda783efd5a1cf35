"""Holding bodies back, so that a test can act in the middle of a file without sleeping."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Gate:
    """While closed, no byte of the file at offset `at` or past it leaves, on any connection."""

    def __init__(self, at: int) -> None:
        self._at: int | None = at
        self._held: list[Callable[[], bool]] = []  # each tells whether its client is gone
        self._changed = threading.Condition()

    def wait(self, bodies: int = 1, timeout_seconds: float = 10) -> None:
        """Return when so many bodies are held here; TimeoutError when that does not come about."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._count() >= bodies, timeout_seconds):
                raise TimeoutError(f"{self._count()} of {bodies} bodies came to the gate at {self._at}")

    def open(self) -> None:
        """Let everything go on."""
        self._move(None)

    def close(self, at: int) -> None:
        """Hold back from another offset on; bodies held at a lower one go on to it."""
        self._move(at)

    def _move(self, at: int | None) -> None:
        with self._changed:
            self._at = at
            self._changed.notify_all()

    def admit(self, offset: int, end: int, is_gone: Callable[[], bool]) -> int:
        """Wait until the byte at `offset` may leave, or its client is gone; how far, at most to `end`."""
        with self._changed:
            if not self._passes(offset):
                self._held.append(is_gone)
                self._changed.notify_all()
                while not self._passes(offset) and not is_gone():
                    self._changed.wait(0.1)
                self._held.remove(is_gone)
            return end if self._at is None else max(min(end, self._at), offset)

    def _passes(self, offset: int) -> bool:
        return self._at is None or offset < self._at

    def _count(self) -> int:
        return sum(not is_gone() for is_gone in self._held)
