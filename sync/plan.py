"""What a sync has to do: a pure function from two listings and a manifest to actions.

The three are read in step, one thing ahead; memory is bounded by the length of a path, whatever the number of files.

Most paths are decided by themselves, by the three tables below. The rest is about names that are a file here and a
folder there. In a listing "a" comes before "a/", but much else may lie in between ("a-", "a.txt"). So a path is *open*
until nothing more can come of what is below it, and is decided then. Open paths begin with one another: they are a
stack. A path learns from the stack what is above it; when it is closed, it tells the next above what is below.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sync.plan_model import MANIFEST_ONLY, Action, Direction, Known, Stage, Verb, from_json, shown, to_json
from sync.plan_rows import Row, State, copied_over, rows
from transfers.engine.tree.base import Entry, Kind
from transfers.errors import EmptySideError

__all__ = [
    "MANIFEST_ONLY",
    "Action",
    "Direction",
    "Known",
    "Stage",
    "Verb",
    "copied_over",
    "from_json",
    "plan",
    "shown",
    "to_json",
]


def plan(
    winner: Iterable[Entry],
    loser: Iterable[Entry],
    manifest: Iterable[Known],
    *,
    delete: bool = False,
    times_prove: bool = False,
) -> Iterator[Action]:
    """What makes the losing side like the winning one; all three are sorted by the UTF-8 bytes of the paths.

    `delete`: what is gone from the winner goes from the loser, too. `times_prove`: where the manifest knows nothing,
    files of the same size and time are taken to be equal. Nothing may be done before the plan has ended: its end may be
    an EmptySideError, if the winning side has no file at all and something would be deleted, or a ValueError, if one of
    the three turns out not to be sorted. Actions come in the order of their paths, except that a path comes behind what
    is below it, and behind all that sorts in between.
    """
    planning = _Planning(delete=delete, times_prove=times_prove)
    for row in rows(winner, loser, manifest):
        yield from planning.take(row)
    yield from planning.end()


@dataclass(frozen=True, slots=True)
class _Verdict:
    verb: Verb
    reason: str
    in_danger: bool = False


_NEW, _SAME, _CHANGED = State.NEW, State.SAME, State.CHANGED

_ONLY_WINNER = {
    _NEW: _Verdict(Verb.COPY, "new"),
    _SAME: _Verdict(Verb.COPY, "missing there"),
    _CHANGED: _Verdict(Verb.COPY, "changed, and missing there"),
}
_ONLY_LOSER = {  # where deletion is asked; otherwise all of it is left alone
    _NEW: _Verdict(Verb.KEEP, "new on the other side since the last sync"),
    _SAME: _Verdict(Verb.DELETE, "gone since the last sync"),
    _CHANGED: _Verdict(Verb.KEEP, "gone, but changed on the other side since the last sync"),
}
_BOTH = {  # (winner, loser): what becomes of files of the same size, and of different sizes
    (_SAME, _SAME): None,
    (_CHANGED, _SAME): (
        _Verdict(Verb.COMPARE, "changed, with the same size"),
        _Verdict(Verb.COPY, "changed"),
    ),
    (_SAME, _CHANGED): (
        _Verdict(Verb.COMPARE, "changed on the other side, with the same size", in_danger=True),
        _Verdict(Verb.CONFLICT, "changed on the other side", in_danger=True),
    ),
    (_CHANGED, _CHANGED): (
        _Verdict(Verb.COMPARE, "changed on both sides, with the same size", in_danger=True),
        _Verdict(Verb.CONFLICT, "changed on both sides", in_danger=True),
    ),
    (_NEW, _NEW): (
        _Verdict(Verb.COMPARE, "new on both sides, with the same size", in_danger=True),
        _Verdict(Verb.CONFLICT, "new on both sides", in_danger=True),
    ),
}


class _Above:
    """What is at the names that have to be folders for a path to be; bits, as flags of `enum` would double the time."""

    WINNER_UNSEEN = 1
    """A problem of the winner's: that the winner has nothing below it is not believed."""
    LOSER_UNSEEN = 2
    FILE_COMES = 4
    """A file that only the winner has. If the loser has a folder there, it has to go."""
    FILE_FIRST = 8
    """A file of the winner's that comes before the winner's folder of its name: see `_only_winners_file`."""


class _Below:
    """What was found below a path, and what is to become of it: bits, too."""

    WINNER = 1
    WINNER_FILE = 2
    """The winner has a file that the loser has, too, or gets."""
    BRINGS_FILE = 4
    """A file comes to where the loser has none: it needs a folder here."""
    BRINGS_FOLDER = 8
    BRINGS = BRINGS_FILE | BRINGS_FOLDER
    DELETES = 16
    STAYS = 32
    """The loser has something that stays."""
    STUCK = 64
    """The loser has something that must be left alone."""


@dataclass(slots=True)
class _Open:
    """A path of which more may come."""

    row: Row
    above: int
    below: int = 0

    def may_precede(self, path: str) -> bool:
        """Whether something below it may still come, when the listings are at this path."""
        own = self.row.path
        return path.startswith(own) and (self.row.is_folder or path[len(own)] <= "/")

    def is_above(self, path: str) -> bool:
        """Whether the path is below this one."""
        own = self.row.path
        return path.startswith(own) and (self.row.is_folder or path[len(own)] == "/")


class _Planning:
    """A plan under way through the rows."""

    def __init__(self, *, delete: bool, times_prove: bool) -> None:
        self._delete = delete
        self._times_prove = times_prove
        self._stack: list[_Open] = []
        self._deletes = False
        self._winner_has_files = False

    def take(self, row: Row) -> Iterator[Action]:
        """Decide what lies behind the listings now, and open this row."""
        while self._stack and not self._stack[-1].may_precede(row.path):
            yield from self._close()
        parent = self._parent_of(row.path)
        self._stack.append(_Open(row, above=0 if parent is None else _tells_downwards(parent)))
        self._winner_has_files = self._winner_has_files or _is(row.winner, Kind.FILE)

    def end(self) -> Iterator[Action]:
        """Decide the rest."""
        while self._stack:
            yield from self._close()
        if self._deletes and not self._winner_has_files:
            raise EmptySideError("The winning side has no file at all: what it once had is not deleted for that.")

    def _close(self) -> list[Action]:
        opened = self._stack.pop()
        actions = list(self._decide(opened))
        self._deletes = self._deletes or any(action.verb is Verb.DELETE for action in actions)
        if parent := self._parent_of(opened.row.path):
            parent.below |= opened.below | _tells_upwards(opened, actions)
        return actions

    def _parent_of(self, path: str) -> _Open | None:
        return next((opened for opened in reversed(self._stack) if opened.is_above(path)), None)

    def _decide(self, opened: _Open) -> Iterator[Action]:
        row = opened.row
        if row.is_problem:
            return _problem(row)
        if _is_unseen(opened):
            return _unseen(row)
        if row.winner is None and row.loser is None:
            return iter([row.action(Verb.FORGET, "gone on both sides")])
        if row.is_folder:
            return _winners_folder(opened) if row.winner is not None else self._only_losers_folder(opened)
        if row.loser is None:
            return _only_winners_file(opened)
        return self._only_losers_file(opened) if row.winner is None else self._file_of_both(row)

    def _file_of_both(self, row: Row) -> Iterator[Action]:
        verdicts = _BOTH[row.winner_state, row.loser_state]
        is_proved = row.known is None and self._times_prove and row.has_one_size and row.has_one_time
        if verdicts is not None and not is_proved:
            verdict = verdicts[0] if row.has_one_size else verdicts[1]
            yield row.action(verdict.verb, verdict.reason, in_danger=verdict.in_danger)

    def _only_losers_file(self, opened: _Open) -> Iterator[Action]:
        row, below = opened.row, opened.below
        verdict = _ONLY_LOSER[row.loser_state] if self._delete else None
        if verdict is not None and verdict.verb is Verb.DELETE:
            # Early only for a file of the winner's, which proves, too, that the winning side is not empty.
            gives_way = below & _Below.BRINGS_FILE or opened.above & _Above.FILE_COMES
            yield row.action(Verb.DELETE, verdict.reason, stage=Stage.CLEAR if gives_way else Stage.DELETE)
        elif below & _Below.BRINGS and not below & (_Below.STAYS | _Below.STUCK):
            yield row.action(Verb.SET_ASIDE, "in the way of a folder")
        elif verdict is not None and not opened.above & _Above.FILE_COMES:
            yield row.action(verdict.verb, verdict.reason)

    def _only_losers_folder(self, opened: _Open) -> Iterator[Action]:
        row, below = opened.row, opened.below
        if not self._delete or below & (_Below.WINNER | _Below.STAYS | _Below.STUCK):
            return
        gives_way = opened.above & _Above.FILE_COMES
        if row.known is not None and row.loser is not None and row.loser.is_empty:
            stage = Stage.CLEAR if gives_way else Stage.DELETE
            yield row.action(Verb.DELETE, _ONLY_LOSER[_SAME].reason, stage=stage)
        elif row.known is not None and below & _Below.DELETES:
            # The last file takes it along, but perhaps not its mark in a place that has no folders of its own.
            verb = Verb.FORGET if gives_way else Verb.DELETE
            yield row.action(verb, _ONLY_LOSER[_SAME].reason, stage=Stage.FOLDERS)
        elif row.known is None and not gives_way and not below & _Below.DELETES:
            yield row.action(Verb.KEEP, _ONLY_LOSER[_NEW].reason)


def _problem(row: Row) -> Iterator[Action]:
    words = (each.problem for each in (row.winner, row.loser) if each is not None and each.kind is Kind.PROBLEM)
    yield row.action(Verb.SKIP, next(filter(None, words), "it cannot be synced"))


def _unseen(row: Row) -> Iterator[Action]:
    if row.winner is not None and (_is(row.winner, Kind.FILE) or row.winner.is_empty):
        yield row.action(Verb.SKIP, "what it would lie in cannot be synced")


def _only_winners_file(opened: _Open) -> Iterator[Action]:
    """Of the winner's file "a" and its files below "a/", which only a store can have at once, one has to stay away.

    What the loser has already stays, and then a file that was synced comes: a key that somebody adds takes away nothing
    that was there. Of what is new the folder comes: it is one file that is missing then, and not many. Whichever it is,
    the loser has it in the next run, which decides alike; what stays away is told each time, and is still there.
    """
    row, below = opened.row, opened.below
    verdict = _ONLY_WINNER[row.winner_state]
    if opened.above & _Above.FILE_FIRST:
        yield row.action(Verb.SKIP, "a file of that name is in the way")
    elif below & _Below.WINNER_FILE:
        yield row.action(Verb.SKIP, "there is a folder of that name, too")
    elif below & _Below.STUCK:
        yield row.action(Verb.SKIP, "a folder is in the way, with something in it that cannot be synced")
    else:
        if below & _Below.STAYS:
            yield _folder_of(row).action(Verb.SET_ASIDE, "in the way of a file")
        yield row.action(verdict.verb, verdict.reason)


def _winners_folder(opened: _Open) -> Iterator[Action]:
    row, below = opened.row, opened.below
    if row.winner is None or not row.winner.is_empty or below & (_Below.STAYS | _Below.STUCK):
        return
    if row.loser is None and opened.above & (_Above.FILE_COMES | _Above.FILE_FIRST):
        yield row.action(Verb.SKIP, "a file of that name is in the way")
    elif row.loser is None or below & _Below.DELETES:  # it goes with the last file in it
        yield row.action(Verb.FOLDER, "an empty folder")
    elif row.known is None and row.loser.is_empty:
        yield row.action(Verb.REMEMBER, "an empty folder that both have")  # so that its removal can be told


def _folder_of(row: Row) -> Row:
    """The loser's folder where the winner has this file."""
    path = row.path + "/"
    return Row(path, None, Entry(path, Kind.FOLDER, is_empty=False), None)


def _tells_downwards(opened: _Open) -> int:
    """What a path, and what is above it, are for what is below it."""
    row, above = opened.row, opened.above
    if row.is_problem:
        winners, losers = _is(row.winner, Kind.PROBLEM), _is(row.loser, Kind.PROBLEM)
        return above | winners * _Above.WINNER_UNSEEN | losers * _Above.LOSER_UNSEEN
    if _is(row.loser, Kind.FOLDER):
        return above & ~_Above.FILE_FIRST
    if not _is(row.winner, Kind.FILE):
        return above
    is_first = row.loser is not None or row.known is not None
    return above | is_first * _Above.FILE_FIRST | (row.loser is None) * _Above.FILE_COMES


def _tells_upwards(opened: _Open, actions: list[Action]) -> int:
    """What a path, and what is to be done about it, are for what is above it."""
    row, told = opened.row, 0
    verbs = [action.verb for action in actions]
    if row.winner is not None:
        comes = _is(row.winner, Kind.FILE) and Verb.SKIP not in verbs
        told |= _Below.WINNER | comes * _Below.WINNER_FILE
    if row.loser is None:
        told |= (Verb.COPY in verbs) * _Below.BRINGS_FILE | (Verb.FOLDER in verbs) * _Below.BRINGS_FOLDER
    elif row.is_problem or _is_unseen(opened):
        told |= _Below.STUCK
    elif Verb.DELETE in verbs:
        told |= _Below.DELETES
    elif row.loser.kind is Kind.FILE or not opened.below & _Below.DELETES:
        told |= _Below.STAYS  # of a folder in which something is deleted, only what stays in it can tell
    return told


def _is_unseen(opened: _Open) -> bool:
    """Whether a side has nothing there only because it cannot look."""
    row, above = opened.row, opened.above
    return bool(
        (above & _Above.WINNER_UNSEEN and row.winner is None) or (above & _Above.LOSER_UNSEEN and row.loser is None)
    )


def _is(entry: Entry | None, kind: Kind) -> bool:
    return entry is not None and entry.kind is kind
