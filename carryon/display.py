"""What is shown while files are on their way: `bars` in a terminal, `lines` elsewhere, or nothing.

Results go to stdout, and all else to stderr.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

SAY_AGAIN_SECONDS = 30.0


class Phase(StrEnum):
    """What is done with a file, as a person reads it."""

    READING = "reading"
    SENDING = "sending"
    CHECKING = "checking"
    WAITING = "waiting"


class Track(Protocol):
    """One file's progress; for any thread."""

    def phase(self, phase: Phase, done: int = 0) -> None:
        """Begin this phase, so many of the file's bytes being done already."""

    def advance(self, count: int) -> None:
        """Count so many bytes more; fewer when they have to be sent again."""

    def waits(self, reason: str) -> None:
        """Tell that something failed and is tried again."""

    def end(self) -> None:
        """Show it no longer."""


class Display(Protocol):
    """Where everything is shown; for any thread."""

    def track(self, name: str, size: int) -> Track:
        """Show a file of so many bytes."""

    def result(self, line: str) -> None:
        """Print what was asked for."""

    def complain(self, line: str) -> None:
        """Print what went wrong."""

    def close(self) -> None:
        """Show nothing more."""


class Once:
    """Hands a text on, unless it did so not long ago: many threads meet with the same trouble."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._said: dict[str, float] = {}

    def __call__(self, text: str) -> None:
        """Say it, or not."""
        with self._lock:
            now = time.monotonic()
            if now - self._said.get(text, -SAY_AGAIN_SECONDS) < SAY_AGAIN_SECONDS:
                return
            self._said[text] = now
        self._say(text)
