from __future__ import annotations

from datetime import UTC, datetime

import pytest

from transfers.admin import wording


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (None, "–"),  # noqa: RUF001 - the dash of an empty cell
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (165_051_921, "157.4 MiB"),
        (2**20 - 1, "1.0 MiB"),
        (2**30, "1.0 GiB"),
        (5 * 2**40, "5.0 TiB"),
        (2**64, "16384.0 PiB"),
    ],
)
def test_sizes_have_the_largest_unit_that_leaves_one(count: int | None, words: str) -> None:
    assert wording.size(count) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(None, "–"), (12, "12 B"), (165_051_921, "157.4 MiB (165,051,921 bytes)")],  # noqa: RUF001 - as above
)
def test_exact_sizes_tell_every_byte(count: int | None, words: str) -> None:
    assert wording.exact_size(count) == words


@pytest.mark.parametrize(("speed", "words"), [(0, "–"), (12.4, "12 B/s"), (12_500_000, "11.9 MiB/s")])  # noqa: RUF001 - as above
def test_rates(speed: float, words: str) -> None:
    assert wording.rate(speed) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),  # noqa: RUF001 - as above
        (0, "0 s"),
        (0.4, "under 1 s"),
        (12.3, "12 s"),
        (59.7, "1 min"),
        (123, "2 min 3 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (5520, "1 h 32 min"),
        (200_000, "2 d 7 h"),
        (-3, "0 s"),
    ],
)
def test_spans_have_their_two_largest_units(seconds: float | None, words: str) -> None:
    assert wording.span(seconds) == words


def test_moments_are_told_to_the_second() -> None:
    when = datetime(2026, 11, 20, 23, 5, 7, 999, tzinfo=UTC)
    assert ">2026-11-20 23:05:07<" in wording.moment(when)
    assert wording.moment(None) == wording.NOTHING
