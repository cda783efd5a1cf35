"""Where a job stands, in the words that the lists and pages show and the script keeps up to date."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from sync.models import Job
from sync.models.job import LIVE, Desired, JobState, Phase
from transfers.admin import wording

STOPPING = "stopping"
"""A live job that is to stop, as long as its worker has not seen it."""
VARIANTS = {
    JobState.QUEUED: "default",
    JobState.RUNNING: "info",
    STOPPING: "warning",
    JobState.STOPPED: "warning",
    JobState.COMPLETED: "success",
    JobState.COMPLETED_WITH_FAILURES: "warning",
    JobState.FAILED: "danger",
}
PHASES = {Phase.CASE: "looks the case up", Phase.COPYING: "copies the source", Phase.SYNCING: "syncs"}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands."""

    pk: UUID
    revision: int
    state: str
    variant: str
    way: str
    doing: str
    amount: str
    speed: str
    left: str
    failed: str
    bar: tuple[int, int] | None
    """How much is done, and how much there is in all; None when no share of the whole can be told."""

    @classmethod
    def of(cls, job: Job) -> Standing:
        """Word it."""
        shown = state(job)
        running = shown == JobState.RUNNING
        return cls(
            pk=job.pk,
            revision=job.revision,
            state=shown,
            variant=VARIANTS[shown],
            way=way(job),
            doing=PHASES[Phase(job.phase)] if running else "",
            amount=_amount(job),
            speed=wording.rate(job.bytes_per_second) if running else wording.NOTHING,
            left=wording.span(seconds_left(job)) if running else wording.NOTHING,
            failed=f"{job.failures_count:,}",
            bar=_bar(job),
        )

    @property
    def words(self) -> str:
        """The state's name."""
        return self.state.replace("_", " ")

    @property
    def running(self) -> bool:
        """Whether a worker is at it."""
        return self.state == JobState.RUNNING


def state(job: Job) -> str:
    """The job's state, with what it is about to become."""
    return STOPPING if job.state in LIVE and job.desired == Desired.STOP else job.state


def way(job: Job) -> str:
    """What was asked for."""
    words = "up" if job.up else "down"
    if job.delete_missing:
        words = f"{words}, deleting"
    return f"dry run {words}" if job.dry_run else f"sync {words}"


def rendered(part: str, job: Job) -> SafeString:
    """The job's `state`, `progress`, `speed` or `left`."""
    return render_to_string(f"sync/admin/job_{part}.html", {"standing": Standing.of(job)})


def seconds_left(job: Job) -> float | None:
    """How long the rest takes at this speed; None where that cannot be told."""
    if not (job.bytes_per_second and job.bytes_total):
        return None
    return max(0, job.bytes_total - job.bytes_done) / job.bytes_per_second


def _amount(job: Job) -> str:
    files, size = f"{job.files_done:,}", wording.size(job.bytes_done)
    if not job.files_total:
        return _nothing(job)
    if job.state == JobState.COMPLETED:
        return f"{_counted(job.files_done)} · {size}"
    done, total = _bar(job) or (0, 1)
    return (
        f"{files} of {_counted(job.files_total)} · {size} of {wording.size(job.bytes_total)} · {done * 100 // total} %"
    )


def _nothing(job: Job) -> str:
    """Words for a job that has, so far, nothing to move."""
    if job.dry_run and job.state == JobState.COMPLETED:
        return "its plan is ready"
    if job.state in LIVE:
        return "looks what there is to do" if job.state == JobState.RUNNING else "waits for a worker"
    return "nothing was to be done" if job.state == JobState.COMPLETED else "nothing was done"


def _counted(files: int) -> str:
    return f"{files:,} file" if files == 1 else f"{files:,} files"


def _bar(job: Job) -> tuple[int, int] | None:
    if job.state == JobState.COMPLETED:
        return (1, 1)
    if job.bytes_total:
        return (min(job.bytes_done, job.bytes_total), job.bytes_total)
    return (min(job.files_done, job.files_total), job.files_total) if job.files_total else None
