from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfers.engine.plan import (
    MAX_PARTS,
    MAX_SHARED_PART_BYTES,
    MIB,
    MIN_SHARED_PART_BYTES,
    SUGGESTED_PART_BYTES,
    Part,
    Plan,
    part_size_within,
    shared,
    stride,
    suggested_part_size,
    whole,
)

GIB = 1024 * MIB
TIB = 1024 * GIB


@pytest.mark.parametrize(
    ("size", "part_size", "runs"),
    [
        pytest.param(0, 10, [(0, 0)], id="an empty file has one empty part"),
        pytest.param(1, 10, [(0, 1)], id="less than a part"),
        pytest.param(10, 10, [(0, 10)], id="exactly a part"),
        pytest.param(11, 10, [(0, 10), (10, 11)], id="one byte more than a part"),
        pytest.param(20, 10, [(0, 10), (10, 20)], id="exactly two parts"),
        pytest.param(29, 10, [(0, 10), (10, 20), (20, 29)], id="the last one shorter"),
        pytest.param(3, 1, [(0, 1), (1, 2), (2, 3)], id="parts of one byte"),
        pytest.param(None, 10, [(0, None)], id="an unknown size has one part without an end"),
    ],
)
def test_how_a_file_is_cut(size: int | None, part_size: int, runs: list[tuple[int, int | None]]) -> None:
    plan = Plan(size, part_size)
    assert [(part.offset, part.end) for part in plan] == runs
    assert [part.number for part in plan] == [*range(1, len(plan) + 1)]


@pytest.mark.parametrize("number", [-1, 0, 4])
def test_there_is_no_part_with_another_number(number: int) -> None:
    with pytest.raises(IndexError):
        Plan(29, 10).part(number)


@pytest.mark.parametrize(("size", "part_size"), [(-1, 10), (10, 0), (10, -1), (None, 0)])
def test_what_is_no_plan(size: int | None, part_size: int) -> None:
    with pytest.raises(ValueError, match="no plan"):
        Plan(size, part_size)


@pytest.mark.parametrize("size", [None, 0, 1, 5 * TIB])
def test_a_whole_file_is_one_part(size: int | None) -> None:
    assert list(whole(size)) == [Part(1, 0, size)]


@pytest.mark.parametrize(
    ("size", "part_size", "parts"),
    [
        pytest.param(0, 16 * MIB, 1, id="empty"),
        pytest.param(1, 16 * MIB, 1, id="a byte"),
        pytest.param(256 * MIB, 16 * MIB, 16, id="the last with the smallest parts"),
        pytest.param(GIB, 64 * MIB, 16, id="a sixteenth"),
        pytest.param(GIB + 1, 64 * MIB, 17, id="a byte more than sixteen parts"),
        pytest.param(4 * GIB, 256 * MIB, 16, id="the first with the largest parts"),
        pytest.param(TIB, 256 * MIB, 4096, id="many parts"),
        pytest.param(5 * TIB, -(-5 * TIB // 10_000), 10_000, id="larger parts, so that there are not too many"),
    ],
)
def test_how_a_shared_file_is_cut(size: int, part_size: int, parts: int) -> None:
    plan = shared(size)
    assert (plan.part_size, len(plan)) == (part_size, parts)


@given(size=st.integers(0, 10**6), part_size=st.integers(1, 10**6), data=st.data())
def test_every_byte_is_in_exactly_one_part(size: int, part_size: int, data: st.DataObject) -> None:
    plan = Plan(size, max(part_size, size // 100, 1))
    end = 0
    for part in plan:
        assert part.offset == end
        assert part == plan.part(part.number)
        end = part.end or 0
    assert end == size
    assert all(part.size == plan.part_size for part in list(plan)[:-1])
    if size:
        position = data.draw(st.integers(0, size - 1))
        part = plan.part(position // plan.part_size + 1)
        assert part.end is not None
        assert part.offset <= position < part.end


@given(st.integers(0, 50 * TIB))
def test_a_shared_file_of_any_size_stays_within_the_limits(size: int) -> None:
    plan = shared(size)
    assert 1 <= len(plan) <= MAX_PARTS
    assert plan.part_size >= MIN_SHARED_PART_BYTES
    assert plan.part_size <= MAX_SHARED_PART_BYTES or len(plan) > MAX_PARTS - 2
    last = plan.part(len(plan))
    assert last.end == size


@pytest.mark.parametrize(
    ("size", "suggested"),
    [
        pytest.param(None, 20 * MIB, id="unknown"),
        pytest.param(0, 20 * MIB, id="empty"),
        pytest.param(1, 20 * MIB, id="a byte"),
        pytest.param(215 * MIB, 20 * MIB, id="the contract's example"),
        pytest.param(200_000 * MIB, 20 * MIB, id="what 10,000 such parts just hold"),
        pytest.param(200_000 * MIB + 1, 20 * MIB + 1, id="a byte more than they hold"),
        pytest.param(5 * TIB, -(-5 * TIB // 10_000), id="the largest upload"),
    ],
)
def test_how_large_the_parts_of_an_upload_should_be(size: int | None, suggested: int) -> None:
    assert suggested_part_size(size) == suggested


@given(st.integers(0, 50 * TIB))
def test_no_upload_needs_more_parts_than_there_may_be(size: int) -> None:
    part_size = suggested_part_size(size)
    assert part_size >= SUGGESTED_PART_BYTES == 20_971_520
    assert -(-size // part_size) <= MAX_PARTS
    assert part_size == SUGGESTED_PART_BYTES or (part_size - 1) * MAX_PARTS < size, "no larger than it must be"


@pytest.mark.parametrize(
    ("number", "part_size", "size", "expected"),
    [
        pytest.param(1, 100, None, 100, id="the first part tells"),
        pytest.param(1, 100, 1000, 100, id="the first part tells, whatever the size"),
        pytest.param(1, 0, 0, 1, id="an empty file"),
        pytest.param(1, 7, 7, 7, id="the only part"),
        pytest.param(3, 64, None, 64, id="a later part of the suggested size"),
        pytest.param(3, 128, 1000, 128, id="a later part that is larger"),
        pytest.param(3, 40, 2 * 64 + 40, 64, id="the last part, its file of the suggested parts"),
        pytest.param(3, 40, 1000, 40, id="a part amid a file of smaller parts"),
        pytest.param(2, 8192, 3 * 8192, 8192, id="a round one amid its like"),
        pytest.param(3, 40, None, 64, id="a crooked size, likely the last one"),
        pytest.param(3, 0, None, 1, id="an empty one, of which nothing can be guessed"),
        pytest.param(2, 0, 64, 64, id="an empty last one"),
    ],
)
def test_what_the_first_part_to_come_lets_one_guess(
    number: int, part_size: int, size: int | None, expected: int
) -> None:
    assert stride(number, part_size, 64, size) == expected


@pytest.mark.parametrize(
    ("number", "part_size", "size", "expected"),
    [
        pytest.param(4, 12_345, 3 * 40 * MIB + 12_345, 40 * MIB, id="larger ones"),
        pytest.param(2, 123, 5_000_123, 5_000_000, id="a round one"),
        pytest.param(3, 12_345, 2 * 4097 + 12_345, 12_345, id="none that were larger"),
    ],
)
def test_the_last_part_tells_what_came_before(number: int, part_size: int, size: int, expected: int) -> None:
    assert stride(number, part_size, SUGGESTED_PART_BYTES, size) == expected


@pytest.mark.parametrize(
    ("body_size", "likely"),
    [
        pytest.param(20 * MIB + 130, 20 * MIB, id="the suggested size, and a field"),
        pytest.param(5 * MIB + 300, 5 * MIB, id="a power of two, and fields"),
        pytest.param(5_000_130, 5_000_000, id="a decimal size, and a field"),
        pytest.param(5 * MIB, 5 * MIB, id="nothing behind"),
        pytest.param(5 * MIB + 3000, 5 * MIB + 3000, id="nothing that one could guess"),
        pytest.param(100, 0, id="hardly anything"),
    ],
)
def test_what_a_part_has_without_the_fields_behind_it(body_size: int, likely: int) -> None:
    assert part_size_within(body_size, SUGGESTED_PART_BYTES) == likely


@pytest.mark.parametrize(
    ("body_size", "number", "size", "likely"),
    [
        pytest.param(777_907, 3, 2 * 20 * MIB + 777_777, 777_777, id="the last, after the suggested size"),
        pytest.param(777_907, 3, 2 * 5 * MIB + 777_777, 777_777, id="the last, after a power of two"),
        pytest.param(777_907, 3, 2 * 10**6 + 777_777, 777_777, id="the last, after a decimal size"),
        pytest.param(5 * MIB + 130, 2, 15 * MIB + 77, 5 * MIB, id="one amid its like"),
        pytest.param(20 * MIB + 130, 2, 60 * MIB, 20 * MIB, id="one amid those of the suggested size"),
        pytest.param(777_907, 1, 777_777, 777_907, id="the only one"),
        pytest.param(777_907, 3, 9_440_184, 777_907, id="nothing that one could guess"),
        pytest.param(777_907, 3, 777_000, 777_000, id="more than the file"),
    ],
)
def test_what_the_last_part_has_without_the_fields_behind_it(
    body_size: int, number: int, size: int, likely: int
) -> None:
    assert part_size_within(body_size, SUGGESTED_PART_BYTES, number, size) == likely


def test_a_round_part_is_not_taken_for_the_last() -> None:
    assert stride(5, 8 * MIB, SUGGESTED_PART_BYTES, None) == 8 * MIB
    assert stride(5, 8 * MIB + 1, SUGGESTED_PART_BYTES, None) == SUGGESTED_PART_BYTES


@given(size=st.integers(1, 10**9), part_size=st.integers(1, 10**9), data=st.data())
def test_whichever_part_of_a_file_of_suggested_parts_comes_first_its_place_is_right(
    size: int, part_size: int, data: st.DataObject
) -> None:
    plan = Plan(size, max(part_size, -(-size // MAX_PARTS)))
    part = plan.part(data.draw(st.integers(1, len(plan))))
    told = data.draw(st.sampled_from([size, None]) if part.number < len(plan) else st.just(size))
    assert part.size is not None
    guessed = stride(part.number, part.size, plan.part_size, told)
    assert guessed == plan.part_size or len(plan) == 1
    assert guessed >= part.size


@given(
    number=st.integers(1, MAX_PARTS),
    part_size=st.integers(0, 10**13),
    suggested=st.integers(1, 10**13),
    size=st.none() | st.integers(0, 10**13),
)
def test_a_part_always_fits_in_what_it_lets_one_guess(
    number: int, part_size: int, suggested: int, size: int | None
) -> None:
    assert stride(number, part_size, suggested, size) >= max(part_size, 1)
