"""A plan, cut into batches that workers can take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction

from sync import places
from sync.models import Batch, Failure, ManifestEntry
from sync.models.job import Phase
from sync.plan import MANIFEST_ONLY, Action, Stage, Verb, shown, to_json
from sync.tasks.legs import Leg
from transfers import leases
from transfers.engine.tree.base import SMALL_BYTES, Kind, part_plan
from transfers.errors import Interrupted, Interruption, TransferError
from transfers.services import stored_file as stored_files

CLEAR, BRING, FINISH, DELETE, FOLDERS = range(5)
"""The stages of batches: large files are finished when all their parts were brought."""
_STAGES = {Stage.CLEAR: CLEAR, Stage.BRING: BRING, Stage.DELETE: DELETE, Stage.FOLDERS: FOLDERS}
SKIPPED = "skipped"
"""The code of a failure that is no fault of this sync's: what is there cannot be synced."""
LEFT_OUT = "left_out"
"""The code of a failure that another sync may make good: a file could not be seen, or its place was taken."""
MAX_ACTIONS = 200
MAX_BYTES = 8 * SMALL_BYTES
"""What a batch has at most, in small files; a large one has a batch to itself."""
SPLIT_BYTES = 256 * 2**20
"""A file from this size on is brought by several workers at once."""
PARTS_AT_ONCE = 8
"""Parts that one worker takes of such a file at once."""
ROWS_AT_ONCE = 50
NOTES_AT_ONCE = 1000
"""When what only the manifest, or the list of failures, hears of is written down: a plan may have nothing else."""
_NOTHING_TO_DO = (Verb.SKIP, Verb.KEEP, *MANIFEST_ONLY)


@dataclass(slots=True)
class _Open:
    actions: list[Action] = field(default_factory=list)
    size: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.actions) >= MAX_ACTIONS or self.size >= MAX_BYTES


class BatchWriter:
    """Writes a job's batches as its plan goes on; Interrupted when the job is somebody else's by now."""

    def __init__(self, leg: Leg) -> None:
        self._job, self._sides, self._direction = leg.job, leg.sides, leg.direction
        self._open: dict[int, _Open] = {}
        self._rows: list[Batch] = []
        self._skipped: list[Failure] = []
        self._forgotten: list[str] = []
        self._remembered: list[Action] = []
        self._has_manifest = leg.phase == Phase.SYNCING
        self._number = self._job.batches.count()
        # A dry run keeps the batches of both ways, the first copy's before the rest.
        self._first_stage = 1 + FOLDERS if self._job.dry_run and leg.phase == Phase.SYNCING else 0
        self.files = 0
        """Files, and empty folders, that are to be done."""
        self.size = 0
        """Their bytes."""

    def write(self, actions: Iterable[Action]) -> None:
        """Write all of these."""
        for action in actions:
            self._add(_printable(action) if "\0" in action.path else action)
        for stage in list(self._open):
            self._close(stage)
        self._flush()

    def _add(self, action: Action) -> None:
        if self._job.dry_run:
            if action.verb not in MANIFEST_ONLY:
                self._collect(action)
            return
        if action.verb in _NOTHING_TO_DO:
            self._note(action)
            return
        self.files += 1
        self.size += bytes_of(action)
        if action.verb == Verb.COPY and action.size >= SPLIT_BYTES and self._begin(action):
            self._split(action)
        else:
            self._collect(action)

    def _note(self, action: Action) -> None:
        """Write down what is nobody's work."""
        if action.verb == Verb.SKIP:
            self._skipped.append(Failure.of(self._job, action.path, _code_of(action), action.reason))
        elif action.verb == Verb.FORGET:
            self._forgotten.append(action.path)
        elif action.verb == Verb.REMEMBER and self._has_manifest:
            self._remembered.append(action)
        if len(self._skipped) + len(self._forgotten) + len(self._remembered) >= NOTES_AT_ONCE:
            self._flush()

    def _collect(self, action: Action) -> None:
        stage = _STAGES[action.stage]
        batch = self._open.setdefault(stage, _Open())
        batch.actions.append(action)
        batch.size += action.size
        if batch.is_full:
            self._close(stage)

    def _begin(self, action: Action) -> bool:
        """Whether workers may bring the file's parts; if not, whoever brings it whole is told why."""
        try:
            self._sides.begin(action)
        except TransferError:
            return False
        return True

    def _split(self, action: Action) -> None:
        parts = len(part_plan(action.size))
        for first in range(1, parts + 1, PARTS_AT_ONCE):
            last = min(first + PARTS_AT_ONCE - 1, parts)
            self._row(BRING, [action], first_part=first, last_part=last)
        self._row(FINISH, [action])

    def _close(self, stage: int) -> None:
        self._row(stage, self._open.pop(stage).actions)

    def _row(self, stage: int, actions: list[Action], **parts: Any) -> None:
        self._number += 1
        told = [known for action in actions if (known := self._told(action)) is not None]
        self._rows.append(
            Batch(job=self._job, stage=self._first_stage + stage, number=self._number, actions=told, **parts)
        )
        if len(self._rows) >= ROWS_AT_ONCE:
            self._flush()

    def _told(self, action: Action) -> Any:
        """A dry run's batches are read by people, all others by workers."""
        return shown(action, self._direction) if self._job.dry_run else to_json(action)

    def _flush(self) -> None:
        with transaction.atomic():
            if not leases.renew(self._job):
                raise Interrupted(Interruption.FENCED)
            Batch.objects.bulk_create(self._rows)
            Failure.objects.bulk_create(self._skipped, ignore_conflicts=True)
            self._know()
        self._rows, self._skipped, self._forgotten, self._remembered = [], [], [], []

    def _know(self) -> None:
        """Have the manifest, and the list of stored files, know what the two listings have shown."""
        case = self._job.case
        case.manifest.forget(self._forgotten)
        root = places.local_folder(case)
        stored_files.forget(paths=[root / path for path in self._forgotten if not path.endswith("/")])
        entries = [ManifestEntry(case=case, path=action.path.encode(), size=0) for action in self._remembered]
        ManifestEntry.objects.note(entries)


def _printable(action: Action) -> Action:
    """The action where its path has a null character, which a store's keys may have, and PostgreSQL cannot keep."""
    return replace(action, path=action.path.replace("\0", "\\0"), winner=None, loser=None, known=None)


def _code_of(skipped: Action) -> str:
    """Where the winner has no file, or what can never be one, nothing is left out."""
    winner = skipped.winner
    has_file = winner is not None and (winner.kind is not Kind.PROBLEM or winner.is_passing)
    return LEFT_OUT if has_file else SKIPPED


def bytes_of(action: Action) -> int:
    """The bytes that the action is about to move, or to compare."""
    return action.size if action.verb in (Verb.COPY, Verb.CONFLICT, Verb.COMPARE) else 0
