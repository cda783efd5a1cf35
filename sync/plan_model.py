"""What a plan is made of, how its actions are stored, and how a dry run shows them."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from transfers.engine.tree.base import Entry, Kind


class Verb(enum.StrEnum):
    """What an action does on the losing side, and in the manifest."""

    COPY = "copy"
    """Bring the winner's file, in place of the loser's where there is one. The manifest knows it then."""
    COMPARE = "compare"
    """Ask the checksums. Equal: only the manifest knows it then. Different: COPY, or CONFLICT where it is in danger."""
    CONFLICT = "conflict"
    """Set the loser's file aside, then COPY."""
    DELETE = "delete"
    """Remove the loser's file, or a folder with nothing in it. The manifest forgets it."""
    FOLDER = "folder"
    """Make an empty folder. The manifest knows it then."""
    KEEP = "keep"
    """Nothing. It is told to whoever asked for deletion and may wonder why this is still there."""
    SKIP = "skip"
    """Nothing. It cannot be synced."""
    FORGET = "forget"
    """The manifest forgets what is on neither side: this very path, and nothing below it."""
    REMEMBER = "remember"
    """The manifest knows from now on what both sides have alike, though no sync has brought it."""
    SET_ASIDE = "set_aside"
    """Keep the loser's file, or folder with all in it, under a conflict name. The manifest forgets all of that."""


class Stage(enum.IntEnum):
    """When an action's turn is: a stage begins when the one before it is done; within it, the order does not matter."""

    CLEAR = 0
    """Make way on the losing side: a file comes to where a folder is, or the other way round."""
    BRING = 1
    DELETE = 2
    FOLDERS = 3
    """Empty folders. Deletions took along folders that they left empty; those that shall stay are made again."""


class Direction(enum.StrEnum):
    """Which way a leg goes; the value is what a COPY is called on it."""

    COPY = "copy"
    """From the source folder to the case's local folder."""
    UP = "upload"
    DOWN = "download"


@dataclass(frozen=True, slots=True)
class Known:
    """A manifest entry: how a path was when both sides were equal."""

    path: str
    size: int
    """Bytes; 0 for a folder, which has no versions and no checksum either."""
    winner: str
    """Its version on the side that wins on this leg."""
    loser: str
    """Its version on the side that loses on this leg."""
    checksum: str


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do about one path, with all that the plan knew of it."""

    verb: Verb
    path: str
    size: int
    """Bytes of what is brought, removed or kept."""
    reason: str
    """In words for people."""
    stage: Stage
    winner: Entry | None
    loser: Entry | None
    """What lay on the losing side when it was listed: nothing else may be replaced or removed."""
    known: Known | None
    in_danger: bool = False
    """The loser's file was changed since the last sync: it is set aside before it is replaced."""

    def __post_init__(self) -> None:
        if any(each is not None and each.path != self.path for each in (self.winner, self.loser, self.known)):
            raise ValueError(f"an action about {self.path!r} cannot be about another path, too")

    def facing(self, loser: Entry, verb: Verb) -> Action:
        """The action where the losing side turns out to have this, which nobody has looked at."""
        return replace(self, verb=verb, loser=loser, in_danger=True)


MANIFEST_ONLY = (Verb.FORGET, Verb.REMEMBER)
"""What changes neither side, and is nobody's business."""


class Shown(TypedDict):
    """An action as the API tells it."""

    action: str
    path: str
    size: int
    reason: str


_SHOWN_AS = {Verb.FOLDER: "create_folder"}


def shown(action: Action, direction: Direction) -> Shown | None:
    """The action as a dry run shows it; None for one that only the manifest hears of."""
    if action.verb in MANIFEST_ONLY:
        return None
    name = direction.value if action.verb is Verb.COPY else _SHOWN_AS.get(action.verb, action.verb.value)
    return {"action": name, "path": action.path, "size": action.size, "reason": action.reason}


def to_json(action: Action) -> list[Any]:
    """The action as a list that JSON can hold; the path, which all of it shares, stands there once."""
    return [
        *(action.verb.value, action.path, action.size, action.reason, action.stage.value),
        *(_entry_to_json(action.winner), _entry_to_json(action.loser), _known_to_json(action.known)),
        action.in_danger,
    ]


def from_json(packed: Sequence[Any]) -> Action:
    """The action that `to_json` made this of."""
    verb, path, size, reason, stage, winner, loser, known, in_danger = packed
    return Action(
        Verb(verb),
        path,
        size,
        reason,
        Stage(stage),
        _entry_from_json(path, winner),
        _entry_from_json(path, loser),
        None if known is None else Known(path, *known),
        in_danger,
    )


def _entry_to_json(entry: Entry | None) -> list[Any] | None:
    if entry is None:
        return None
    packed = [entry.kind.value, entry.size, entry.version, entry.mtime_ns, entry.is_empty, entry.problem]
    return [*packed, True] if entry.is_passing else packed


def _entry_from_json(path: str, packed: Sequence[Any] | None) -> Entry | None:
    if packed is None:
        return None
    kind, *rest = packed
    return Entry(path, Kind(kind), *rest)


def _known_to_json(known: Known | None) -> list[Any] | None:
    return None if known is None else [known.size, known.winner, known.loser, known.checksum]
