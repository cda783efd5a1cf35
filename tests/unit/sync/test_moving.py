"""Whose turn it is, which parts are asked for, and what is hashed on the way."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sync.moving import CHECK_SECONDS, HashingSource, LongReads, Parts, Work
from transfers.engine.base import Reader
from transfers.engine.copying import Watch, copy
from transfers.engine.memory import MemorySource
from transfers.engine.plan import Part, Plan
from transfers.engine.tree.base import Description, TreeSink, md5_of
from transfers.engine.tree.memory import MemoryTree
from transfers.errors import Interrupted, Interruption, SourceChangedError, SourceError, SourceInterruptedError

PLAN = Plan(10 * 1000 + 1, 1000)
CONTENT = random.Random(31).randbytes(PLAN.size or 0)


def begun() -> TreeSink:
    """A sink that has begun."""
    sink = MemoryTree().sink("large", "1", Description(0, None), None)
    sink.begin(PLAN)
    return sink


def parts(sink: TreeSink, work: Work) -> Parts:
    """All parts, to be given out."""
    return Parts(list(PLAN), MemorySource(CONTENT), sink, Watch(PLAN, {}), work)


class Busy(MemorySource):
    """A source that tells how many read from it at once, and fails at a part."""

    def __init__(self, fails_at: int = -1) -> None:
        super().__init__(CONTENT)
        self.most = self._now = 0
        self._fails_at, self._lock = fails_at, threading.Lock()

    def open(self, offset: int, end: int | None):  # type: ignore[no-untyped-def] # noqa: ANN201
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        if offset != self._fails_at:
            time.sleep(0.002)
        with self._lock:
            self._now -= 1
        if offset == self._fails_at:
            raise SourceInterruptedError("cut")
        return super().open(offset, end)


def failing(*_: object) -> bool:
    """A look at what is there that fails."""
    raise SourceInterruptedError("cut")


def move(source: Busy, work: Work, connections: int = 4) -> None:
    """Move all of a file."""
    sink, watch = begun(), Watch(PLAN, {})
    copy(source, sink, Parts(list(PLAN), source, sink, watch, work), watch, connections=connections)
    sink.complete(len(CONTENT))


class TestTurns:
    def test_no_more_at_once_than_there_are_turns(self) -> None:
        source, turns = Busy(), threading.BoundedSemaphore(3)
        threads = [threading.Thread(target=move, args=(source, Work(turns))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert source.most == 3
        assert [turns.acquire(blocking=False) for _ in range(4)] == [True, True, True, False]

    @pytest.mark.parametrize("connections", [1, 4])
    @pytest.mark.parametrize("fails_at", [0, 5000])
    def test_whatever_fails_ends_its_turns(self, fails_at: int, connections: int) -> None:
        """Its own, and nobody else's."""
        turns = threading.BoundedSemaphore(4)
        for _ in range(2):
            turns.acquire()
        for _ in range(20):
            with pytest.raises(SourceInterruptedError):
                move(Busy(fails_at), Work(turns), connections)
        assert [turns.acquire(blocking=False) for _ in range(3)] == [True, True, False]

    @pytest.mark.parametrize("there", [False, True])
    def test_a_thread_that_failed_begins_anew(self, *, there: bool) -> None:
        """A pool may have it run the next connection: it has neither a turn nor a part any more."""
        sink, watch = begun(), Watch(PLAN, {})
        given = Parts(list(PLAN), MemorySource(CONTENT), sink, watch, Work(turns := threading.BoundedSemaphore(2)))
        turns.acquire()
        if there:
            sink.trust = failing  # type: ignore[method-assign]
            with pytest.raises(SourceInterruptedError):
                given.take()
        else:
            part = given.take()
            assert part is not None
            given.release(part)
        watch.end()
        with pytest.raises(SourceError):
            given.take()
        assert [turns.acquire(blocking=False) for _ in range(2)] == [True, False]

    def test_whoever_waits_for_a_turn_can_be_ended(self) -> None:
        turns = threading.BoundedSemaphore(1)
        turns.acquire()
        work = Work(turns)
        threading.Timer(CHECK_SECONDS / 5, work.interrupt, [Interruption.STOPPED]).start()
        began = time.monotonic()
        with pytest.raises(Interrupted):
            parts(begun(), work).take()
        assert time.monotonic() - began < 10 * CHECK_SECONDS
        assert not turns.acquire(blocking=False)

    def test_a_small_file_has_one_too(self) -> None:
        turns = threading.BoundedSemaphore(1)
        with Work(turns).turn():
            assert not turns.acquire(blocking=False)
        assert turns.acquire(blocking=False)


class Asked(MemoryTree):
    """A tree whose sinks note which parts somebody asks about."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def sink(self, *arguments: object) -> TreeSink:
        sink = super().sink(*arguments)  # type: ignore[arg-type]
        trust = sink.trust

        def noted(part: Part, *more: object) -> bool:
            self.asked.append(part.number)
            return trust(part, *more)  # type: ignore[arg-type]

        sink.trust = noted  # type: ignore[method-assign, assignment]
        return sink


@pytest.mark.parametrize(("alone", "asked"), [(True, [2, 4]), (False, [*range(1, 12)])])
def test_alone_only_parts_that_were_there_are_asked_about(*, alone: bool, asked: list[int]) -> None:
    tree = Asked()
    sink = tree.sink("large", "1", Description(0, None), None)
    sink.begin(PLAN)
    for number in (2, 4):
        part = PLAN.part(number)
        with MemorySource(CONTENT).open(part.offset, part.end) as reader:
            sink.write_part(part, reader)
    given = parts(sink, Work(alone=alone))
    taken = [part.number for part in iter(given.take, None)]
    assert taken == [1, 3, *range(5, 12)]
    assert tree.asked == asked


class Noting(MemorySource):
    """A source that notes which ranges it is asked for, and which of them are still open."""

    def __init__(self) -> None:
        super().__init__(CONTENT)
        self.asked: list[tuple[int, int | None]] = []
        self.open_now = 0

    @contextmanager
    def open(self, offset: int, end: int | None) -> Iterator[Reader]:
        self.asked.append((offset, end))
        self.open_now += 1
        try:
            with super().open(offset, end) as reader:
                yield reader
        finally:
            self.open_now -= 1


class TestLongReads:
    """Of a run of the parts 3 to 7."""

    @staticmethod
    def read(source: LongReads, number: int, start: int = 0, most: int = 10**6) -> None:
        part, buffer, content = PLAN.part(number), memoryview(bytearray(333)), b""
        with source.open(part.offset + start, part.end) as reader:
            while len(content) < most and (count := reader.readinto(buffer)):
                content += buffer[:count]
        assert content == CONTENT[part.offset + start : part.end][: len(content)]
        assert len(content) == min(most, (part.size or 0) - start)

    @pytest.mark.parametrize(
        ("numbers", "asked"),
        [
            ([3, 4, 5, 6, 7], [(2000, 4000), (4000, 6000), (6000, 7000)]),
            ([4, 5], [(3000, 4000), (4000, 6000)]),
            ([3, 5, 4], [(2000, 4000), (4000, 6000), (3000, 4000)]),
            ([3, 3], [(2000, 4000), (2000, 4000)]),
            ([7], [(6000, 7000)]),
        ],
    )
    def test_two_parts_are_asked_for_at_once(self, numbers: list[int], asked: list[tuple[int, int]]) -> None:
        inner = Noting()
        source = LongReads(inner, PLAN, 3, 7)
        for number in numbers:
            self.read(source, number)
        assert inner.asked == asked
        assert inner.open_now <= 1
        source.close()
        assert inner.open_now == 0

    def test_in_the_midst_of_a_part(self) -> None:
        inner = Noting()
        source = LongReads(inner, PLAN, 3, 7)
        self.read(source, 5, start=600)
        self.read(source, 6)
        assert (inner.asked, inner.open_now) == ([(4600, 6000)], 0)

    def test_what_is_left_unread_is_not_gone_on_with(self) -> None:
        inner = Noting()
        source = LongReads(inner, PLAN, 3, 7)
        self.read(source, 3, most=333)
        assert inner.open_now == 0
        self.read(source, 4)
        assert inner.asked == [(2000, 4000), (3000, 4000)]

    def test_whatever_fails_is_closed(self) -> None:
        inner = Noting()
        source = LongReads(inner, PLAN, 3, 7)
        for number in (3, 4):
            with pytest.raises(ZeroDivisionError):
                self.fail(source, number)
            assert inner.open_now == 0

    @staticmethod
    def fail(source: LongReads, number: int) -> None:
        with source.open(PLAN.part(number).offset, PLAN.part(number).end):
            raise ZeroDivisionError

    def test_by_four_connections(self) -> None:
        inner, sink, watch = Noting(), begun(), Watch(PLAN, {})
        source = LongReads(inner, PLAN, 1, len(PLAN))
        allotted = Parts(list(PLAN), MemorySource(CONTENT), sink, watch, Work())
        copy(source, sink, allotted, watch, connections=4)
        source.close()
        sink.complete(len(CONTENT))
        assert sorted(inner.asked) == [(n * 2000, min((n + 1) * 2000, len(CONTENT))) for n in range(6)]
        assert inner.open_now == 0


class TestHashing:
    @staticmethod
    def read(source: HashingSource, offset: int, end: int | None, most: int = 10**6) -> None:
        buffer = memoryview(bytearray(333))
        with source.open(offset, end) as reader:
            while most > 0 and (count := reader.readinto(buffer)):
                most -= count

    def test_of_whole_parts(self) -> None:
        source = HashingSource(MemorySource(CONTENT), PLAN)
        for number in (3, 11, 1):
            self.read(source, PLAN.part(number).offset, PLAN.part(number).end)
        assert source.md5s == {
            number: md5_of([CONTENT[PLAN.part(number).offset : PLAN.part(number).end]]) for number in (3, 11, 1)
        }
        assert source.stat().size == len(CONTENT)

    def test_not_of_what_was_not_read_from_its_beginning_to_its_end(self) -> None:
        source = HashingSource(MemorySource(CONTENT), PLAN)
        self.read(source, 1500, 2000)
        self.read(source, 2000, 3000, most=400)
        assert source.md5s == {}

    def test_not_of_what_the_source_does_not_stand_by_in_the_end(self) -> None:
        tree = MemoryTree()
        source = HashingSource(tree.source(tree.put("large", CONTENT)), PLAN)
        with source.open(0, 1000) as reader:
            reader.readinto(memoryview(bytearray(1000)))
        tree.touch("large")
        with pytest.raises(SourceChangedError):
            self.read(source, 1000, 2000)
        assert list(source.md5s) == [1]
