"""The copy moves what is missing, ends when it is told to, and tells truly how far it is."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.transfers.engine.fickle import WAIT_SECONDS, Failure, FickleSource
from transfers.engine.base import Reader, Sink, Source, StoredPart
from transfers.engine.copying import Watch, WholePlan, copy
from transfers.engine.local import LocalSink
from transfers.engine.memory import MemorySink, MemorySource
from transfers.engine.plan import Part, Plan, whole
from transfers.errors import (
    Interrupted,
    Interruption,
    OutOfSpaceError,
    SinkError,
    SourceBusyError,
    SourceChangedError,
    SourceError,
    SourceInterruptedError,
)

CONTENT = random.Random(1).randbytes(20_480)
SIZE = len(CONTENT)
PLAN = Plan(SIZE, 3000)  # seven parts, the last of 2480 bytes

PLANS = {
    "one-part": whole(SIZE),
    "many-parts": PLAN,
    "parts-of-a-byte-more-than-the-file": Plan(SIZE, SIZE + 1),
    "even-parts": Plan(SIZE, SIZE // 5),
    "unknown-size": whole(None),
}


def begun(plan: Plan, content: bytes = b"", sizes: dict[int, int] | None = None) -> MemorySink:
    """A sink that holds so many bytes of each of these parts already."""
    sink = MemorySink()
    sink.begin(plan)
    for number, size in (sizes or {}).items():
        part = plan.part(number)
        with MemorySource(content).open(part.offset, part.offset + size) as reader:
            sink.write_part(part, reader)
    return sink


def run(
    source: Source,
    sink: Sink,
    plan: Plan,
    *,
    connections: int = 1,
    watch: Watch | None = None,
) -> Watch:
    """Copy what is missing."""
    stored = sink.stored_parts()
    watch = watch or Watch(plan, stored)
    copy(source, sink, WholePlan(plan, stored), watch, connections=connections)
    return watch


class CopyInBackground:
    """A copy in a thread of its own, which must have ended when the block ends."""

    def __init__(self, copying: Callable[[], object]) -> None:
        self._pool = ThreadPoolExecutor(1)
        self.ended: Future[object] = self._pool.submit(copying)

    def __enter__(self) -> Future[object]:
        return self.ended

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


def copying_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("connection")]


class Recorder:
    """An allotment that tells what became of its parts, which it gives out in the order it was told."""

    def __init__(self, plan: Plan, order: list[int]) -> None:
        self._parts = iter([plan.part(number) for number in order])
        self.finished: list[int] = []
        self.released: list[int] = []

    def take(self) -> Part | None:
        return next(self._parts, None)

    def finish(self, part: Part) -> None:
        self.finished.append(part.number)

    def release(self, part: Part) -> None:
        self.released.append(part.number)


class FullSink(MemorySink):
    """A sink that has no room for more than so many bytes of a part."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def write_part(self, part: Part, reader: Reader, start: int = 0) -> StoredPart:
        buffer = memoryview(bytearray(1000))
        while start <= self._room:
            start += reader.readinto(buffer)
        raise OutOfSpaceError(f"no room for part {part.number}")


# Moving --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connections", [1, 3, 9])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_every_byte_arrives(plan: Plan, connections: int) -> None:
    source, sink = FickleSource(CONTENT), begun(plan)
    watch = run(source, sink, plan, connections=connections)
    sink.complete(SIZE)
    assert sink.content == CONTENT
    assert set(source.read_count.values()) == {1}
    assert (watch.moved, watch.fetched, watch.frontier) == (SIZE, SIZE, SIZE)


def test_an_empty_file_needs_no_read() -> None:
    source, sink = FickleSource(b""), begun(whole(0))
    watch = run(source, sink, whole(0))
    sink.complete(0)
    assert (sink.content, source.opened) == (b"", [])
    assert (watch.moved, watch.fetched, watch.frontier) == (0, 0, 0)


def test_connections_work_at_once_and_leave_no_thread() -> None:
    source = FickleSource(CONTENT, together=threading.Barrier(3))  # breaks unless three readers are open together
    plan = Plan(SIZE, -(-SIZE // 3))
    sink = begun(plan)
    run(source, sink, plan, connections=3)
    sink.complete(SIZE)
    assert sink.content == CONTENT
    assert copying_threads() == []


STORED = {
    "nothing": ({}, [(part.offset, part.end) for part in PLAN]),
    "whole-parts": ({1: 3000, 3: 3000}, [(3000, 6000), *((n * 3000, PLAN.part(n + 1).end) for n in range(3, 7))]),
    "a-beginning": ({1: 3000, 2: 1, **dict.fromkeys(range(3, 7), 3000), 7: 2480}, [(3001, 6000)]),
    "a-last-byte": ({**dict.fromkeys(range(1, 7), 3000), 7: 2479}, [(SIZE - 1, SIZE)]),
    "everything": ({**dict.fromkeys(range(1, 7), 3000), 7: 2480}, []),
}


@pytest.mark.parametrize("connections", [1, 4])
@pytest.mark.parametrize(("sizes", "opened"), STORED.values(), ids=STORED)
def test_only_what_is_missing_is_read(sizes: dict[int, int], opened: list[tuple[int, int]], connections: int) -> None:
    source, sink = FickleSource(CONTENT), begun(PLAN, CONTENT, sizes)
    watch = run(source, sink, PLAN, connections=connections)
    sink.complete(SIZE)
    assert sink.content == CONTENT
    assert sorted(source.opened) == sorted(opened)
    assert watch.fetched == len(source.read_count) == SIZE - sum(sizes.values())
    assert (watch.moved, watch.frontier) == (SIZE, SIZE)


def test_a_sink_need_not_read_to_the_end_when_it_has_the_whole_part() -> None:
    class Counting(MemorySink):
        def write_part(self, part: Part, reader: Reader, start: int = 0) -> StoredPart:
            buffer = memoryview(bytearray(part.size or 0))
            position = start
            while position < (part.size or 0):
                position += reader.readinto(buffer[position:])
            with MemorySource(bytes(buffer)).open(0, None) as whole_part:
                return super().write_part(part, whole_part)

    sink = Counting()
    sink.begin(PLAN)
    watch = run(FickleSource(CONTENT), sink, PLAN)
    sink.complete(SIZE)
    assert sink.content == CONTENT
    assert (watch.moved, watch.fetched, watch.frontier) == (SIZE, SIZE, SIZE)


def test_a_file_of_unknown_size_goes_on_from_its_beginning() -> None:
    plan = whole(None)
    source, sink = FickleSource(CONTENT), begun(plan, CONTENT, {1: 5000})
    watch = run(source, sink, plan)
    sink.complete(SIZE)
    assert (sink.content, source.opened) == (CONTENT, [(5000, None)])
    assert (watch.moved, watch.fetched) == (SIZE, SIZE - 5000)


def test_the_allotment_is_told_what_became_of_each_part() -> None:
    source = FickleSource(CONTENT, failures={9500: SourceInterruptedError("cut")})
    allotment = Recorder(PLAN, [2, 1, 4, 3])
    with pytest.raises(SourceInterruptedError):
        copy(source, begun(PLAN), allotment, Watch(PLAN, {}))
    assert (allotment.finished, allotment.released) == ([2, 1], [4])


# Failing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize(
    "failure",
    [SourceBusyError("later", 7.0), SourceChangedError("replaced"), RuntimeError("a fault of ours")],
    ids=lambda failure: type(failure).__name__,
)
def test_a_failure_comes_out_as_it_is_and_what_came_before_is_kept(failure: Exception, connections: int) -> None:
    source, sink = FickleSource(CONTENT, failures={4500: failure}), begun(PLAN)
    with pytest.raises(type(failure)) as raised:
        run(source, sink, PLAN, connections=connections)
    assert raised.value is failure
    assert sink.stored_parts()[2].size == 1500
    assert copying_threads() == []


def test_the_first_failure_ends_all_connections_and_is_the_one_raised() -> None:
    # Parts 3 and 4 block in mid-part until the failure of part 1 ends them: their own ends come later and are not told.
    failure = SourceBusyError("later", 7.0)
    source = FickleSource(CONTENT, blocked_from=6000)
    sink = begun(PLAN, CONTENT, {2: 3000})

    def fail_once_the_others_block() -> None:
        for _ in range(2):
            assert source.blocking.acquire(timeout=WAIT_SECONDS)
        raise failure

    source.failures[1000] = fail_once_the_others_block
    allotment = Recorder(PLAN, [1, 3, 4])
    with pytest.raises(SourceBusyError) as raised:
        copy(source, sink, allotment, Watch(PLAN, sink.stored_parts()), connections=3)
    assert raised.value is failure
    assert source.aborted.is_set()
    assert (allotment.finished, sorted(allotment.released)) == ([], [1, 3, 4])
    assert copying_threads() == []


def test_a_connection_that_waits_for_a_part_ends_with_the_others() -> None:
    # An allotment shared with other workers may have none to give for a long time.
    watch = Watch(PLAN, {})
    source = FickleSource(CONTENT, failures={0: SourceInterruptedError("cut")})

    class Patient(Recorder):
        def take(self) -> Part | None:
            part = super().take()
            while part is None:
                watch.wait(60)
            return part

    began = time.monotonic()
    with pytest.raises(SourceInterruptedError, match=r"^cut$"):
        copy(source, begun(PLAN), Patient(PLAN, [1]), watch, connections=2)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("reason", Interruption)
def test_a_wait_tells_why_it_was_ended(reason: Interruption) -> None:
    watch = Watch(PLAN, {})
    watch.wait(0.01)
    watch.interrupt(reason)
    with pytest.raises(Interrupted) as raised:
        watch.wait(60)
    assert raised.value.reason is reason


def test_a_failing_sink_ends_all_connections() -> None:
    source, sink = FickleSource(CONTENT), FullSink(room=2000)
    sink.begin(PLAN)
    with pytest.raises(OutOfSpaceError):
        run(source, sink, PLAN, connections=3)
    assert source.aborted.is_set()


def test_bytes_that_the_sink_could_not_store_count_as_fetched_and_not_as_moved() -> None:
    source, sink = FickleSource(CONTENT), FullSink(room=2000)  # it takes 1000 bytes thrice, and keeps the first two
    sink.begin(PLAN)
    watch = Watch(PLAN, {})
    with pytest.raises(OutOfSpaceError):
        run(source, sink, PLAN, watch=watch)
    assert (watch.moved, watch.fetched, watch.frontier) == (2000, 3000, 2000)


def test_parts_behind_the_failed_one_are_left_alone() -> None:
    source = FickleSource(CONTENT, failures={0: SourceInterruptedError("cut")})
    with pytest.raises(SourceInterruptedError):
        run(source, begun(PLAN), PLAN)
    assert source.opened == [(0, 3000)]


# Being told to end ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connections", [1, 3])
def test_an_interruption_wins_over_the_failure_it_provokes(connections: int) -> None:
    source, sink = FickleSource(CONTENT, blocked_from=1500), begun(PLAN)
    watch = Watch(PLAN, {})
    with CopyInBackground(lambda: run(source, sink, PLAN, connections=connections, watch=watch)) as ended:
        for _ in range(connections):
            assert source.blocking.acquire(timeout=WAIT_SECONDS)
        watch.interrupt(Interruption.STOPPED)
        watch.interrupt(Interruption.DRAINING)
        with pytest.raises(Interrupted) as raised:
            ended.result(WAIT_SECONDS)
    assert raised.value.reason is Interruption.STOPPED, "the first reason is the one that counts"
    assert sink.stored_parts()[1].size == 1500
    assert watch.moved == watch.fetched == 1500
    assert copying_threads() == []


def test_the_sink_is_told_of_the_interruption_and_not_of_the_failure() -> None:
    # A sink that was fenced must write nothing more, and it knows only what its reader raises.
    source = FickleSource(CONTENT, blocked_from=1500)
    watch = Watch(PLAN, {})
    seen: list[BaseException] = []

    class Listening(MemorySink):
        def write_part(self, part: Part, reader: Reader, start: int = 0) -> StoredPart:
            try:
                return super().write_part(part, reader, start)
            except BaseException as error:
                seen.append(error)
                raise

    sink = Listening()
    sink.begin(PLAN)
    with CopyInBackground(lambda: run(source, sink, PLAN, watch=watch)) as ended:
        assert source.blocking.acquire(timeout=WAIT_SECONDS)
        watch.interrupt(Interruption.FENCED)
        with pytest.raises(Interrupted):
            ended.result(WAIT_SECONDS)
    assert [type(error) for error in seen] == [Interrupted]


def test_an_interruption_wins_over_a_failure_to_open() -> None:
    watch = Watch(PLAN, {})

    class InterruptedInOpen(FickleSource):
        @contextmanager
        def open(self, offset: int, end: int | None) -> Iterator[Reader]:
            watch.interrupt(Interruption.FENCED)
            with super().open(offset, end) as reader:
                yield reader

    with pytest.raises(Interrupted) as raised:
        run(InterruptedInOpen(CONTENT), begun(PLAN), PLAN, watch=watch)
    assert raised.value.reason is Interruption.FENCED


def test_an_interruption_wins_over_a_failure_of_the_sink() -> None:
    watch = Watch(PLAN, {})

    class InterruptedInWrite(MemorySink):
        def write_part(self, part: Part, reader: Reader, start: int = 0) -> StoredPart:
            super().write_part(part, reader, start)
            watch.interrupt(Interruption.STOPPED)
            raise SinkError("the disk went away")

    sink = InterruptedInWrite()
    sink.begin(PLAN)
    with pytest.raises(Interrupted):
        run(FickleSource(CONTENT), sink, PLAN, watch=watch)


@pytest.mark.parametrize("connections", [1, 3])
def test_a_copy_that_was_interrupted_before_it_began_reads_nothing(connections: int) -> None:
    source, watch = FickleSource(CONTENT), Watch(PLAN, {})
    watch.interrupt(Interruption.DRAINING)
    with pytest.raises(Interrupted) as raised:
        run(source, begun(PLAN), PLAN, watch=watch, connections=connections)
    assert raised.value.reason is Interruption.DRAINING
    assert source.opened == []


def test_a_source_that_cannot_be_aborted_ends_at_its_next_read() -> None:
    sink = begun(PLAN)
    watch = Watch(PLAN, {}, follow=lambda frontier: watch.interrupt(Interruption.STOPPED) if frontier else None)
    with pytest.raises(Interrupted):
        run(MemorySource(CONTENT), sink, PLAN, watch=watch)
    assert sink.stored_parts() == {1: StoredPart(1, 3000)}


class _Slow:
    """A limit that would make every read wait for a minute."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.asked = threading.Event()

    def delay_seconds(self, count: int) -> float:
        self.counts.append(count)
        self.asked.set()
        return 60.0


@pytest.mark.parametrize("connections", [1, 2])
def test_the_wait_for_bandwidth_ends_with_the_copy_and_loses_no_byte(connections: int) -> None:
    pacer = _Slow()
    sink, watch = begun(PLAN), Watch(PLAN, {}, pacer=pacer)
    began = time.monotonic()
    with CopyInBackground(
        lambda: run(FickleSource(CONTENT), sink, PLAN, watch=watch, connections=connections)
    ) as ended:
        assert pacer.asked.wait(WAIT_SECONDS)
        watch.interrupt(Interruption.STOPPED)
        with pytest.raises(Interrupted):
            ended.result(WAIT_SECONDS)
    assert time.monotonic() - began < 5
    assert sum(part.size for part in sink.stored_parts().values()) == watch.moved == watch.fetched > 0


def test_every_byte_is_paced_once() -> None:
    counts: list[int] = []

    class Counter:
        def delay_seconds(self, count: int) -> float:
            counts.append(count)
            return 0.0

    run(FickleSource(CONTENT), begun(PLAN), PLAN, watch=Watch(PLAN, {}, pacer=Counter()))
    assert sum(counts) == SIZE


def test_another_connections_failure_ends_a_wait_for_bandwidth() -> None:
    class FirstFails:
        def __init__(self) -> None:
            self._turn = iter([0.0, 60.0])
            self._lock = threading.Lock()
            self._both = threading.Barrier(2)

        def delay_seconds(self, count: int) -> float:
            with self._lock:
                delay = next(self._turn) if count else 0.0
            self._both.wait(WAIT_SECONDS)
            if not delay:
                raise SourceError("cut")
            return delay

    began = time.monotonic()
    with pytest.raises(SourceError, match=r"^cut$"):
        run(FickleSource(CONTENT), begun(PLAN), PLAN, watch=Watch(PLAN, {}, pacer=FirstFails()), connections=2)
    assert time.monotonic() - began < 5


# How far it is -------------------------------------------------------------------------------------------------------


FRONTIERS = {
    "nothing": ({}, 0),
    "a-beginning": ({1: 10}, 10),
    "a-gap": ({1: 2999, 2: 3000}, 2999),
    "a-whole-part": ({1: 3000}, 3000),
    "whole-parts-and-a-beginning": ({1: 3000, 2: 3000, 3: 5}, 6005),
    "a-missing-first": ({2: 3000, 7: 2480}, 0),
    "everything": ({**dict.fromkeys(range(1, 7), 3000), 7: 2480}, SIZE),
}


@pytest.mark.parametrize(("sizes", "frontier"), FRONTIERS.values(), ids=FRONTIERS)
def test_the_frontier_is_where_the_first_missing_byte_is(sizes: dict[int, int], frontier: int) -> None:
    watch = Watch(PLAN, {number: StoredPart(number, size) for number, size in sizes.items()})
    assert (watch.frontier, watch.moved, watch.fetched) == (frontier, sum(sizes.values()), 0)


def test_the_frontier_goes_on_over_what_others_stored() -> None:
    watch = Watch(PLAN, {1: StoredPart(1, 3000)})
    watch.noted(3, 3000)
    assert (watch.frontier, watch.frontier_part, watch.moved) == (3000, 2, 6000)
    watch.noted(2, 3000)
    assert (watch.frontier, watch.frontier_part, watch.moved) == (9000, 4, 9000)
    assert watch.position(3) == 3000
    assert watch.position(4) == 0


def test_the_follower_is_never_told_more_than_is_in_the_file(tmp_path: Path) -> None:
    sink = LocalSink(tmp_path / "file", generation="1")
    sink.begin(PLAN)
    told: list[int] = []

    def follow(frontier: int) -> None:
        with (tmp_path / "file.part").open("rb") as file:
            assert file.read(frontier) == CONTENT[:frontier]
        told.append(frontier)

    source = FickleSource(CONTENT, piece_bytes=700)
    watch = Watch(PLAN, {}, follow=follow)
    copy(source, sink, Recorder(PLAN, [3, 2, 5, 1, 7, 4, 6]), watch, connections=1)
    sink.close()
    assert told == sorted(told)
    assert told[-1] == SIZE
    assert len(set(told)) > len(PLAN), "it is told within parts too"


def test_the_follower_of_many_connections_gets_to_the_end(tmp_path: Path) -> None:
    sink = LocalSink(tmp_path / "file", generation="1")
    sink.begin(PLAN)
    told: list[int] = []
    watch = Watch(PLAN, {}, follow=told.append)
    run(FickleSource(CONTENT, piece_bytes=100), sink, PLAN, connections=4, watch=watch)
    sink.close()
    assert max(told) == SIZE


# Any course of events ------------------------------------------------------------------------------------------------


@st.composite
def courses(draw: st.DrawFn) -> tuple[bytes, Plan, dict[int, int], list[dict[int, str]]]:
    """A file, its plan, what is stored of each part at first, and where each run fails and how."""
    content = draw(st.binary(min_size=1, max_size=300))
    plan = draw(
        st.one_of(st.just(whole(len(content))), st.integers(20, 400).map(lambda size: Plan(len(content), size)))
    )
    sizes = {part.number: draw(st.integers(0, part.size or 0)) for part in plan}
    failure = st.sampled_from(["cut", "stop"])
    runs = draw(st.lists(st.dictionaries(st.integers(0, len(content) - 1), failure, max_size=3), max_size=4))
    return content, plan, sizes, runs


@settings(max_examples=150, deadline=None)
@given(course=courses(), connections=st.sampled_from([1, 3]))
def test_any_course_ends_in_the_right_bytes_and_no_stored_byte_is_read_again(
    course: tuple[bytes, Plan, dict[int, int], list[dict[int, str]]], connections: int
) -> None:
    content, plan, sizes, runs = course
    sink = begun(plan, content, sizes)
    for failures in (*runs, {}):
        stored = sink.stored_parts()
        kept = {
            offset
            for number, part in stored.items()
            for offset in range(plan.part(number).offset, plan.part(number).offset + part.size)
        }
        watch = Watch(plan, stored)
        source = FickleSource(content, failures={at: _failure(kind, watch) for at, kind in failures.items()})
        source.piece_bytes = 7
        sink.begin(plan)
        try:
            copy(source, sink, WholePlan(plan, stored), watch, connections=connections)
        except (SourceInterruptedError, Interrupted):
            assert failures, "it failed without a reason"
        now = {number: part.size for number, part in sink.stored_parts().items()}
        assert not kept & set(source.read_count), "a stored byte was read again"
        assert set(source.read_count.values()) <= {1}
        assert watch.fetched == len(source.read_count)
        assert watch.moved == sum(now.values()) == len(kept) + watch.fetched
        assert watch.frontier == _first_missing(plan, now)
    sink.complete(len(content))
    assert sink.content == content


def _failure(kind: str, watch: Watch) -> Failure:
    """A read that fails, or one during which the copy is told to end."""
    return SourceInterruptedError("cut") if kind == "cut" else lambda: watch.interrupt(Interruption.STOPPED)


def _first_missing(plan: Plan, sizes: dict[int, int]) -> int:
    for part in plan:
        if sizes.get(part.number, 0) != part.size:
            return part.offset + sizes.get(part.number, 0)
    return plan.size or 0
