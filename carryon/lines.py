"""Lines of text, for logs and for whoever wants no bars; or no progress at all."""

from __future__ import annotations

import sys
import threading
import time

from carryon.display import Once, Phase, Track
from carryon.wording import duration, printable, size

EVERY_SECONDS = 5.0
"""Between two lines of one file."""


class Results:
    """Prints results and complaints alone."""

    def track(self, name: str, size: int) -> Track:  # noqa: ARG002 - the protocol's
        """Show nothing of it."""
        return _Unseen()

    def result(self, line: str) -> None:
        """Print it on stdout."""
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def complain(self, line: str) -> None:
        """Print it on stderr."""
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def close(self) -> None:
        """There is nothing to close."""


class Errors(Results):
    """Prints complaints alone."""

    def result(self, line: str) -> None:
        """Leave it out."""


class Lines(Results):
    """Prints a line for each phase of a file, and one every few seconds in between."""

    def __init__(self) -> None:
        self._once = Once(self.complain)

    def track(self, name: str, size: int) -> Track:
        """Show a file of so many bytes."""
        return _LineTrack(self, self._once, printable(name), size)


class _Unseen:
    def phase(self, phase: Phase, done: int = 0) -> None: ...

    def advance(self, count: int) -> None: ...

    def waits(self, reason: str) -> None: ...

    def end(self) -> None: ...


class _LineTrack:
    """One file's lines."""

    def __init__(self, lines: Lines, once: Once, name: str, total: int) -> None:
        self._lines, self._once, self._name, self._total = lines, once, name, total
        self._lock = threading.Lock()
        self._phase = Phase.READING
        self._first = self._done = 0
        self._began = self._told = time.monotonic()

    def phase(self, phase: Phase, done: int = 0) -> None:
        with self._lock:
            self._phase, self._first, self._done = phase, done, done
            self._began = self._told = time.monotonic()
        there = f", {size(done)} are there" if done and phase is Phase.SENDING else ""
        self._lines.complain(f"{self._name}: {phase} {size(self._total)}{there}")

    def advance(self, count: int) -> None:
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._told < EVERY_SECONDS:
                return
            self._told = now
            line = self._line(now)
        self._lines.complain(line)

    def waits(self, reason: str) -> None:
        self._once(f"{self._name}: {reason}; trying again")

    def end(self) -> None: ...

    def _line(self, now: float) -> str:
        speed = max(0.0, (self._done - self._first) / (now - self._began))
        left = f", {duration((self._total - self._done) / speed)} left" if speed else ""
        share = f"{100 * self._done // self._total} %, {size(self._done)} of {size(self._total)}"
        return f"{self._name}: {self._phase} {share}, {size(int(speed))}/s{left}"
