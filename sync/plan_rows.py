"""Two listings and a manifest, brought together path by path."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from sync.plan_model import Action, Known, Stage, Verb
from transfers.engine.tree.base import Entry, Kind

T = TypeVar("T", Entry, Known)

_STAGES = {
    Verb.SET_ASIDE: Stage.CLEAR,
    Verb.DELETE: Stage.DELETE,
    Verb.FORGET: Stage.DELETE,
    Verb.FOLDER: Stage.FOLDERS,
}


class State(enum.Enum):
    """How a side's file is, held against the manifest."""

    NEW = enum.auto()
    """The manifest does not know the path."""
    SAME = enum.auto()
    CHANGED = enum.auto()


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one path."""

    path: str
    winner: Entry | None
    loser: Entry | None
    known: Known | None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder's path."""
        return self.path.endswith("/")

    @property
    def is_problem(self) -> bool:
        """Whether a side says that it cannot be synced."""
        return any(each is not None and each.kind is Kind.PROBLEM for each in (self.winner, self.loser))

    @property
    def winner_state(self) -> State:
        """How the winner's file is."""
        return State.NEW if self.known is None else _held_against(self.known.size, self.known.winner, self.winner)

    @property
    def loser_state(self) -> State:
        """How the loser's file is."""
        return State.NEW if self.known is None else _held_against(self.known.size, self.known.loser, self.loser)

    @property
    def has_one_size(self) -> bool:
        """Whether both sides have a file of the same size."""
        return self.winner is not None and self.loser is not None and self.winner.size == self.loser.size

    @property
    def has_one_time(self) -> bool:
        """Whether both sides have a file of the same time; 0 is none."""
        return self.winner is not None and self.loser is not None and 0 != self.winner.mtime_ns == self.loser.mtime_ns

    def action(self, verb: Verb, reason: str, *, stage: Stage | None = None, in_danger: bool = False) -> Action:
        """To do this about the path; in the verb's usual stage, if none is given."""
        if stage is None:
            stage = _STAGES.get(verb, Stage.BRING)
        size = next((each.size for each in (self.winner, self.loser, self.known) if each is not None), 0)
        return Action(verb, self.path, size, reason, stage, self.winner, self.loser, self.known, in_danger)


def _held_against(size: int, version: str, entry: Entry | None) -> State:
    return State.SAME if entry is not None and (entry.size, entry.version) == (size, version) else State.CHANGED


def rows(winner: Iterable[Entry], loser: Iterable[Entry], manifest: Iterable[Known]) -> Iterator[Row]:
    """Every path of any of them, once and in their order; each is read one thing ahead.

    ValueError where one of them is not sorted by the UTF-8 bytes of the paths.
    """
    # Text without surrogates, and no path has one, sorts by its code points as by its UTF-8 bytes.
    winners = _Ahead(_in_order(_listed(winner), "the winning side"))
    losers = _Ahead(_in_order(_listed(loser), "the losing side"))
    known = _Ahead(_in_order(manifest, "the manifest"))
    while heads := [each.path for each in (winners.head, losers.head, known.head) if each is not None]:
        path = min(heads)
        yield Row(path, winners.take(path), losers.take(path), known.take(path))


def copied_over(source: Iterable[Entry], local: Iterable[Entry]) -> Iterator[Entry]:
    """What a local folder would have once the source was copied there: what has one size and time stays as it is."""
    for row in rows(source, local, ()):
        if row.winner is None or (row.has_one_size and row.has_one_time):
            entry = row.loser
        elif row.loser is None:
            entry = row.winner
        else:
            entry = replace(row.winner, is_empty=row.winner.is_empty and row.loser.is_empty)
        if entry is not None:
            yield entry


class _Ahead(Generic[T]):
    """Things of which the next can be seen before it is taken."""

    def __init__(self, things: Iterator[T]) -> None:
        self._things: Iterator[T] = things
        self.head: T | None = next(things, None)

    def take(self, path: str) -> T | None:
        """The next, if it has this path."""
        head = self.head
        if head is None or head.path != path:
            return None
        self.head = next(self._things, None)
        return head


def _in_order(things: Iterable[T], where: str) -> Iterator[T]:
    before: str | None = None
    for thing in things:
        if before is not None and thing.path <= before:
            raise ValueError(f"{where} is not sorted: {thing.path!r} comes after {before!r}")
        yield thing
        before = thing.path


def _listed(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries; of those with one path, the one that cannot be synced.

    A name that is no text is told as text, which may be another's name, or that of another such name.
    """
    held: Entry | None = None
    for entry in entries:
        if held is None or held.path != entry.path or Kind.PROBLEM not in (held.kind, entry.kind):
            if held is not None:
                yield held
            held = entry
        elif held.kind is not Kind.PROBLEM:
            held = entry
    if held is not None:
        yield held
