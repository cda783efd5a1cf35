"""The bytes of large files on their way: what is known of them from outside, whose turn it is, what they hash to."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from transfers.engine.base import CHUNK_BYTES, Abortable, Reader, Source, SourceInfo
from transfers.engine.copying import Watch
from transfers.engine.plan import Part, Plan
from transfers.engine.tree.base import Checksum, TreeSink, checksum_of_parts, md5_of
from transfers.errors import Interrupted, Interruption

PART_CONNECTIONS = 4
"""Parts of one large file, or of one run of its parts, that are moved at once."""
PARTS_A_READ = 2
"""Parts that are asked of a store at once, and then read one after another: swift's CPU time for 256 MiB was 2.5 s in
ranges of 16 MiB, 1.7 s in ranges of 32, 64 or 128 MiB."""
CHECK_SECONDS = 0.5
"""How often whoever waits for a turn looks whether it is to end."""


class Work:
    """What is known of actions at work from outside, and the way to end them; any thread may call.

    `turns` are shared by all that one process is at: so many files, or parts of files, are moved at once, whoever's
    they are, so that the end of one run of parts and the beginning of the next share them. With `alone` nobody else
    has ever been at these actions: what their parts are found to be at the beginning need not be asked again.
    """

    def __init__(self, turns: threading.Semaphore | None = None, *, alone: bool = False) -> None:
        self._turns = turns
        self.alone = alone
        self._lock = threading.Lock()
        self._watches: set[Watch] = set()
        self._most_moved = 0
        self.reason: Interruption | None = None

    @property
    def bytes_moving(self) -> int:
        """Bytes of large files that are where they belong, though their files are not whole."""
        with self._lock:
            return sum(watch.moved for watch in self._watches)

    @property
    def most_bytes_moved(self) -> int:
        """Bytes of a large file's parts that are where they belong, by the attempt at them that came furthest."""
        with self._lock:
            return max(self._most_moved, *(watch.moved for watch in self._watches), 0)

    def interrupt(self, reason: Interruption) -> None:
        """End soon; the first reason counts."""
        with self._lock:
            self.reason = self.reason or reason
            watches = list(self._watches)
        for watch in watches:
            watch.interrupt(reason)

    def check(self) -> None:
        """Interrupted when it was told to end."""
        if self.reason is not None:
            raise Interrupted(self.reason)

    def wait_for_turn(self) -> None:
        """Wait until something may be moved; whoever has moved it ends its turn. Interrupted when it is to end."""
        while self._turns is not None and not self._turns.acquire(timeout=CHECK_SECONDS):
            self.check()

    def end_turn(self) -> None:
        """Let somebody else move something."""
        if self._turns is not None:
            self._turns.release()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Move something, when its turn comes."""
        self.wait_for_turn()
        try:
            yield
        finally:
            self.end_turn()

    def began(self, watch: Watch) -> None:
        """A large file, or a run of its parts, is being moved under this watch."""
        with self._lock:
            self._watches.add(watch)
            reason = self.reason
        if reason is not None:
            watch.interrupt(reason)

    def ended(self, watch: Watch) -> None:
        """It is moved no longer."""
        with self._lock:
            self._watches.discard(watch)
            self._most_moved = max(self._most_moved, watch.moved)


class Parts:
    """The allotment of a file's parts: those that the sink has already, with the right bytes, are not moved again.

    Whoever takes a part gets the one behind it next, and has its turn until both are finished, or one is released:
    what is asked of a store in one read is read without a pause.
    """

    def __init__(self, parts: list[Part], source: Source, sink: TreeSink, watch: Watch, work: Work) -> None:
        self._parts = iter(parts)
        self._mine: dict[int, list[Part]] = {}
        """What each thread gets next."""
        self._lock = threading.Lock()
        self._source, self._sink, self._watch, self._work = source, sink, watch, work
        self._stored = frozenset(sink.stored_parts()) if work.alone else None

    def take(self) -> Part | None:
        """The next part that is not there."""
        if not self._mine.get(threading.get_ident()):
            self._work.wait_for_turn()
        part = None
        try:
            part = self._next_missing()
        finally:
            if part is None:
                self._leave()
        return part

    def finish(self, part: Part) -> None:  # noqa: ARG002 - the sink knows
        """End the turn, unless there is more to read at once."""
        if not self._mine.get(threading.get_ident()):
            self._work.end_turn()

    def release(self, part: Part) -> None:  # noqa: ARG002 - the next run asks the sink
        """End the turn."""
        self._leave()

    def _leave(self) -> None:
        """End the turn, and have no part left that stands for one: this thread may be given another connection."""
        self._mine.pop(threading.get_ident(), None)
        self._work.end_turn()

    def _next_missing(self) -> Part | None:
        while True:
            part = self._next()
            if part is None:
                return None
            self._watch.check()
            if not self._is_there(part):
                return part
            self._watch.noted(part.number, part.size or 0)

    def _next(self) -> Part | None:
        with self._lock:
            mine = self._mine.setdefault(threading.get_ident(), [])
            if not mine:
                mine.extend(itertools.islice(self._parts, PARTS_A_READ))
            return mine.pop(0) if mine else None

    def _is_there(self, part: Part) -> bool:
        if self._stored is not None and part.number not in self._stored:
            return False
        return self._sink.trust(part, self._reading(part))

    def _reading(self, part: Part) -> Callable[[], str]:
        return lambda: part_md5(self._source, part, self._watch.check)


class LongReads:
    """A source in a store that is asked for `PARTS_A_READ` parts of a run at once, by a thread that reads all of them.

    What a thread leaves unread is broken off, by its next `open` or by `close`.
    """

    def __init__(self, source: Source, plan: Plan, first: int, last: int) -> None:
        """`first` and `last` are the numbers of the run's outermost parts."""
        self._source, self._plan, self._first, self._last = source, plan, first, last
        self._kept: dict[int, _LongRead] = {}
        """What is open between two parts, by the thread that it is for."""

    def stat(self) -> SourceInfo:
        """As the source tells it."""
        return self._source.stat()

    @contextmanager
    def open(self, offset: int, end: int | None) -> Iterator[Reader]:
        """The source's bytes from there, out of what this thread has open if that goes on just there."""
        thread = threading.get_ident()
        read = self._kept.pop(thread, None)
        if read is None or read.position != offset:
            if read is not None:
                read.close()
            read = _LongRead(self._source, offset, self._end_of_read(offset))
        read.end = end
        try:
            yield read
        except BaseException:
            read.close()
            raise
        if read.position == end and read.has_more:
            self._kept[thread] = read
        else:
            read.close()

    def abort(self) -> None:
        """End all reading, where the source can."""
        if isinstance(self._source, Abortable):
            self._source.abort()

    def close(self) -> None:
        """Break off what nobody reads any more."""
        while self._kept:
            self._kept.popitem()[1].close()

    def _end_of_read(self, offset: int) -> int | None:
        number = offset // self._plan.part_size + 1
        runs_on = PARTS_A_READ - 1 - (number - self._first) % PARTS_A_READ
        return self._plan.part(min(number + runs_on, self._last)).end


class _LongRead:
    """Bytes of several parts, of which no more are given than up to `end`."""

    def __init__(self, source: Source, offset: int, until: int | None) -> None:
        self.position = offset
        self.end: int | None = None
        self._until = until
        self._stack = ExitStack()
        self._reader = self._stack.enter_context(source.open(offset, until))

    @property
    def has_more(self) -> bool:
        return self._until is not None and self.position < self._until

    def readinto(self, buffer: memoryview, /) -> int:
        wanted = len(buffer) if self.end is None else min(len(buffer), self.end - self.position)
        count = self._reader.readinto(buffer[:wanted]) if wanted else 0
        self.position += count
        return count

    def close(self) -> None:
        self._stack.close()


class HashingSource:
    """A source whose parts are hashed as they are read, so that nobody has to read them once more for that."""

    def __init__(self, source: Source, plan: Plan) -> None:
        self._source, self._plan = source, plan
        self.md5s: dict[int, str] = {}
        """Of the parts that were read from their first byte to their last, by number, as lowercase hex."""

    def stat(self) -> SourceInfo:
        """As the source tells it."""
        return self._source.stat()

    @contextmanager
    def open(self, offset: int, end: int | None) -> Iterator[Reader]:
        """The source's bytes; those of a whole part are noted once the source has said that they are right."""
        part = self._plan.part(offset // self._plan.part_size + 1)
        with self._source.open(offset, end) as reader:
            hashing = _HashingReader(reader)
            yield hashing
        if (offset, hashing.count) == (part.offset, part.size):
            self.md5s[part.number] = hashing.md5

    def abort(self) -> None:
        """End all reading, where the source can."""
        if isinstance(self._source, Abortable):
            self._source.abort()


class _HashingReader:
    """Bytes that are hashed as they pass."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._hash = hashlib.md5(usedforsecurity=False)
        self.count = 0

    @property
    def md5(self) -> str:
        return self._hash.hexdigest()

    def readinto(self, buffer: memoryview, /) -> int:
        count = self._reader.readinto(buffer)
        self._hash.update(buffer[:count])
        self.count += count
        return count


def checksum_of(source: Source, size: int, part_size: int, work: Work | None) -> Checksum:
    """The checksum of a file in this form, by reading all of it; `part_size` 0 for the whole file's MD5."""
    plan = Plan(size, part_size or max(size, 1))
    check = work.check if work is not None else _go_on
    with ThreadPoolExecutor(PART_CONNECTIONS, thread_name_prefix="checksum") as pool:
        md5s = list(pool.map(lambda part: part_md5(source, part, check), plan))
    return checksum_of_parts(md5s, part_size) if part_size else Checksum(md5s[0])


def part_md5(source: Source, part: Part, check: Callable[[], None]) -> str:
    """The MD5 of a part of the source, as lowercase hex."""
    return md5_of(_read(source, part, check))


def _read(source: Source, part: Part, check: Callable[[], None]) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(CHUNK_BYTES))
    with source.open(part.offset, part.end) as reader:
        while count := reader.readinto(buffer):
            check()
            yield buffer[:count]


def _go_on() -> None:
    """Nobody ends this one."""
