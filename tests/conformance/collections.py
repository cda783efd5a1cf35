"""What every collection must do, as one suite: an adapter's test class says where the file comes together.

class TestLocalCollection(CollectionSuite, UnknownSizeSuite):
    @pytest.fixture
    def new_place(self) -> Callable[[], LocalFolder]: ...
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.sinks import FailingReader
from transfers.engine.base import Collection
from transfers.errors import (
    CarryonError,
    InvalidInputError,
    PartChecksumError,
    PartsDifferError,
    SourceInterruptedError,
)

PART_BYTES = 6000
PARTS = {number: random.Random(number).randbytes(PART_BYTES) for number in range(1, 6)} | {6: b"the last one"}
OTHERS = {number: random.Random(100 + number).randbytes(len(content)) for number, content in PARTS.items()}
WHOLE = b"".join(PARTS.values())
EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"

SENDINGS = st.lists(
    st.tuples(st.sampled_from([*PARTS]), st.sampled_from(["right", "other", "cut", "wrong md5"])), max_size=12
)
"""What is sent one after the other: a part's number, and what becomes of it."""


class CollectionPlace(Protocol):
    """Where the one file comes together that the suite sends."""

    def collection(self) -> Collection:
        """A collection that is begun; another call makes one that knows only what its owner noted, as after a crash."""

    def content(self) -> bytes | None:
        """The complete file; None while there is none."""


def md5_of(content: bytes) -> str:
    """As hex."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def md5s(parts: Mapping[int, bytes]) -> dict[int, str]:
    """Of each part, as hex."""
    return {number: md5_of(content) for number, content in parts.items()}


def send(collection: Collection, number: int, content: bytes, *, md5: str = "") -> None:
    """Store a part, and check what is told of it."""
    stored = collection.write_part(number, FailingReader(content), len(content), md5)
    assert (stored.number, stored.size, stored.etag) == (number, len(content), md5_of(content))


def send_and_fail(collection: Collection, number: int, count: int) -> None:
    """Let the reader of a part fail after so many other bytes; its failure comes through as it is."""
    failure = SourceInterruptedError("the line went dead")
    content = OTHERS[number]
    with pytest.raises(SourceInterruptedError) as raised:
        collection.write_part(number, FailingReader(content[:count], failure), len(content))
    assert raised.value is failure


def send_all(collection: Collection, parts: Mapping[int, bytes] = PARTS) -> None:
    """Store these parts in order."""
    for number, content in parts.items():
        send(collection, number, content)


def stored(collection: Collection) -> dict[int, str]:
    """The MD5s of what is stored."""
    return {number: part.etag for number, part in collection.stored_parts().items()}


def completes(place: CollectionPlace, collection: Collection, parts: Mapping[int, bytes] = PARTS) -> None:
    """Complete the file of these parts, and look at it."""
    assert place.content() is None
    done = collection.complete(md5s(parts))
    whole = b"".join(parts[number] for number in sorted(parts))
    assert (done.size, place.content()) == (len(whole), whole)


class CollectionSuite:
    """For every collection; `new_place`, the adapter's fixture, makes an empty place each time."""

    courses = 20
    """How many random courses of sendings are tried."""

    @pytest.fixture
    def place(self, new_place: Callable[[], CollectionPlace]) -> CollectionPlace:
        return new_place()

    def test_nothing_is_stored_at_first(self, place: CollectionPlace) -> None:
        assert (place.collection().stored_parts(), place.content()) == ({}, None)

    @pytest.mark.parametrize("order", [(1, 2, 3, 4, 5, 6), (6, 5, 4, 3, 2, 1), (4, 1, 6, 2, 5, 3)], ids=str)
    def test_parts_in_any_order(self, place: CollectionPlace, order: tuple[int, ...]) -> None:
        collection = place.collection()
        for number in order:
            send(collection, number, PARTS[number], md5=md5_of(PARTS[number]))
        assert {number: part.size for number, part in collection.stored_parts().items()} == {
            number: len(content) for number, content in PARTS.items()
        }
        assert stored(collection) == md5s(PARTS)
        completes(place, collection)

    @pytest.mark.parametrize("sizes", [(1,), (7000,), (3, 5), (6000, 1, 20_000, 300_000), (1, 1, 1)], ids=str)
    def test_parts_of_any_size(self, place: CollectionPlace, sizes: tuple[int, ...]) -> None:
        parts = {number: random.Random(size).randbytes(size) for number, size in enumerate(sizes, start=1)}
        collection = place.collection()
        send_all(collection, parts)
        completes(place, collection, parts)

    def test_an_empty_file(self, place: CollectionPlace) -> None:
        collection = place.collection()
        send(collection, 1, b"", md5=EMPTY_MD5)
        assert stored(collection) == {1: EMPTY_MD5}
        completes(place, collection, {1: b""})

    def test_parts_at_once(self, place: CollectionPlace) -> None:
        collection = place.collection()
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda number: send(collection, number, PARTS[number]), PARTS))
        completes(place, collection)

    def test_every_part_by_another_process(self, place: CollectionPlace) -> None:
        for number, content in PARTS.items():
            collection = place.collection()
            assert sorted(stored(collection)) == [*range(1, number)]
            send(collection, number, content)
        completes(place, place.collection())

    def test_a_part_twice(self, place: CollectionPlace) -> None:
        collection = place.collection()
        send_all(collection)
        send(collection, 2, PARTS[2])
        completes(place, collection)

    def test_the_part_that_was_stored_last_counts(self, place: CollectionPlace) -> None:
        collection = place.collection()
        send_all(collection, OTHERS)
        send_all(collection)
        assert stored(collection) == md5s(PARTS)
        completes(place, collection)

    def test_a_part_is_replaced_by_a_shorter_and_by_a_longer_one(self, place: CollectionPlace) -> None:
        collection = place.collection()
        send_all(collection)
        send(collection, 2, b"short")
        send(collection, 3, PARTS[3] + b"and more")
        completes(place, collection, PARTS | {2: b"short", 3: PARTS[3] + b"and more"})

    def test_of_two_senders_of_one_part_one_counts_whole(self, place: CollectionPlace) -> None:
        collection = place.collection()
        send_all(collection)
        both_under_way = threading.Barrier(2)

        class Meeting(FailingReader):
            def readinto(self, buffer: memoryview, /) -> int:
                count = super().readinto(buffer)
                if len(self._rest) == PART_BYTES - 2000:
                    both_under_way.wait(10)
                return count

        def race(content: bytes) -> str:
            return collection.write_part(2, Meeting(content), PART_BYTES).etag

        with ThreadPoolExecutor(2) as pool:
            told = list(pool.map(race, [PARTS[2], OTHERS[2]]))
        assert told == [md5_of(PARTS[2]), md5_of(OTHERS[2])]
        winner = PARTS if stored(collection)[2] == told[0] else PARTS | {2: OTHERS[2]}
        completes(place, collection, winner)

    @pytest.mark.parametrize("before", [False, True], ids=["none before", "one before"])
    def test_bytes_of_another_md5_leave_the_part_as_it_was(self, place: CollectionPlace, *, before: bool) -> None:
        collection = place.collection()
        send_all(collection, PARTS if before else {n: content for n, content in PARTS.items() if n != 2})
        known = stored(collection)
        with pytest.raises(PartChecksumError):
            send(collection, 2, OTHERS[2], md5=md5_of(PARTS[2]))
        assert stored(collection) == known
        send(collection, 2, PARTS[2], md5=md5_of(PARTS[2]))
        completes(place, collection)

    @pytest.mark.parametrize("count", [0, 1, 3000, PART_BYTES])
    @pytest.mark.parametrize("before", [False, True], ids=["none before", "one before"])
    def test_a_reader_that_fails_leaves_the_part_as_it_was(
        self, place: CollectionPlace, count: int, *, before: bool
    ) -> None:
        collection = place.collection()
        send_all(collection, PARTS if before else {n: content for n, content in PARTS.items() if n != 2})
        known = stored(collection)
        send_and_fail(collection, 2, count)
        assert stored(collection) == known
        send(collection, 2, PARTS[2])
        completes(place, collection)

    @pytest.mark.parametrize("number", [0, 10_001, -1])
    def test_a_number_that_no_part_can_have(self, place: CollectionPlace, number: int) -> None:
        with pytest.raises(ValueError, match=f"part {number} "):
            place.collection().write_part(number, FailingReader(b"x"), 1)

    @pytest.mark.parametrize(
        ("listed", "differing"),
        [
            ({**md5s(PARTS), 2: md5_of(b"else")}, {2}),
            ({number: md5 for number, md5 in md5s(PARTS).items() if number != 4}, {4}),
            ({**md5s(PARTS), 7: md5_of(b"more")}, {7}),
            ({}, set(PARTS)),
        ],
        ids=["another MD5", "one not listed", "one not stored", "none listed"],
    )
    def test_other_parts_than_stored_are_named_and_nothing_changes(
        self, place: CollectionPlace, listed: dict[int, str], differing: set[int]
    ) -> None:
        collection = place.collection()
        send_all(collection)
        with pytest.raises(PartsDifferError) as refused:
            collection.complete(listed)
        assert set(refused.value.differences) == differing
        assert stored(collection) == md5s(PARTS)
        completes(place, collection)

    def test_a_gap_is_named(self, place: CollectionPlace) -> None:
        collection = place.collection()
        gapped = {number: content for number, content in PARTS.items() if number not in {1, 4}}
        send_all(collection, gapped)
        with pytest.raises(PartsDifferError) as refused:
            collection.complete(md5s(gapped))
        assert set(refused.value.differences) == {1, 4}

    def test_nothing_at_all_is_refused(self, place: CollectionPlace) -> None:
        with pytest.raises(PartsDifferError):
            place.collection().complete({})
        assert place.content() is None

    def test_complete_again(self, place: CollectionPlace) -> None:
        collection = place.collection()
        send_all(collection)
        completes(place, collection)
        assert collection.complete(md5s(PARTS)) == place.collection().complete(md5s(PARTS))
        assert place.content() == WHOLE

    def test_begin_again_keeps_what_is_stored(self, place: CollectionPlace) -> None:
        collection = place.collection()
        send(collection, 1, PARTS[1])
        assert collection.begin(len(WHOLE)) == collection.begin(None)
        assert stored(collection) == md5s({1: PARTS[1]})

    def test_abort_forgets(self, place: CollectionPlace) -> None:
        collection = place.collection()
        send_all(collection)
        collection.abort()
        collection.abort()
        place.collection().abort()
        with pytest.raises(CarryonError):
            collection.complete(md5s(PARTS))
        assert place.content() is None

    def test_abort_leaves_a_complete_file(self, place: CollectionPlace) -> None:
        collection = place.collection()
        send_all(collection)
        completes(place, collection)
        collection.abort()
        assert place.content() == WHOLE

    def test_any_course_of_sendings_ends_in_the_right_bytes(self, new_place: Callable[[], CollectionPlace]) -> None:
        @settings(max_examples=self.courses)
        @given(sendings=SENDINGS)
        def course(sendings: list[tuple[int, str]]) -> None:
            place = new_place()
            collection, model = place.collection(), dict[int, bytes]()
            for number, fate in sendings:
                send_with_fate(collection, model, number, fate)
                assert stored(collection) == md5s(model)
            missing = {number: content for number, content in PARTS.items() if number not in model}
            send_all(collection, missing)
            completes(place, collection, model | missing)

        course()


def send_with_fate(collection: Collection, model: dict[int, bytes], number: int, fate: str) -> None:
    """Send a part, and note in the model what is to be stored of it."""
    match fate:
        case "cut":
            send_and_fail(collection, number, len(PARTS[number]) // 2)
        case "wrong md5":
            with pytest.raises(PartChecksumError):
                send(collection, number, OTHERS[number], md5=EMPTY_MD5)
        case _:
            model[number] = PARTS[number] if fate == "right" else OTHERS[number]
            send(collection, number, model[number])


class UnknownSizeSuite:
    """For a collection that takes parts whose size is not known, or told wrongly."""

    @pytest.mark.parametrize("told", [None, 1, PART_BYTES - 1, PART_BYTES + 5, 100_000])
    def test_a_size_that_is_not_known_exactly(self, new_place: Callable[[], CollectionPlace], told: int | None) -> None:
        place = new_place()
        collection = place.collection()
        for number, content in PARTS.items():
            collection.write_part(number, FailingReader(content), told)
        completes(place, collection)


class ExactSizeSuite:
    """For a collection that must know a part's size before the first byte."""

    def test_a_part_of_unknown_size_is_refused(self, new_place: Callable[[], CollectionPlace]) -> None:
        collection = new_place().collection()
        with pytest.raises(InvalidInputError) as refused:
            collection.write_part(1, FailingReader(b"x"), None)
        assert "last field" in refused.value.errors["file"][0]
        assert stored(collection) == {}

    @pytest.mark.parametrize("told", [0, 1, PART_BYTES - 1, PART_BYTES + 1, PART_BYTES + 1_000_000])
    def test_another_size_than_told_leaves_the_part_as_it_was(
        self, new_place: Callable[[], CollectionPlace], told: int
    ) -> None:
        place = new_place()
        collection = place.collection()
        send_all(collection)
        with pytest.raises(InvalidInputError) as refused:
            collection.write_part(2, FailingReader(OTHERS[2]), told)
        assert str(told) in refused.value.errors["file"][0]
        completes(place, collection)
