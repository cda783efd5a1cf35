"""What the three kinds of tasks have in common: the state machine, and the one UPDATE that a report is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from tasks_api import wording
from tasks_api.models.source import Series
from transfers.errors import InvalidInputError, TaskBehindError, TaskCompletedError

if TYPE_CHECKING:
    from tasks_api.models.source import Source
    from tasks_api.models.upload import UploadTask

WHOLE = 100
"""`percent` of what is done."""


class Status(models.IntegerChoices):
    """Where a task stands; no kind of task knows all of them."""

    NOT_STARTED = 0
    SPLITTING = 1
    ENCRYPTING = 2
    UPLOADING = 3
    DOWNLOADING = 4
    WAITING = 5, "Waiting for authorization"
    FETCHING_KEY = 6
    MERGING = 7
    COMPLETED = 8
    FAILED = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a client tells of its task; what it does not tell stays as it is."""

    status: int
    percent: int | None = None
    block: Mapping[str, str | int] = field(default_factory=dict)
    """Of an upload: any of `name`, `file`, `hash`, `size` and `ip`."""


class TaskQuerySet(models.QuerySet[Any]):
    """The ways to find tasks of one kind."""

    def of(self, user: Any) -> Self:
        """The user's own."""
        return self.filter(user=user)

    def listed_to(self, user: Any) -> Self:
        """Those that lists show this user: the user's own, and to staff all."""
        return self.all() if user.is_staff else self.of(user)

    def with_source(self) -> Self:
        """Fetch its source with each."""
        return self.select_related("source")

    def in_full(self) -> Self:
        """Fetch with each all that is shown of it."""
        return self.with_source()


class Task(models.Model):
    """A client's work on a source, as far as the client has told of it.

    ::

        not started ──► the kind's working states, in their order ──► completed
             ▲  │            ▲   │   ▲                                    ▲
             │  └────────────│───│───│── any may be skipped ──────────────┘
             │               │   ▼   │ retry: back to any of them
             └───────────────┴─ failed

    A report moves a task forward in the order of its kind's `states`, or to failed, and from there anywhere. In the
    same state `percent` may not fall. Completed is final for reports. All of it stands in the WHERE of the one UPDATE
    that a report is, so that of two reports at once none is lost and none goes back; a report that says nothing new
    is no UPDATE. Staff alone may reopen a private upload: completed or failed ──► not started.
    """

    kind: ClassVar[str]
    """What the wire calls tasks of this kind."""
    states: ClassVar[Sequence[Status]]
    """What a task of this kind may report, in the order of its progress; and failed besides."""
    shown_since: ClassVar[str] = "updated_at"
    """The column that tells since when all that is shown of a task has been so."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="%(class)ss", db_index=False
    )
    # The source's own, here for the index of the lists.
    series = models.ForeignKey(Series, on_delete=models.PROTECT, related_name="+", db_index=False)
    status = models.PositiveSmallIntegerField(choices=Status, default=Status.NOT_STARTED)
    percent = models.PositiveSmallIntegerField(default=0)
    revision = models.PositiveBigIntegerField(default=0, editable=False, help_text="Grows with each change.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    if TYPE_CHECKING:
        source: models.ForeignKey[Source, Source]
        source_id: int

        @property
        def block(self) -> UploadTask:
            """The block that is named in what is shown of the task."""

    class Meta:
        """Newest first."""

        abstract = True
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.source} ({self.get_status_display()})"

    @classmethod
    def statuses(cls) -> tuple[Status, ...]:
        """All that a task of this kind may be."""
        return (*cls.states, Status.FAILED)

    @classmethod
    def origins(cls, status: int) -> tuple[Status, ...]:
        """The states in which a report of this one is taken: none ahead of it, and never completed."""
        upto = len(cls.states) if status == Status.FAILED else cls.states.index(Status(status)) + 1
        return (*(state for state in cls.states[:upto] if state != Status.COMPLETED), Status.FAILED)

    def changes(self, report: Report) -> dict[str, Any]:
        """What the report changes, by column: nothing when it says nothing new.

        InvalidInputError, TaskBehindError or TaskCompletedError when it cannot be taken.
        """
        if report.status not in self.statuses():
            raise InvalidInputError({"status": [wording.say("status_of_other_kind", _listed(self.statuses()))]})
        told: dict[str, Any] = {"status": report.status, "percent": self._percent(report), **report.block}
        changed = {name: value for name, value in told.items() if value != getattr(self, name)}
        if changed:
            self._require_forward(report.status, told["percent"])
            self._require_facts(told)
        return changed

    def is_visible_to(self, user: Any) -> bool:
        """Whether this user may look at it: the task's own, the source's owner, and staff."""
        return bool(user.is_staff or user.pk in (self.user_id, self.source.owner_id))

    def require_granted(self) -> None:
        """Refuse a report of who may not work on the source any more."""

    def move(self, changed: Mapping[str, Any]) -> bool:
        """Write what a report changes; False when the row is no longer where that may be."""
        status, percent = (changed.get(name, getattr(self, name)) for name in ("status", "percent"))
        onward = Q(status__in=self.origins(status)) & (~Q(status=status) | Q(percent__lte=percent))
        return self._write(onward, changed)

    def _write(self, where: Q, changed: Mapping[str, Any]) -> bool:
        rows = type(self)._default_manager.filter(where, pk=self.pk)
        if not rows.update(revision=F("revision") + 1, **self._moments(changed), **changed):
            return False
        for name, value in {**changed, "revision": self.revision + 1}.items():
            setattr(self, name, value)
        return True

    def _moments(self, changed: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - it matters to some kinds
        """The times that are written with a change."""
        return {"updated_at": Now()}

    def _percent(self, report: Report) -> int:
        """A new state begins at 0 unless it is told otherwise; one that failed, failed where it was."""
        if report.status == Status.COMPLETED:
            return WHOLE
        if report.percent is not None:
            return report.percent
        return self.percent if report.status in (self.status, Status.FAILED) else 0

    def _require_forward(self, status: int, percent: int) -> None:
        if self.status == Status.COMPLETED:
            raise TaskCompletedError("The task is completed, which is final.")
        if self.status not in self.origins(status):
            raise TaskBehindError(f"The task is at {self.status} already; only one at 9 may go back.")
        if self.status == status and percent < self.percent:
            raise InvalidInputError({"percent": [wording.say("percent_falls", self.percent)]})

    def _require_facts(self, told: Mapping[str, Any]) -> None:
        """Refuse what is still missing for the state that is told."""


def task_rules(states: Sequence[Status]) -> list[models.BaseConstraint]:
    """What no row of a kind with these states may break."""
    known = sorted((*states, Status.FAILED))
    return [
        models.CheckConstraint(condition=Q(status__in=known), name="%(class)s_status_known"),
        models.CheckConstraint(condition=Q(percent__gte=0, percent__lte=WHOLE), name="%(class)s_percent_range"),
        models.CheckConstraint(
            condition=~Q(status=Status.COMPLETED) | Q(percent=WHOLE), name="%(class)s_completed_whole"
        ),
    ]


def list_indexes(shown_since: str = "updated_at", *, for_staff: bool) -> list[models.Index]:
    """An index for each list of a kind, with its filter in front of its order; staff's lists have no user in front."""
    filters = ("status", "series", shown_since)
    columns = [("user",), *(("user", column) for column in filters)]
    if for_staff:
        columns += [(column,) for column in filters]
    return [models.Index(fields=[*names, "id"], name=_index_name(names)) for names in columns]


def _index_name(columns: Sequence[str]) -> str:
    return "_".join(("%(class)s", *(column.removesuffix("_at") for column in columns)))


def _listed(statuses: Sequence[Status]) -> str:
    return ", ".join(str(status.value) for status in statuses)
