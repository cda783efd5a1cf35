"""What every sink must do, as one suite: an adapter's test class inherits the parts that its place can show.

class TestMemorySink(SinkSuite):
    @pytest.fixture
    def new_place(self) -> Callable[[], MemoryPlace]: ...
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfers.engine.base import Sink
from transfers.engine.plan import Part, Plan, whole
from transfers.errors import SinkError, SourceInterruptedError

CONTENT = random.Random(3).randbytes(25_007)
OTHER = random.Random(4).randbytes(len(CONTENT))
SIZE = len(CONTENT)
PLAN = Plan(SIZE, 4096)
LAST = len(PLAN)


ATTEMPTS = st.lists(st.tuples(st.integers(1, LAST), st.integers(0, 4096)), max_size=12)
"""Parts that are begun, each with the offset in it at which its reader fails."""


class SinkPlace(Protocol):
    """Where the one file goes that the suite writes."""

    def sink(self) -> Sink:
        """A sink for the file; another call makes one that knows only what the place itself does, as after a crash."""

    def content(self) -> bytes | None:
        """The finished file; None while there is none."""


class FailingReader:
    """Gives these bytes, a little at a time, and then ends or fails."""

    def __init__(self, content: bytes, failure: Exception | None = None, piece_bytes: int = 1000) -> None:
        self._rest = memoryview(content)
        self._failure = failure
        self._piece_bytes = piece_bytes

    def readinto(self, buffer: memoryview, /) -> int:
        """The next bytes; raises the failure in place of an end."""
        if not self._rest and self._failure:
            raise self._failure
        piece = self._rest[: min(len(buffer), self._piece_bytes)]
        buffer[: len(piece)] = piece
        self._rest = self._rest[len(piece) :]
        return len(piece)


class FailingMover(FailingReader):
    """The same for a reader that can move its bytes into a file."""

    moved = 0
    """Bytes that were moved, of all such readers."""

    def move(self, fileno: int, offset: int, most: int, /) -> int:
        """Write the next bytes to the file; raises the failure in place of an end."""
        buffer = memoryview(bytearray(min(most, self._piece_bytes)))
        count = os.pwrite(fileno, buffer[: self.readinto(buffer)], offset)
        FailingMover.moved += count
        return count


def write(sink: Sink, part: Part, content: bytes = CONTENT, start: int = 0) -> None:
    """Store the part's bytes of this content, from its byte `start` on."""
    stored = sink.write_part(part, FailingReader(content[part.offset + start : part.end]), start)
    assert (stored.number, stored.size) == (part.number, len(content[part.offset : part.end]))


def write_and_fail(sink: Sink, part: Part, count: int, content: bytes = CONTENT, start: int = 0) -> None:
    """Let the reader fail after so many bytes from `start` on; its failure comes through as it is."""
    begin = part.offset + start
    failure = SourceInterruptedError("the line went dead")
    with pytest.raises(SourceInterruptedError) as raised:
        sink.write_part(part, FailingReader(content[begin : begin + count], failure), start)
    assert raised.value is failure


def fail_at(sink: Sink, number: int, count: int) -> None:
    """Go on with the part, and fail when `count` of its bytes, or all, are there."""
    part, start = PLAN.part(number), sizes(sink).get(number, 0)
    write_and_fail(sink, part, max(min(count, part.size or 0) - start, 0), start=start)


def go_on(sink: Sink, content: bytes = CONTENT, plan: Plan = PLAN) -> None:
    """Store all that is missing and complete, as the engine does."""
    for part in plan:
        stored = sink.stored_parts().get(part.number)
        write(sink, part, content, stored.size if stored else 0)
    sink.complete(len(content))


def begun(place: SinkPlace, plan: Plan = PLAN) -> Sink:
    """A sink that is ready for the plan's parts."""
    sink = place.sink()
    sink.begin(plan)
    return sink


def sizes(sink: Sink) -> dict[int, int]:
    """Bytes stored, by part number."""
    return {number: stored.size for number, stored in sink.stored_parts().items()}


class SinkSuite:
    """For every sink; `new_place`, the adapter's fixture, makes an empty place each time."""

    @pytest.fixture
    def place(self, new_place: Callable[[], SinkPlace]) -> SinkPlace:
        return new_place()

    def test_nothing_is_stored_at_first(self, place: SinkPlace) -> None:
        assert begun(place).stored_parts() == {}
        assert place.content() is None

    @pytest.mark.parametrize("order", [range(1, LAST + 1), range(LAST, 0, -1), [4, 1, 7, 2, 6, 3, 5]])
    def test_parts_in_any_order(self, place: SinkPlace, order: list[int]) -> None:
        sink = begun(place)
        for number in order:
            write(sink, PLAN.part(number))
        assert sizes(sink) == {part.number: part.size for part in PLAN}
        sink.complete(SIZE)
        assert place.content() == CONTENT

    def test_parts_at_once(self, place: SinkPlace) -> None:
        sink = begun(place)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda part: write(sink, part), PLAN))
        sink.complete(SIZE)
        assert place.content() == CONTENT

    def test_one_part_for_the_whole(self, place: SinkPlace) -> None:
        sink = begun(place, whole(SIZE))
        write(sink, whole(SIZE).part(1))
        sink.complete(SIZE)
        assert place.content() == CONTENT

    def test_an_empty_file(self, place: SinkPlace) -> None:
        sink = begun(place, whole(0))
        write(sink, whole(0).part(1), b"")
        sink.complete(0)
        assert place.content() == b""

    def test_a_file_of_unknown_size(self, place: SinkPlace) -> None:
        sink = begun(place, whole(None))
        write(sink, whole(None).part(1))
        sink.complete(SIZE)
        assert place.content() == CONTENT

    def test_the_file_appears_only_when_it_is_whole(self, place: SinkPlace) -> None:
        sink = begun(place)
        for part in PLAN:
            write(sink, part)
            assert place.content() is None
        sink.complete(SIZE)
        assert place.content() == CONTENT

    def test_a_part_twice_is_the_second_one(self, place: SinkPlace) -> None:
        sink = begun(place)
        write(sink, PLAN.part(2), OTHER)
        write(sink, PLAN.part(2))
        for part in PLAN:
            write(sink, part)
        sink.complete(SIZE)
        assert place.content() == CONTENT

    @pytest.mark.parametrize("count", [0, 1, 2500, 4095])
    def test_what_came_before_a_failure_can_be_gone_on_with(self, place: SinkPlace, count: int) -> None:
        sink = begun(place)
        write_and_fail(sink, PLAN.part(2), count)
        kept = sizes(sink).get(2, 0)
        assert 0 <= kept <= count
        write(sink, PLAN.part(2), start=kept)
        go_on(sink)
        assert place.content() == CONTENT

    def test_begin_again_keeps_what_is_stored(self, place: SinkPlace) -> None:
        sink = begun(place)
        write(sink, PLAN.part(3))
        sink.begin(PLAN)
        assert sizes(sink) == {3: 4096}
        go_on(sink)
        assert place.content() == CONTENT

    def test_begin_with_another_plan_forgets_what_is_stored(self, place: SinkPlace) -> None:
        sink = begun(place)
        write(sink, PLAN.part(3))
        sink.begin(Plan(SIZE, 5000))
        assert sink.stored_parts() == {}
        go_on(sink, plan=Plan(SIZE, 5000))
        assert place.content() == CONTENT

    @pytest.mark.parametrize("missing", [1, 4, LAST])
    def test_a_gap_is_refused_and_what_is_stored_is_kept(self, place: SinkPlace, missing: int) -> None:
        sink = begun(place)
        for part in PLAN:
            if part.number != missing:
                write(sink, part)
        before = sizes(sink)
        with pytest.raises(SinkError):
            sink.complete(SIZE)
        assert (place.content(), sizes(sink)) == (None, before)
        go_on(sink)
        assert place.content() == CONTENT

    def test_nothing_at_all_is_refused(self, place: SinkPlace) -> None:
        with pytest.raises(SinkError):
            begun(place).complete(SIZE)
        assert place.content() is None

    @pytest.mark.parametrize("missing", [1, 4000])
    def test_a_part_that_is_not_whole_is_refused(self, place: SinkPlace, missing: int) -> None:
        sink = begun(place)
        for part in PLAN:
            if part.number != 5:
                write(sink, part)
        write_and_fail(sink, PLAN.part(5), 4096 - missing)
        with pytest.raises(SinkError):
            sink.complete(SIZE)
        assert place.content() is None
        go_on(sink)
        assert place.content() == CONTENT

    @pytest.mark.parametrize("size", [0, SIZE - 1, SIZE + 1])
    @pytest.mark.parametrize("plan", [PLAN, whole(None)], ids=["known", "unknown"])
    def test_another_size_than_what_is_stored_is_refused(self, place: SinkPlace, plan: Plan, size: int) -> None:
        sink = begun(place, plan)
        for part in plan:
            write(sink, part)
        before = sizes(sink)
        with pytest.raises(SinkError):
            sink.complete(size)
        assert (place.content(), sizes(sink)) == (None, before)
        sink.complete(SIZE)
        assert place.content() == CONTENT

    @pytest.mark.parametrize("end", [8000, 9000])
    def test_a_reader_that_gives_too_little_or_too_much_never_passes_for_a_part(
        self, place: SinkPlace, end: int
    ) -> None:
        sink = begun(place)
        for part in PLAN:
            if part.number != 2:
                write(sink, part)
        with contextlib.suppress(SinkError):  # it may refuse at once, or only when it is asked to complete
            sink.write_part(PLAN.part(2), FailingReader(OTHER[4096:end]))
        with pytest.raises(SinkError):
            sink.complete(SIZE)
        assert place.content() is None
        write(sink, PLAN.part(2))
        sink.complete(SIZE)
        assert place.content() == CONTENT

    def test_too_much_of_one_part_does_not_make_up_for_another(self, place: SinkPlace) -> None:
        sink = begun(place)
        for part in PLAN:
            if part.number not in {2, LAST}:
                write(sink, part)
        with contextlib.suppress(SinkError):
            sink.write_part(PLAN.part(2), FailingReader(CONTENT[4096:8192] + b"more"))
        write_and_fail(sink, PLAN.part(LAST), (PLAN.part(LAST).size or 0) - len(b"more"))
        with pytest.raises(SinkError):
            sink.complete(SIZE)
        assert place.content() is None

    def test_abort_forgets(self, place: SinkPlace) -> None:
        sink = begun(place)
        write(sink, PLAN.part(1), OTHER)
        sink.abort()
        again = begun(place)
        assert again.stored_parts() == {}
        go_on(again)
        assert place.content() == CONTENT

    def test_abort_of_nothing_is_fine(self, place: SinkPlace) -> None:
        place.sink().abort()
        sink = begun(place)
        sink.abort()
        sink.abort()
        assert place.content() is None

    def test_any_course_of_failures_ends_in_the_right_bytes(self, new_place: Callable[[], SinkPlace]) -> None:
        @settings(max_examples=25)
        @given(attempts=ATTEMPTS, order=st.permutations(range(1, LAST + 1)))
        def course(attempts: list[tuple[int, int]], order: list[int]) -> None:
            place = new_place()
            sink = begun(place)
            for number, count in attempts:
                fail_at(sink, number, count)
            for number in order:
                write(sink, PLAN.part(number), start=sizes(sink).get(number, 0))
            sink.complete(SIZE)
            assert place.content() == CONTENT

        course()


class BeginningsSuite:
    """For a sink that keeps the beginning of a part whose reader failed."""

    @pytest.mark.parametrize("count", [1, 2500, 4096])
    def test_every_byte_before_a_failure_is_kept(self, place: SinkPlace, count: int) -> None:
        sink = begun(place)
        write_and_fail(sink, PLAN.part(2), count)
        assert sizes(sink) == {2: count}
        write_and_fail(sink, PLAN.part(2), 0, start=count)
        assert sizes(sink) == {2: count}
