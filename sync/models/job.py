"""Jobs: one sync of one case, up or down."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from sync.models.case import Case
from transfers import leases


class JobState(models.TextChoices):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    STOPPED = "stopped"
    COMPLETED = "completed"
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    FAILED = "failed"


class Desired(models.TextChoices):
    """What its owner wants of it."""

    RUN = "run"
    STOP = "stop"


class Phase(models.TextChoices):
    """What a running job is at."""

    CASE = "case", "looking the case up"
    COPYING = "copying", "copying the source"
    SYNCING = "syncing", "syncing"


LIVE = (JobState.QUEUED, JobState.RUNNING)


class JobQuerySet(models.QuerySet["Job"]):
    """The guarded moves of jobs that are nobody's right now, and the ways to find them."""

    def live(self) -> Self:
        """Those that are to run or are running."""
        return self.filter(state__in=LIVE)

    def visible_to(self, user: Any) -> Self:
        """Those of cases that this user may see."""
        return self.all() if user.is_staff else self.filter(case__user=user)

    def due(self) -> Self:
        """Those that a worker should take up now: nobody holds them and their time has come."""
        return self.live().filter(leases.free(), desired=Desired.RUN, next_attempt_at__lte=Now())

    def claim(self, pk: object, owner: str) -> Job | None:
        """queued or left behind → running: the job is `owner`'s alone; None when it is not to be had."""
        return leases.claim(self.due(), pk, owner, state=JobState.RUNNING)

    def stop_unclaimed(self) -> int:
        """live → stopped, where a stop is wanted and no worker is there to do it."""
        return (
            self.live()
            .filter(leases.free(), desired=Desired.STOP)
            .update(
                state=JobState.STOPPED,
                lease_epoch=F("lease_epoch") + 1,
                lease_expires_at=None,
                lease_owner="",
                ended_at=Now(),
                revision=F("revision") + 1,
            )
        )


class Job(leases.LeasedRow):
    """One sync of a case, or what became of it.

    ::

                 ask              claim               every batch is done
        (none) ───────► queued ──────────► running ─────────────────────────► completed
                         │  ▲                │ │ │                              completed_with_failures
                         │  └─ drain, lost ──┘ │ └──► failed
                         └───────► stopped ◄───┘
                            stop        stop

    Every arrow out of running is one UPDATE guarded by the lease's epoch. Asking again for what has ended makes a new
    job, which finds done what is done. A case has one live job at most.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="jobs")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="sync_jobs")
    up = models.BooleanField(help_text="From here to the cloud; otherwise from the cloud to here.")
    delete_missing = models.BooleanField("delete", default=False, help_text="Remove what the winning side has not.")
    dry_run = models.BooleanField(default=False, help_text="Only tell what would be done.")
    source = models.TextField(blank=True, help_text="The folder on this server that is copied first; empty: none.")

    state = models.CharField(max_length=24, choices=JobState, default=JobState.QUEUED)
    desired = models.CharField(max_length=4, choices=Desired, default=Desired.RUN, editable=False)
    phase = models.CharField(max_length=8, choices=Phase, default=Phase.CASE)
    is_planned = models.BooleanField(
        default=False, editable=False, help_text="Whether all of this phase is in batches."
    )
    next_attempt_at = models.DateTimeField(db_default=Now(), editable=False)
    fruitless_attempts = models.PositiveIntegerField(default=0)
    revision = models.PositiveBigIntegerField(default=0, editable=False, help_text="Grows with each event.")

    files_before = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="Done before it was planned anew."
    )
    bytes_before = models.PositiveBigIntegerField(default=0, editable=False)
    files_done = models.PositiveBigIntegerField(default=0)
    files_total = models.PositiveBigIntegerField(default=0)
    bytes_done = models.PositiveBigIntegerField(default=0)
    bytes_total = models.PositiveBigIntegerField(default=0)
    bytes_per_second = models.PositiveBigIntegerField(default=0)
    current_files = models.JSONField(default=list, help_text="Paths that are being moved.")
    failures_count = models.PositiveBigIntegerField(default=0)

    requested_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error = models.TextField(blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        """Newest first; the constraints say what no race may break."""

        ordering = ["-requested_at"]
        constraints = [
            models.UniqueConstraint(fields=["case"], condition=Q(state__in=LIVE), name="sync_job_one_live"),
            models.CheckConstraint(condition=Q(state__in=JobState.values), name="sync_job_state_known"),
            models.CheckConstraint(
                condition=~Q(state=JobState.RUNNING) | Q(lease_epoch__gt=0), name="sync_job_running_was_claimed"
            ),
            models.CheckConstraint(
                condition=Q(state__in=LIVE) | Q(lease_expires_at=None), name="sync_job_ended_is_nobodys"
            ),
        ]
        indexes = [models.Index(fields=["state", "next_attempt_at"]), models.Index(fields=["case", "-requested_at"])]

    def __str__(self) -> str:
        return f"sync {self.pk}"

    @property
    def live(self) -> bool:
        """Whether it runs, or will, and is meant to."""
        return self.state in LIVE and self.desired == Desired.RUN

    @property
    def is_end(self) -> bool:
        """Whether nothing comes after its state."""
        return self.state not in LIVE

    def mark_progress(self, **facts: Any) -> bool:
        """running: this is what is known now; the lease is renewed. False when it has another holder."""
        self.revision += 1  # nobody else writes it while the lease is ours
        for name, value in facts.items():
            setattr(self, name, value)
        return leases.renew(self, revision=self.revision, **facts)

    def mark_completed(self) -> bool:
        """running → completed, or completed with failures if there were any."""
        state = JobState.COMPLETED_WITH_FAILURES if self.failures_count else JobState.COMPLETED
        return self._end(state)

    def mark_failed(self, code: str, text: str) -> bool:
        """running → failed: what was done stays done."""
        return self._end(JobState.FAILED, error_code=code, error=text)

    def mark_stopped(self) -> bool:
        """running → stopped, if a stop is still wanted."""
        return self._end(JobState.STOPPED, where=Q(desired=Desired.STOP))

    def hand_back(self, delay_seconds: float = 0, **facts: Any) -> bool:
        """running → queued: somebody is to go on with it, after the delay."""
        when = Now() + timedelta(seconds=delay_seconds) if delay_seconds else Now()
        self.revision += 1
        return leases.release(
            self, state=JobState.QUEUED, bytes_per_second=0, next_attempt_at=when, revision=self.revision, **facts
        )

    def _end(self, state: JobState, where: Q | None = None, **facts: Any) -> bool:
        where = Q(state=JobState.RUNNING) & (where or Q())
        self.revision += 1
        return leases.release(
            self, where, state=state, ended_at=Now(), bytes_per_second=0, revision=self.revision, **facts
        )
