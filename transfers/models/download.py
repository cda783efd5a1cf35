"""Downloads: files that the service fetches from a URL."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from transfers import leases
from transfers.engine import ipfs
from transfers.engine.base import Validator, ValidatorKind
from transfers.engine.plan import Plan
from transfers.engine.redaction import without_credentials
from transfers.models.encryption import decrypt, encrypt
from transfers.models.stored_file import StoredFile


class DownloadState(models.TextChoices):
    """Where a download stands."""

    QUEUED = "queued"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    COMPLETED = "completed"


class Desired(models.TextChoices):
    """What its owner wants of it."""

    RUN = "run"
    STOP = "stop"


LIVE = (DownloadState.QUEUED, DownloadState.RUNNING)
ENDED = (DownloadState.STOPPED, DownloadState.FAILED, DownloadState.COMPLETED)


class DownloadQuerySet(models.QuerySet["Download"]):
    """The guarded moves of downloads that are nobody's right now, and the ways to find them."""

    def live(self) -> Self:
        """Those that are to run or are running."""
        return self.filter(state__in=LIVE)

    def visible_to(self, user: Any) -> Self:
        """Those that this user may see: their own, and for staff everybody's."""
        return self.all() if user.is_staff else self.filter(user=user)

    def due(self) -> Self:
        """Those that a worker should take up now: nobody holds them and their time has come."""
        return self.live().filter(leases.free(), next_attempt_at__lte=Now())

    def claim(self, pk: object, owner: str) -> Download | None:
        """queued or left behind → running: the download is `owner`'s alone; None when it is not to be had."""
        return leases.claim(self.due().filter(desired=Desired.RUN), pk, owner, state=DownloadState.RUNNING)

    def stop_unclaimed(self) -> int:
        """live → stopped, where a stop is wanted and no worker is there to do it."""
        return (
            self.live()
            .filter(leases.free(), desired=Desired.STOP)
            .update(
                state=DownloadState.STOPPED,
                lease_epoch=F("lease_epoch") + 1,
                lease_expires_at=None,
                lease_owner="",
                ended_at=Now(),
                revision=F("revision") + 1,
            )
        )


class Download(leases.LeasedRow):
    """A URL being fetched into a folder, or what became of it.

    ::

                 start                claim                  whole
        (none) ────────► queued ────────────────► running ────────► completed
                          ▲  │ ▲                   │  │ │                │
                          │  │ └── retry, drain, ──┘  │ └──► failed      │
                          │  │     slice, lease lost  │         │        │
                          │  └─────────► stopped ◄────┘         │        │
                          │     stop        │         stop      │        │
                          └─────────────────┴───────────────────┴────────┘
                                                start again

    Every arrow out of running is one UPDATE guarded by the lease's epoch; `desired` is what the owner wants, and
    what the worker that holds the lease acts upon. A live download alone may write its `save_path`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="downloads")
    cid = models.CharField("application (cid)", max_length=255)
    fid = models.CharField("file key (fid)", max_length=255, blank=True)
    url_encrypted = models.TextField(editable=False, help_text="With its credentials, which are never shown.")
    url_shown = models.TextField("URL", help_text="Without credentials.")
    request_key = models.CharField(max_length=64, editable=False, help_text="SHA-256 of what names the download.")
    url_key = models.CharField(max_length=64, editable=False, help_text="SHA-256 of the URL without its userinfo.")
    output_folder = models.TextField(blank=True, help_text="As the client wrote it.")
    save_path = models.TextField(db_index=True, help_text="Where the file is to lie.")

    state = models.CharField(max_length=10, choices=DownloadState, default=DownloadState.QUEUED)
    desired = models.CharField(max_length=4, choices=Desired, default=Desired.RUN, editable=False)
    next_attempt_at = models.DateTimeField(db_default=Now(), editable=False)
    revision = models.PositiveBigIntegerField(default=0, editable=False, help_text="Grows with each event.")

    size = models.PositiveBigIntegerField(null=True, blank=True, help_text="Bytes; unknown until the source tells.")
    part_size = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    generation = models.CharField(max_length=255, blank=True, editable=False, help_text="Whose bytes are kept.")
    validator_kind = models.CharField(max_length=16, blank=True, editable=False)
    validator_value = models.TextField(blank=True, editable=False)
    source_changes = models.PositiveIntegerField(
        default=0, editable=False, help_text="Other files than before, this run."
    )
    ranges_broken = models.BooleanField(default=False, editable=False, help_text="Its ranges cannot be trusted.")

    bytes_done = models.PositiveBigIntegerField(default=0, help_text="Bytes of the file that are here.")
    bytes_fetched = models.PositiveBigIntegerField(default=0, help_text="Bytes that were received, repeats included.")
    high_water = models.PositiveBigIntegerField(default=0, editable=False, help_text="The most that ever was here.")
    bytes_per_second = models.PositiveBigIntegerField(default=0)
    fruitless_attempts = models.PositiveIntegerField(default=0, help_text="Since the last new byte.")

    requested_at = models.DateTimeField(db_default=Now())
    stream_began_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error = models.TextField(blank=True)
    stored_file = models.ForeignKey(
        StoredFile, null=True, blank=True, on_delete=models.SET_NULL, related_name="downloads"
    )

    objects = DownloadQuerySet.as_manager()

    class Meta:
        """Newest first; the constraints say what no race may break."""

        ordering = ["-requested_at"]
        constraints = [
            models.UniqueConstraint(fields=["user", "request_key"], name="download_named_once"),
            models.UniqueConstraint(fields=["save_path"], condition=Q(state__in=LIVE), name="download_one_writer"),
            models.CheckConstraint(condition=Q(state__in=DownloadState.values), name="download_state_known"),
            models.CheckConstraint(
                condition=~Q(state=DownloadState.RUNNING) | Q(lease_epoch__gt=0), name="download_running_was_claimed"
            ),
            models.CheckConstraint(
                condition=Q(state__in=LIVE) | Q(lease_expires_at=None), name="download_ended_is_nobodys"
            ),
        ]
        indexes = [
            models.Index(fields=["state", "next_attempt_at"]),
            models.Index(fields=["user", "-requested_at"]),
        ]

    def __str__(self) -> str:
        return Path(self.save_path).name

    @property
    def url(self) -> str:
        """The URL with its credentials, for the worker alone; SecretLostError when the secret key was changed."""
        return decrypt(self.url_encrypted)

    @url.setter
    def url(self, url: str) -> None:
        self.url_encrypted = encrypt(url)

    @property
    def live(self) -> bool:
        """Whether it runs, or will, and is meant to."""
        return self.state in LIVE and self.desired == Desired.RUN

    @property
    def host(self) -> str:
        """The host it is fetched from, with the port; the gateway's, for what has no host of its own."""
        parts = urlsplit(self.url_shown)
        if parts.scheme == ipfs.SCHEME:
            parts = urlsplit(without_credentials(settings.ENVIRONMENT.ipfs_gateway_url))
        return parts.netloc.lower()

    @property
    def validator(self) -> Validator | None:
        """What proves that the file at the source is still the one whose bytes are kept."""
        return Validator(ValidatorKind(self.validator_kind), self.validator_value) if self.validator_kind else None

    @property
    def plan(self) -> Plan | None:
        """The plan that was made when its stream began."""
        return Plan(self.size, self.part_size) if self.part_size else None

    @property
    def ever_received(self) -> bool:
        """Whether a byte of it has ever arrived."""
        return max(self.bytes_fetched, self.bytes_done, self.high_water) > 0

    @property
    def bytes_refetched(self) -> int:
        """Bytes that had to be fetched more than once."""
        return max(0, self.bytes_fetched - self.bytes_done)

    @property
    def remaining_seconds(self) -> float | None:
        """How long the rest takes at the present speed; None while it cannot be told."""
        if self.state != DownloadState.RUNNING or not self.bytes_per_second or self.size is None:
            return None
        return (self.size - self.bytes_done) / self.bytes_per_second

    @property
    def duration(self) -> timedelta | None:
        """From the first request to the end."""
        return self.ended_at - self.requested_at if self.ended_at else None

    # The guarded moves of the worker that holds it: each False when it holds it no longer.

    def mark_streaming(self, **facts: Any) -> bool:
        """running: the source has answered, with these facts of its file."""
        return leases.renew(self, stream_began_at=Now(), **facts)

    def mark_progress(self, **numbers: Any) -> bool:
        """running: these numbers are what is known now; the lease is renewed."""
        self.revision += 1  # nobody else writes it while the lease is ours
        return leases.renew(self, revision=self.revision, **numbers)

    def mark_completed(self, stored_file: StoredFile, **facts: Any) -> bool:
        """running → completed: the whole file is in its place."""
        return self._end(
            DownloadState.COMPLETED,
            stored_file=stored_file,
            save_path=stored_file.path,
            bytes_done=stored_file.size,
            size=stored_file.size,
            error="",
            error_code="",
            **facts,
        )

    def mark_failed(self, code: str, text: str) -> bool:
        """running → failed: what is here is kept, for a start to go on with."""
        return self._end(DownloadState.FAILED, error_code=code, error=text)

    def mark_stopped(self) -> bool:
        """running → stopped, if a stop is still wanted."""
        return self._end(DownloadState.STOPPED, where=Q(desired=Desired.STOP))

    def hand_back(self, delay_seconds: float = 0, **facts: Any) -> bool:
        """running → queued: somebody is to go on with it, after the delay."""
        return leases.release(
            self,
            state=DownloadState.QUEUED,
            bytes_per_second=0,
            # SQLite writes a sum with six decimals and a bare time with three, which sorts later within a millisecond.
            next_attempt_at=Now() + timedelta(seconds=delay_seconds) if delay_seconds else Now(),
            **facts,
        )

    def _end(self, state: DownloadState, where: Q | None = None, **facts: Any) -> bool:
        where = Q(state=DownloadState.RUNNING) & (where or Q())
        self.revision += 1
        return leases.release(
            self, where, state=state, ended_at=Now(), bytes_per_second=0, revision=self.revision, **facts
        )
