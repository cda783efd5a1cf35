"""The kinds of work that the dashboard looks at, and how a row of each is told: never with a patient's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model, Q, QuerySet
from django.urls import reverse

from sync.admin import standing as syncs
from sync.models import Job
from tasks_api.admin import standing as tasks
from tasks_api.models import DownloadTask, PrivateUpload, PublicUpload, Status
from transfers.admin import list_standing as list_jobs
from transfers.admin import report as downloads
from transfers.admin import upload_report as uploads
from transfers.admin import wording
from transfers.models import Download, ListJob, Upload
from transfers.models.upload import UNFINISHED
from transfers.services import attention
from transfers.services.attention import Rule

_IDLE = Q(status__in=(Status.NOT_STARTED, Status.COMPLETED, Status.FAILED))


@dataclass(frozen=True, slots=True)
class Shown:
    """Where a row of work stands."""

    name: str
    detail: str
    state: str
    variant: str
    look: str
    """What its bar is called in the style sheet."""
    amount: str
    bar: tuple[int, int] | None
    """How much is done, and how much there is in all; None when no share of the whole can be told."""
    speed: str = wording.NOTHING
    left: str = wording.NOTHING


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of work."""

    model: type[Model]
    title: str
    """In the plural."""
    one: str
    under_way: Q
    newest: str
    """The order that its newest rows come first in, by an index."""
    failed: Q
    ended: str
    """The column that tells when a row failed."""
    shown: Callable[[Any], Shown]
    related: tuple[str, ...] = ("user",)
    owner: str = "user"
    rules: tuple[Rule, ...] = ()
    hidden: tuple[str, ...] = field(default=())
    """Columns that are not even read."""

    @property
    def name(self) -> str:
        """As in `transfers.download`."""
        return str(self.model._meta.label_lower)

    @property
    def address(self) -> str:
        """The list of them."""
        return reverse(f"admin:{self.name.replace('.', '_')}_changelist")

    def page(self, row: Model) -> str:
        """The page of one."""
        return reverse(f"admin:{self.name.replace('.', '_')}_change", args=[row.pk])

    def rows(self) -> QuerySet[Any]:
        """All, with what is shown of them."""
        return self.model._default_manager.order_by().select_related(*self.related).defer(*self.hidden)


def _download(row: Download) -> Shown:
    told = downloads.Standing.of(row)
    host = row.host.rpartition("@")[2]
    return Shown(str(row), host, told.state, told.variant, told.state, told.amount, told.bar, told.speed, told.left)


def _upload(row: Upload) -> Shown:
    told = uploads.Standing.of(row)
    return Shown(str(row), row.catalog, told.state, told.variant, told.state, told.amount, told.bar)


def _list_job(row: ListJob) -> Shown:
    told = list_jobs.Standing.of(row)
    return Shown(list_jobs.asked(row), "", told.state, told.variant, told.state, told.amount, told.bar)


def _sync(row: Job) -> Shown:
    told = syncs.Standing.of(row)
    # The case by its id: whoever may look at syncs finds the patient on their pages, and not on a screen on the wall.
    case = str(row.case)
    return Shown(case, told.way, told.words, told.variant, told.state, told.amount, told.bar, told.speed, told.left)


def _task(row: Any) -> Shown:
    told = tasks.Standing.of(row)
    amount = f"{told.percent} %"
    return Shown(row.source.name, "", told.state, told.variant, told.look, amount, (told.percent, 100))


def _tasks(model: type[Model], title: str, one: str) -> Kind:
    return Kind(
        *(model, title, one, ~_IDLE, "-updated_at", Q(status=Status.FAILED), "updated_at", _task),
        related=("user", "source"),
    )


_RUNNING, _FAILED = Q(state="running"), Q(state="failed")
# Of what has failed, what was due last failed last, within the pauses of its attempts; that order has an index.
_NEWEST = "-next_attempt_at"
KINDS = (
    Kind(
        *(Download, "Downloads", "download", _RUNNING, _NEWEST, _FAILED, "ended_at", _download),
        rules=attention.DOWNLOADS,
        hidden=("url_encrypted",),
    ),
    Kind(
        *(Upload, "Uploads", "upload", Q(state__in=UNFINISHED), "-touched_at", Q(pk=None), "touched_at", _upload),
        related=("owner",),
        owner="owner",
        rules=attention.UPLOADS,
        hidden=("parts", "notes"),
    ),
    Kind(
        *(ListJob, "Jobs of lists and orders", "job", _RUNNING, _NEWEST, _FAILED, "ended_at", _list_job),
        related=("user", "order"),
        rules=attention.LIST_JOBS,
    ),
    Kind(
        *(Job, "Case syncs", "sync", _RUNNING, _NEWEST),
        *(Q(state__in=("failed", "completed_with_failures")), "ended_at", _sync),
        related=("user", "case"),
        rules=attention.SYNCS,
    ),
    _tasks(PublicUpload, "Public uploads", "public upload"),
    _tasks(PrivateUpload, "Private uploads", "private upload"),
    _tasks(DownloadTask, "Download tasks", "download task"),
)
