"""Whose turn it is, which parts are asked for, and what is hashed on the way."""

from __future__ import annotations

import random
import threading
import time

import pytest

from sync.moving import CHECK_SECONDS, HashingSource, Parts, Work
from transfers.engine.copying import Watch, copy
from transfers.engine.memory import MemorySource
from transfers.engine.plan import Part, Plan
from transfers.engine.tree.base import Description, TreeSink, md5_of
from transfers.engine.tree.memory import MemoryTree
from transfers.errors import Interrupted, Interruption, SourceChangedError, SourceInterruptedError

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
        time.sleep(0.002)
        with self._lock:
            self._now -= 1
        if offset == self._fails_at:
            raise SourceInterruptedError("cut")
        return super().open(offset, end)


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
    def test_whatever_fails_ends_its_turns(self, connections: int) -> None:
        turns = threading.BoundedSemaphore(2)
        with pytest.raises(SourceInterruptedError):
            move(Busy(fails_at=5000), Work(turns), connections)
        assert [turns.acquire(blocking=False) for _ in range(3)] == [True, True, False]

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
