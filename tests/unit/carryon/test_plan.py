"""Parts cover a file once, without gap or overlap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carryon.errors import UsageError
from carryon.plan import MAX_PARTS, Part, Plan

MB = 1_000_000


@pytest.mark.parametrize(
    ("size", "part_size", "count", "last"),
    [
        (215 * MB, 20 * MB, 11, 15 * MB),
        (0, 10, 1, 0),
        (1, 10, 1, 1),
        (10, 10, 1, 10),
        (11, 10, 2, 1),
        (MAX_PARTS * 7, 7, MAX_PARTS, 7),
    ],
    ids=["the contract's example", "empty", "one byte", "one part", "one byte more", "as many as may be"],
)
def test_counts(size: int, part_size: int, count: int, last: int) -> None:
    plan = Plan(size, part_size)
    assert (len(plan), list(plan)[-1].size) == (count, last)


@given(st.integers(0, 10_000), st.integers(1, 10_000))
def test_parts_cover_the_file(size: int, part_size: int) -> None:
    parts = list(Plan(size, part_size))
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert [part.offset for part in parts] == [sum(before.size for before in parts[:n]) for n in range(len(parts))]
    assert sum(part.size for part in parts) == size
    assert all(part.size == part_size for part in parts[:-1])


def test_too_many_parts() -> None:
    with pytest.raises(UsageError, match="--part-size 2 or more"):
        Plan(MAX_PARTS + 1, 1)


@pytest.mark.parametrize("number", [-1, 0, 3])
def test_no_such_part(number: int) -> None:
    with pytest.raises(IndexError):
        Plan(11, 10).part(number)


def test_a_part() -> None:
    assert Plan(11, 10).part(2) == Part(2, 10, 1)
