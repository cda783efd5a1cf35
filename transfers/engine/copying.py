"""The copy: parts from a source to a sink, over one or several connections, watched from outside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

from transfers.engine.base import (
    CHUNK_BYTES,
    Abortable,
    Located,
    Moving,
    ObjectRange,
    Reader,
    Sink,
    Source,
    StoredPart,
)
from transfers.engine.plan import Part, Plan
from transfers.errors import Interrupted, Interruption, SourceError, TransferError

MOVED_BYTES = 16 * 2**20
"""Bytes moved past memory at once."""


class Allotment(Protocol):
    """Gives out the parts that are still to be moved, each to one connection at a time."""

    def take(self) -> Part | None:
        """The next part to move; None when there is none left to take."""

    def finish(self, part: Part) -> None:
        """The part is stored whole."""

    def release(self, part: Part) -> None:
        """The part was taken but not moved whole: somebody else may take it."""


class WholePlan:
    """The allotment of a copy that has its plan for itself: its parts in order."""

    def __init__(self, plan: Plan, stored: dict[int, StoredPart]) -> None:
        self._parts = (part for part in plan if part.size is None or _stored(stored, part) < part.size)
        self._lock = threading.Lock()

    def take(self) -> Part | None:
        """The lowest part that is not stored whole."""
        with self._lock:
            return next(self._parts, None)

    def finish(self, part: Part) -> None:
        """Nothing to note: the sink knows."""

    def release(self, part: Part) -> None:
        """Nothing to note: the next run asks the sink."""


class Pacer(Protocol):
    """A limit on bandwidth."""

    def delay_seconds(self, count: int) -> float:
        """How long to wait after `count` more bytes so as to stay within the limit."""


class Watch:
    """What is known of a running copy from outside it, and the way to end it.

    `moved` is the absolute count of bytes that are in the sink, `fetched` the bytes this copy read from the source;
    `follow` is told the frontier whenever it may have moved.
    """

    def __init__(
        self,
        plan: Plan,
        stored: dict[int, StoredPart],
        *,
        pacer: Pacer | None = None,
        follow: Callable[[int], None] | None = None,
    ) -> None:
        self._plan = plan
        self._pacer = pacer
        self._follow = follow
        self._positions = {number: part.size for number, part in stored.items()}
        self._fetched: dict[int, int] = {}
        self._frontier_part = 1
        self._sources: list[Source] = []
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.reason: Interruption | None = None

    @property
    def piece_bytes(self) -> int:
        """Bytes to move at once without telling: few under a limit, which is kept by waiting in between."""
        return MOVED_BYTES if self._pacer is None else CHUNK_BYTES

    @property
    def moved(self) -> int:
        """Bytes of the file that are in the sink, by this copy and before it."""
        return sum(list(self._positions.values()))

    @property
    def fetched(self) -> int:
        """Bytes that this copy has read from the source."""
        return sum(list(self._fetched.values()))

    @property
    def frontier(self) -> int:
        """The offset before which every byte is in the sink."""
        part = self._plan.part(self._frontier_part)
        while self._positions.get(part.number, 0) == part.size and part.number < len(self._plan):
            part = self._plan.part(part.number + 1)
        self._frontier_part = part.number
        return part.offset + self._positions.get(part.number, 0)

    @property
    def frontier_part(self) -> int:
        """The number of the part that the frontier is in."""
        return self._frontier_part

    def position(self, number: int) -> int:
        """Bytes of the part with this number that are in the sink, from its start."""
        return self._positions.get(number, 0)

    def interrupt(self, reason: Interruption) -> None:
        """End the copy soon, from any thread; the first reason is the one that counts."""
        with self._lock:
            self.reason = self.reason or reason
        self.end()

    def end(self) -> None:
        """Wake whatever waits in the copy, so that it ends."""
        self._ended.set()
        for source in list(self._sources):
            if isinstance(source, Abortable):
                source.abort()

    def check(self) -> None:
        """Interrupted when the copy was told to end."""
        if self.reason is not None:
            raise Interrupted(self.reason)
        if self._ended.is_set():
            raise SourceError("another connection of this transfer failed")

    def wait(self, seconds: float) -> None:
        """Pause, unless and until the copy ends; then raise as `check` does."""
        self._ended.wait(seconds)
        self.check()

    def noted(self, number: int, size: int) -> None:
        """Take over what somebody else stored of a part, in bytes from its start."""
        self._positions[number] = size

    @contextmanager
    def watching(self, source: Source) -> Iterator[None]:
        """End this source's reads when the copy is told to end."""
        self._sources.append(source)
        try:
            yield
        finally:
            self._sources.remove(source)

    def began(self, part: Part, start: int) -> None:
        """A connection goes on with the part from its byte `start`."""
        self._positions[part.number] = start
        self._fetched.setdefault(part.number, 0)

    def stored(self, part: Part, count: int) -> None:
        """That many more bytes of the part are in the sink: whoever follows the frontier is told of it."""
        self._positions[part.number] += count
        if self._follow is not None:
            self._follow(self.frontier)

    def read(self, part: Part, count: int) -> None:
        """That many more bytes of the part came from the source: wait as long as the limits ask."""
        self._fetched[part.number] += count
        if self._pacer is not None and (delay := self._pacer.delay_seconds(count)) > 0:
            self._ended.wait(delay)


class _WatchedReader:
    """A reader that tells the watch what passes and ends when the watch says so.

    A sink asks for more only when it has stored what it got, so each call also tells that the bytes before are in.
    """

    def __init__(self, reader: Reader, part: Part, watch: Watch) -> None:
        self._reader, self._part, self._watch = reader, part, watch
        self._pending = 0

    def readinto(self, buffer: memoryview) -> int:
        return self._passed(lambda: self._reader.readinto(buffer))

    def _passed(self, take: Callable[[], int]) -> int:
        self.settle()
        self._watch.check()
        try:
            count = take()
        except TransferError:
            self._watch.check()  # a read that was ended from outside fails; what counts is why it was ended
            raise
        self._watch.read(self._part, count)
        self._pending = count
        return count

    def stored_at(self) -> ObjectRange | None:
        self._watch.check()
        return self._reader.stored_at() if isinstance(self._reader, Located) else None

    def settle(self) -> None:
        self._watch.stored(self._part, self._pending)
        self._pending = 0


class _WatchedMover(_WatchedReader):
    """The same for a reader that can move: in pieces, between which the watch is told and asked."""

    def __init__(self, reader: Moving, part: Part, watch: Watch) -> None:
        super().__init__(reader, part, watch)
        self._mover = reader

    def move(self, fileno: int, offset: int, most: int) -> int:
        return self._passed(lambda: self._mover.move(fileno, offset, min(most, self._watch.piece_bytes)))


def copy(source: Source, sink: Sink, allotment: Allotment, watch: Watch, *, connections: int = 1) -> None:
    """Move every part that the allotment gives; the first failure ends all connections and is raised.

    `Interrupted` when the watch was told to end. What was stored until then stays in the sink.
    """
    with watch.watching(source):
        if connections == 1:
            _move_parts(source, sink, allotment, watch)
            return
        failures: list[BaseException] = []

        def connection() -> None:
            try:
                _move_parts(source, sink, allotment, watch)
            except BaseException as error:  # noqa: BLE001 - raised again below, by the thread that waits
                failures.append(error)
                watch.end()

        with ThreadPoolExecutor(connections, thread_name_prefix="connection") as pool:
            for _ in range(connections):
                pool.submit(connection)
        if failures:
            raise failures[0]


def _move_parts(source: Source, sink: Sink, allotment: Allotment, watch: Watch) -> None:
    while part := allotment.take():
        try:
            watch.check()
            _move_part(source, sink, part, watch)
        except BaseException:
            allotment.release(part)
            raise
        allotment.finish(part)


def _move_part(source: Source, sink: Sink, part: Part, watch: Watch) -> None:
    start = _stored(sink.stored_parts(), part)
    watch.began(part, start)
    try:
        with source.open(part.offset + start, part.end) as reader:
            watched = (
                _WatchedMover(reader, part, watch)
                if isinstance(reader, Moving)
                else _WatchedReader(reader, part, watch)
            )
            stored = sink.write_part(part, watched, start)
            watched.settle()
            if stored.copied:
                watch.stored(part, stored.size - watch.position(part.number))
    except TransferError:
        watch.check()
        raise


def _stored(stored: dict[int, StoredPart], part: Part) -> int:
    return stored[part.number].size if part.number in stored else 0
