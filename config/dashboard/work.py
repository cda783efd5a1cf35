"""What is under way, what stands where, and what has failed lately."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Model, Q

from config.dashboard.kinds import Kind, Shown
from config.metrics import rows
from transfers.admin import wording

MOVING = 8
"""Rows of each kind that are shown under way; the list that it leads to has them all."""
FAILURES = 8


@dataclass(frozen=True, slots=True)
class Row:
    """A row of work on the dashboard."""

    key: str
    """Tells the row from all others, of whatever kind."""
    kind: str
    address: str
    user: str
    shown: Shown
    when: str = ""
    code: str = ""

    @property
    def moves(self) -> bool:
        """Whether its speed is known."""
        return self.shown.speed != wording.NOTHING

    @property
    def ends(self) -> bool:
        """Whether it is known how long it takes."""
        return self.shown.left != wording.NOTHING

    @classmethod
    def of(cls, kind: Kind, row: Model, **more: str) -> Row:
        """Word it."""
        user = str(getattr(row, kind.owner))
        return cls(f"{kind.name}-{row.pk}", kind.one, kind.page(row), user, kind.shown(row), **more)


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows there are of a state, and the list of just these."""

    state: str
    number: int
    address: str


@dataclass(frozen=True, slots=True)
class Group:
    """A kind of work as the dashboard tells of it."""

    title: str
    address: str
    counts: list[Count]
    moving: list[Row]

    @property
    def total(self) -> int:
        """How many rows there are in all."""
        return sum(count.number for count in self.counts)


def groups(kinds: Collection[Kind], numbers: rows.RowNumbers) -> list[Group]:
    """What is under way of each kind, and what stands where."""
    return [Group(kind.title, kind.address, counts(kind, numbers.by_state), _moving(kind)) for kind in kinds]


def counts(kind: Kind, by_state: Mapping[tuple[str, str], int]) -> list[Count]:
    """The kind's rows by state, without the states that none is in."""
    column = rows.state_column(kind.model)
    told = [(value, word, by_state.get((kind.name, word), 0)) for value, word in rows.states(kind.model)]
    return [
        Count(word.replace("_", " "), number, f"{kind.address}?{column}__exact={value}")
        for value, word, number in told
        if number
    ]


def failures(kinds: Collection[Kind]) -> list[Row]:
    """What failed last, the latest first; with the error's code, for its text may quote anything."""
    found: list[tuple[Any, Row]] = []
    for kind in kinds:
        ended = Q(**{f"{kind.ended}__isnull": False})
        for row in kind.rows().filter(kind.failed & ended).order_by(kind.newest)[:FAILURES]:
            when = getattr(row, kind.ended)
            code = getattr(row, "error_code", "")
            found.append((when, Row.of(kind, row, when=wording.moment(when), code=code)))
    return [row for _, row in sorted(found, key=lambda pair: pair[0], reverse=True)[:FAILURES]]


def _moving(kind: Kind) -> list[Row]:
    return [Row.of(kind, row) for row in kind.rows().filter(kind.under_way).order_by(kind.newest)[:MOVING]]
