"""A source for tests of the copy: it records what was read of it, fails where it is told to, and can block."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from transfers.engine.base import Reader, SourceInfo, Validator, ValidatorKind
from transfers.errors import SourceInterruptedError

WAIT_SECONDS = 10
Failure = BaseException | Callable[[], None]


@dataclass
class FickleSource:
    """Bytes to read, in pieces of at most `piece_bytes`."""

    content: bytes
    failures: dict[int, Failure] = field(default_factory=dict)
    """What a read that begins at this offset of the file raises, or calls before it goes on; once."""
    blocked_from: int | None = None
    """The offset from which every read blocks until the source is aborted."""
    piece_bytes: int = 1000
    together: threading.Barrier | None = None
    """What every reader waits at before its first byte."""
    opened: list[tuple[int, int | None]] = field(default_factory=list)
    read_count: dict[int, int] = field(default_factory=dict)
    """How often each byte was given out, by its offset; only of those that were."""
    aborted: threading.Event = field(default_factory=threading.Event)
    blocking: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released by each read that begins to block."""

    def stat(self) -> SourceInfo:
        return SourceInfo(len(self.content), Validator(ValidatorKind.VERSION, "1"), ranges=True)

    @contextmanager
    def open(self, offset: int, end: int | None) -> Iterator[Reader]:
        self.opened.append((offset, end))
        self.fail_when_aborted()
        yield _FickleReader(self, offset, len(self.content) if end is None else end)

    def abort(self) -> None:
        self.aborted.set()

    def fail_when_aborted(self) -> None:
        if self.aborted.is_set():
            raise SourceInterruptedError("the read was ended from outside")


class _FickleReader:
    def __init__(self, source: FickleSource, offset: int, end: int) -> None:
        self._source, self._position, self._end = source, offset, end
        self._began = False

    def readinto(self, buffer: memoryview) -> int:
        source = self._source
        if source.together is not None and not self._began:
            source.together.wait(WAIT_SECONDS)
        self._began = True
        source.fail_when_aborted()
        failure = source.failures.pop(self._position, None)
        if isinstance(failure, BaseException):
            raise failure
        if failure is not None:
            failure()
        if source.blocked_from is not None and self._position >= source.blocked_from:
            source.blocking.release()
            assert source.aborted.wait(WAIT_SECONDS), "nobody ended the blocked read"
            source.fail_when_aborted()
        count = max(0, min(len(buffer), source.piece_bytes, self._end - self._position))
        for stop in (*source.failures, *(() if source.blocked_from is None else (source.blocked_from,))):
            if self._position < stop:
                count = min(count, stop - self._position)
        buffer[:count] = source.content[self._position : self._position + count]
        for offset in range(self._position, self._position + count):
            source.read_count[offset] = source.read_count.get(offset, 0) + 1
        self._position += count
        return count
