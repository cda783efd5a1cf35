"""Jobs of download lists: adding many files to one, and making an order's zip."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from transfers import leases
from transfers.models.order import Order
from transfers.models.stored_file import StoredFile


class ListJobKind(models.TextChoices):
    """What a job does."""

    ADD = "add", "add to the list"
    ZIP = "zip", "make the zip"


class ListJobState(models.TextChoices):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    EXPIRED = "expired"


class ListJobDesired(models.TextChoices):
    """What its owner wants of it."""

    RUN = "run"
    STOP = "stop"


LIVE = (ListJobState.QUEUED, ListJobState.RUNNING)
ENDED = tuple(state for state in ListJobState if state not in LIVE)
_NOBODYS: dict[str, Any] = {"lease_expires_at": None, "lease_owner": ""}


class ListJobQuerySet(models.QuerySet["ListJob"]):
    """The guarded moves of jobs that are nobody's right now, and the ways to find them."""

    def visible_to(self, user: Any) -> Self:
        """Those that this user may see: their own, and for staff everybody's."""
        return self.all() if user.is_staff else self.filter(user=user)

    def live(self) -> Self:
        """Those that are to run or are running."""
        return self.filter(state__in=LIVE)

    def standing(self) -> Self:
        """Those that an order has no second one beside: to run, running, or with a zip that is there."""
        return self.filter(state__in=(*LIVE, ListJobState.COMPLETED))

    def due(self) -> Self:
        """Those that a worker should take up now: nobody holds them and their time has come."""
        return self.live().filter(leases.free(), desired=ListJobDesired.RUN, next_attempt_at__lte=Now())

    def claim(self, pk: object, owner: str) -> ListJob | None:
        """queued or left behind → running: the job is `owner`'s alone; None when it is not to be had."""
        return leases.claim(self.due(), pk, owner, state=ListJobState.RUNNING, revision=F("revision") + 1)

    def stop_unclaimed(self) -> int:
        """live → stopped, where a stop is wanted and no worker is there to do it."""
        return (
            self.live()
            .filter(leases.free(), desired=ListJobDesired.STOP)
            .update(
                state=ListJobState.STOPPED,
                lease_epoch=F("lease_epoch") + 1,
                ended_at=Now(),
                revision=F("revision") + 1,
                **_NOBODYS,
            )
        )

    def untidy(self) -> Self:
        """Those that have ended, of whose work something may still lie about."""
        return self.filter(kind=ListJobKind.ZIP, state__in=ENDED).exclude(location="")

    def expire(self) -> int:
        """completed → expired: the zip is not to be had any more."""
        return self.filter(state=ListJobState.COMPLETED).update(
            state=ListJobState.EXPIRED, stored_file=None, revision=F("revision") + 1
        )


class ListJob(leases.LeasedRow):
    """One job of a list or an order.

    ::

                ask              claim              done                  its time is over
        (none) ─────► queued ──────────► running ─────────► completed ─────────────────────► expired
                        │  ▲               │ │ └──► failed
                        │  └─ drain, lost ─┘ │
                        └──────► stopped ◄───┘
                           stop       stop

    Every arrow out of running is one UPDATE guarded by the lease's epoch. An order has one job at most that is live or
    completed; what has failed, was stopped or has expired is begun again as a new one.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="list_jobs")
    kind = models.CharField(max_length=3, choices=ListJobKind)
    request = models.JSONField(default=dict, help_text="What was asked to be added.")
    order = models.ForeignKey(Order, on_delete=models.CASCADE, null=True, blank=True, related_name="jobs")

    state = models.CharField(max_length=9, choices=ListJobState, default=ListJobState.QUEUED)
    desired = models.CharField(max_length=4, choices=ListJobDesired, default=ListJobDesired.RUN, editable=False)
    next_attempt_at = models.DateTimeField(db_default=Now(), editable=False)
    fruitless_attempts = models.PositiveIntegerField(default=0)
    revision = models.PositiveBigIntegerField(default=0, editable=False, help_text="Grows with each event.")

    message = models.CharField(max_length=255, blank=True, help_text="What it is at.")
    files_done = models.PositiveBigIntegerField(default=0)
    files_total = models.PositiveBigIntegerField(default=0)
    bytes_done = models.PositiveBigIntegerField(default=0)
    bytes_total = models.PositiveBigIntegerField(default=0)

    location = models.TextField(blank=True, editable=False, help_text="Where the zip is to lie.")
    """Emptied once nothing is left there but the zip."""
    layout_validator = models.CharField(max_length=64, blank=True, editable=False, help_text="Names the zip's bytes.")
    multipart_upload_id = models.TextField(blank=True, editable=False, help_text="The store's.")
    stored_file = models.ForeignKey(
        StoredFile, on_delete=models.SET_NULL, null=True, blank=True, related_name="zip_jobs", help_text="The zip."
    )
    expires_at = models.DateTimeField(null=True, blank=True, help_text="When the zip is removed.")

    requested_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error = models.TextField(blank=True)

    objects = ListJobQuerySet.as_manager()

    class Meta:
        """Newest first; the constraints say what no race may break."""

        ordering = ["-requested_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["order"], condition=Q(state__in=(*LIVE, ListJobState.COMPLETED)), name="list_job_one_an_order"
            ),
            models.CheckConstraint(condition=Q(state__in=ListJobState.values), name="list_job_state_known"),
            models.CheckConstraint(
                condition=Q(kind=ListJobKind.ADD, order=None) | Q(kind=ListJobKind.ZIP, order__isnull=False),
                name="list_job_zip_has_order",
            ),
            models.CheckConstraint(
                condition=~Q(state=ListJobState.RUNNING) | Q(lease_epoch__gt=0), name="list_job_running_was_claimed"
            ),
            models.CheckConstraint(
                condition=Q(state__in=LIVE) | Q(lease_expires_at=None), name="list_job_ended_is_nobodys"
            ),
        ]
        indexes = [
            models.Index(fields=["state", "next_attempt_at"]),
            models.Index(fields=["user", "-requested_at"]),
            models.Index(fields=["ended_at"]),
            models.Index(fields=["expires_at"], condition=Q(state=ListJobState.COMPLETED), name="list_job_expires"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"

    @property
    def live(self) -> bool:
        """Whether it runs, or will, and is meant to."""
        return self.state in LIVE and self.desired == ListJobDesired.RUN

    def mark_progress(self, **facts: Any) -> bool:
        """running: this is what is known now; the lease is renewed. False when it has another holder."""
        self.revision += 1  # nobody else writes it while the lease is ours
        for name, value in facts.items():
            setattr(self, name, value)
        return leases.renew(self, revision=self.revision, **facts)

    def mark_completed(self, **facts: Any) -> bool:
        """running → completed."""
        return self._end(ListJobState.COMPLETED, message="", **facts)

    def mark_failed(self, code: str, text: str) -> bool:
        """running → failed."""
        return self._end(ListJobState.FAILED, error_code=code, error=text)

    def mark_stopped(self) -> bool:
        """running → stopped, if a stop is still wanted."""
        return self._end(ListJobState.STOPPED, where=Q(desired=ListJobDesired.STOP))

    def hand_back(self, delay_seconds: float = 0, **facts: Any) -> bool:
        """running → queued: somebody is to go on with it, after the delay."""
        when = Now() + timedelta(seconds=delay_seconds) if delay_seconds else Now()
        return leases.release(self, state=ListJobState.QUEUED, next_attempt_at=when, **facts)

    def _end(self, state: ListJobState, where: Q | None = None, **facts: Any) -> bool:
        where = Q(state=ListJobState.RUNNING) & (where or Q())
        self.revision += 1
        return leases.release(self, where, state=state, ended_at=Now(), revision=self.revision, **facts)
