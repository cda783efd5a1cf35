"""Which numbers of 1 to n are there: as runs, in words, and drawn, however many they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from transfers.admin.wording import NOTHING

Run = tuple[int, int]
"""The first and the last of numbers that follow each other, both included."""

WORDED = 40
"""Runs that are told one by one; more are counted."""
COLUMNS = 200
"""Columns of a drawing; where there are more numbers, several share one."""


def runs_of(numbers: Iterable[int]) -> list[Run]:
    """The runs that these numbers make, in order."""
    ordered = sorted(set(numbers))
    ends = [at for at, (one, other) in enumerate(pairwise(ordered), 1) if other != one + 1]
    bounds = [0, *ends, len(ordered)] if ordered else []
    return [(ordered[start], ordered[end - 1]) for start, end in pairwise(bounds)]


def gaps(runs: Sequence[Run], last: int) -> list[Run]:
    """The runs of what is missing of 1 to `last`."""
    edges = [(0, 0), *runs, (last + 1, last + 1)]
    return [(one[1] + 1, other[0] - 1) for one, other in pairwise(edges) if other[0] > one[1] + 1]


def count(runs: Iterable[Run]) -> int:
    """How many numbers they have."""
    return sum(last - first + 1 for first, last in runs)


def worded(runs: Sequence[Run]) -> str:
    """Runs as people write them: `1–37, 39`."""  # noqa: RUF002 - a range has this dash
    told = ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in runs[:WORDED])  # noqa: RUF001
    rest = runs[WORDED:]
    return f"{told}, and {count(rest):,} more in {len(rest):,} runs" if rest else told or NOTHING


def drawn(runs: Sequence[Run], last: int) -> SafeString:
    """A bar of 1 to `last` in which gaps are seen: what is there in full, what is there in part, what is missing."""
    bars = format_html_join("", '<rect x="{}" width="{}" height="1" class="{}"/>', _bars(runs, last))
    told = f"{count(runs):,} of {last:,}"
    return format_html(
        '<svg class="transfer-map" viewBox="0 0 {} 1" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>',
        min(last, COLUMNS) or 1,
        told,
        bars,
    )


def _bars(runs: Sequence[Run], last: int) -> Iterator[tuple[int, int, str]]:
    """Neighbouring columns that look alike, as where they begin, how many they are, and how they look."""
    looks = _looks(runs, last)
    changes = [at for at, (one, other) in enumerate(pairwise(looks), 1) if one != other]
    for start, end in pairwise([0, *changes, len(looks)]):
        if looks[start:end] and looks[start]:
            yield start, end - start, looks[start]


def _looks(runs: Sequence[Run], last: int) -> list[str]:
    """How each column looks: `full`, `some`, or nothing."""
    here = bytearray(last + 1)
    for first, end in runs:
        here[first : end + 1] = b"\1" * (end + 1 - first)
    columns = min(last, COLUMNS)
    edges = [1 + column * last // columns for column in range(columns)] + [last + 1] if columns else []
    return ["full" if all(here[a:b]) else "some" if any(here[a:b]) else "" for a, b in pairwise(edges)]
