"""Where a job of a list or an order stands, in the words that pages show and the script keeps up to date."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from transfers.admin import wording
from transfers.errors import NoSuchFolderError
from transfers.models import ListJob
from transfers.models.list_job import LIVE, ListJobDesired, ListJobKind, ListJobState
from transfers.models.selection import Folder

STOPPING = "stopping"
"""A live job that is to stop, as long as its worker has not seen it."""
VARIANTS = {
    ListJobState.QUEUED: "default",
    ListJobState.RUNNING: "info",
    STOPPING: "warning",
    ListJobState.STOPPED: "warning",
    ListJobState.COMPLETED: "success",
    ListJobState.FAILED: "danger",
    ListJobState.EXPIRED: "default",
}
_ASKED = {
    "text": "named like “{}”",
    "content_type": "of type {}",
    "folder": "in the folder {}",
    "created_after": "stored after {}",
    "created_before": "stored before {}",
    "min_size": "of at least {} bytes",
    "max_size": "of at most {} bytes",
}
"""What each condition of a query asks."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands."""

    pk: UUID
    revision: int
    state: str
    variant: str
    amount: str
    bar: tuple[int, int] | None
    """How much is done, and how much there is in all; None when no share of the whole can be told."""

    @classmethod
    def of(cls, job: ListJob) -> Standing:
        """Word it."""
        shown = state(job)
        return cls(
            pk=job.pk, revision=job.revision, state=shown, variant=VARIANTS[shown], amount=_amount(job), bar=_bar(job)
        )

    @property
    def running(self) -> bool:
        """Whether a worker is at it."""
        return self.state == ListJobState.RUNNING


def state(job: ListJob) -> str:
    """The job's state, with what it is about to become."""
    return STOPPING if job.state in LIVE and job.desired == ListJobDesired.STOP else job.state


def rendered(part: str, job: ListJob) -> SafeString:
    """The job's `state` or `progress`."""
    return render_to_string(f"transfers/admin/list_job_{part}.html", {"standing": Standing.of(job)})


def asked(job: ListJob) -> str:
    """What was asked for, in a few words."""
    if job.kind == ListJobKind.ZIP:
        return f"the zip {job.order}"
    if "query" in job.request:
        return "files " + (", ".join(_conditions(job.request["query"])) or "of every kind")
    return f"the files {_where(job.request.get('parentId'))}"


def _conditions(query: dict[str, object]) -> Iterator[str]:
    for name, asked in _ASKED.items():  # PostgreSQL gives an object's names back in an order of its own
        if (value := query.get(name)) is not None:
            yield asked.format(f"{value:,}" if isinstance(value, int) else value)


def _where(parent_id: str | None) -> str:
    if parent_id is None:
        return "that lie in no folder"
    try:
        return f"in the folder {Folder.parse(parent_id).name}"
    except NoSuchFolderError:
        return f"in {parent_id}"


def _amount(job: ListJob) -> str:
    if job.state == ListJobState.COMPLETED:
        return _done(job)
    bar = _bar(job)
    if job.kind == ListJobKind.ADD or bar is None or not bar[0]:
        return _nothing_yet(job)
    share = f"{bar[0] * 100 // bar[1]} %"
    return f"{wording.size(job.bytes_done)} of {wording.size(job.bytes_total)} · {share}"


def _done(job: ListJob) -> str:
    files = f"{job.files_done:,} file{'' if job.files_done == 1 else 's'}"
    return f"{files} added" if job.kind == ListJobKind.ADD else f"{files} · {wording.size(job.bytes_done)}"


def _nothing_yet(job: ListJob) -> str:
    if job.state not in LIVE:
        return wording.NOTHING
    return job.message or ("at work" if job.state == ListJobState.RUNNING else "waits for a worker")


def _bar(job: ListJob) -> tuple[int, int] | None:
    if job.state == ListJobState.COMPLETED:
        return (1, 1)
    if job.kind == ListJobKind.ADD or not job.bytes_total or job.state == ListJobState.EXPIRED:
        return None
    return (min(job.bytes_done, job.bytes_total), job.bytes_total)
