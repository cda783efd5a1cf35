"""What a sink must do besides whose place outlives it: crashes lose nothing, and generations never mix."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.sinks import (
    ATTEMPTS,
    CONTENT,
    LAST,
    OTHER,
    PLAN,
    SIZE,
    SinkPlace,
    begun,
    fail_at,
    go_on,
    sizes,
    write,
    write_and_fail,
)
from transfers.engine.base import Sink
from transfers.engine.plan import whole
from transfers.errors import SinkError


class DurablePlace(SinkPlace, Protocol):
    """A place that outlives the sinks that write there."""

    def sink(self, generation: str = "first") -> Sink:
        """A new sink for the file's bytes of this generation."""

    def close(self) -> None:
        """Let go of what its sinks have open."""


class DurableSuite:
    """For a sink whose place outlives it; nobody ever closes a sink here, as nobody does before a crash."""

    @pytest.fixture
    def durable(self, new_place: Callable[[], DurablePlace]) -> DurablePlace:
        return new_place()

    def test_another_sink_knows_what_is_stored(self, durable: DurablePlace) -> None:
        first = begun(durable)
        for number in (2, 5, LAST):
            write(first, PLAN.part(number))
        write_and_fail(first, PLAN.part(3), 2000)
        before = sizes(first)
        second = begun(durable)
        assert sizes(second) == before
        go_on(second)
        assert durable.content() == CONTENT

    def test_every_part_by_another_sink(self, durable: DurablePlace) -> None:
        for part in PLAN:
            sink = begun(durable)
            assert sorted(sizes(sink)) == [*range(1, part.number)]
            write(sink, part)
        begun(durable).complete(SIZE)
        assert durable.content() == CONTENT

    def test_the_one_part_of_unknown_size_is_kept_too(self, durable: DurablePlace) -> None:
        first = begun(durable, whole(None))
        write_and_fail(first, whole(None).part(1), 9000)
        second = begun(durable, whole(None))
        assert sizes(second) == sizes(first)
        go_on(second, plan=whole(None))
        assert durable.content() == CONTENT

    def test_another_generation_begins_with_nothing(self, durable: DurablePlace) -> None:
        write(begun(durable), PLAN.part(1), OTHER)
        second = durable.sink("second")
        second.begin(PLAN)
        assert second.stored_parts() == {}

    def test_an_old_generations_writer_never_mixes_its_bytes_in(self, durable: DurablePlace) -> None:
        old = begun(durable)
        write(old, PLAN.part(1), OTHER)
        new = durable.sink("second")
        new.begin(PLAN)
        for part in PLAN:
            write(new, part)
            with contextlib.suppress(SinkError):  # it may notice, but need not
                write(old, part, OTHER)
        new.complete(SIZE)
        write_late(old)
        assert durable.content() == CONTENT

    def test_a_generation_that_returns_does_not_find_the_others_bytes(self, durable: DurablePlace) -> None:
        write(begun(durable), PLAN.part(1))
        between = durable.sink("second")
        between.begin(PLAN)
        for part in PLAN:
            write(between, part, OTHER)
        again = begun(durable)
        go_on(again)
        assert durable.content() == CONTENT

    def test_complete_again_after_a_crash_is_fine(self, durable: DurablePlace) -> None:
        sink = begun(durable)
        go_on(sink)
        sink.complete(SIZE)
        assert durable.content() == CONTENT

    def test_any_course_of_crashes_ends_in_the_right_bytes(self, new_place: Callable[[], DurablePlace]) -> None:
        @settings(max_examples=25)
        @given(attempts=ATTEMPTS, crashes=st.sets(st.integers(0, 11), max_size=5))
        def course(attempts: list[tuple[int, int]], crashes: set[int]) -> None:
            place = new_place()
            sink = begun(place)
            for turn, (number, count) in enumerate(attempts):
                fail_at(sink, number, count)
                if turn in crashes:
                    before = sizes(sink)
                    sink = begun(place)
                    assert sizes(sink) == before
            go_on(sink)
            assert place.content() == CONTENT
            place.close()

        course()


def write_late(sink: Sink) -> None:
    """What a worker does that does not know yet that it has been fenced."""
    with contextlib.suppress(SinkError):
        write(sink, PLAN.part(2), OTHER)
        sink.complete(SIZE)
