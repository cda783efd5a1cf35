from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfers.admin import runs
from transfers.admin.runs import COLUMNS, WORDED, Run

NUMBERS = st.sets(st.integers(1, 400))


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([], []), ([1], [(1, 1)]), ([3, 1, 2, 2], [(1, 3)]), ([1, 2, 5, 7, 8], [(1, 2), (5, 5), (7, 8)])],
)
def test_numbers_that_follow_each_other_are_one_run(numbers: list[int], expected: list[Run]) -> None:
    assert runs.runs_of(numbers) == expected


@pytest.mark.parametrize(
    ("here", "last", "expected"),
    [
        ([], 0, []),
        ([], 3, [(1, 3)]),
        ([(1, 3)], 3, []),
        ([(2, 2)], 3, [(1, 1), (3, 3)]),
        ([(1, 1), (4, 5)], 9, [(2, 3), (6, 9)]),
    ],
)
def test_gaps(here: list[Run], last: int, expected: list[Run]) -> None:
    assert runs.gaps(here, last) == expected


@given(NUMBERS, st.integers(0, 50))
def test_runs_and_gaps_are_all_there_is(numbers: set[int], beyond: int) -> None:
    last = max(numbers, default=0) + beyond
    here = runs.runs_of(numbers)
    gaps = runs.gaps(here, last)
    assert {number for first, end in here for number in range(first, end + 1)} == numbers
    assert {number for first, end in gaps for number in range(first, end + 1)} == set(range(1, last + 1)) - numbers
    assert runs.count(here) + runs.count(gaps) == last


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        ([], "–"),  # noqa: RUF001 - the dash of an empty cell
        ([(39, 39)], "39"),
        ([(1, 37), (39, 39), (41, 42)], "1–37, 39, 41–42"),  # noqa: RUF001 - ranges
    ],
)
def test_runs_are_worded(here: list[Run], expected: str) -> None:
    assert runs.worded(here) == expected


def test_many_runs_are_counted() -> None:
    here = [(number, number + 1) for number in range(1, 3 * (WORDED + 5), 3)]
    assert runs.worded(here).endswith(f"{here[WORDED - 1][0]}–{here[WORDED - 1][1]}, and 10 more in 5 runs")  # noqa: RUF001 - a range


def drawn(here: list[Run], last: int) -> list[tuple[int, int, str]]:
    svg = str(runs.drawn(here, last))
    return [(int(x), int(width), look) for x, width, look in re.findall(r'x="(\d+)" width="(\d+)" .*?"(\w+)"/>', svg)]


def test_few_parts_have_a_column_each() -> None:
    assert drawn([(1, 3), (5, 6)], 11) == [(0, 3, "full"), (4, 2, "full")]
    assert 'viewBox="0 0 11 1"' in runs.drawn([], 11)
    assert 'aria-label="5 of 11"' in runs.drawn([(1, 3), (5, 6)], 11)


def test_one_missing_part_of_ten_thousand_is_seen() -> None:
    assert drawn([(1, 4999), (5001, 10_000)], 10_000) == [(0, 99, "full"), (99, 1, "some"), (100, 100, "full")]


def test_nothing_to_draw_is_an_empty_bar() -> None:
    assert drawn([], 0) == []


@given(NUMBERS, st.integers(0, 300))
def test_a_drawing_shows_every_gap(numbers: set[int], beyond: int) -> None:
    last = max(numbers, default=0) + beyond
    looks = [""] * min(last, COLUMNS)
    for x, width, look in drawn(runs.runs_of(numbers), last):
        looks[x : x + width] = [look] * width
    for number in range(1, last + 1):
        column = max(c for c in range(len(looks)) if 1 + c * last // len(looks) <= number)
        assert looks[column] in ({"full", "some"} if number in numbers else {"", "some"})
