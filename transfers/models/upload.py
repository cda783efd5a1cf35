"""Uploads: files that clients send in parts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Greatest, Now

from transfers.models.stored_file import StoredFile


class UploadState(models.TextChoices):
    """Where an upload stands."""

    OPEN = "open"
    COMPLETING = "completing"
    COMPLETED = "completed"
    REMOVING = "removing"


UNFINISHED = (UploadState.OPEN, UploadState.COMPLETING)
WITHOUT_FILE = Q(stored_file=None) | Q(stored_file__deleted_at__isnull=False)


CLAIMED = Greatest(Coalesce(F("size"), 0), F("received"))
"""What an upload may come to hold: its told size, or what is here where that is more."""


class UploadQuerySet(models.QuerySet["Upload"]):
    """The ways to find uploads."""

    def visible_to(self, user: Any) -> Self:
        """Those that this user may see: their own, and for staff everybody's."""
        known = self.exclude(state=UploadState.REMOVING).exclude(Q(state=UploadState.COMPLETED) & WITHOUT_FILE)
        return known if user.is_staff else known.filter(owner=user)

    def outlived(self) -> Self:
        """Those whose file was deleted."""
        return self.filter(state=UploadState.COMPLETED, stored_file=None)

    def unfinished(self) -> Self:
        """Those that hold bytes beside the stored files."""
        return self.filter(state__in=UNFINISHED)

    def untouched_for(self, age: timedelta) -> Self:
        """Those that nobody has sent anything to for so long."""
        return self.filter(touched_at__lt=Now() - age)


class Upload(models.Model):
    """A file being sent in parts, or what became of it.

    ::

                 initiate          complete               the file has its name
        (none) ───────────► open ───────────► completing ───────────────────────► completed
                            │  ▲                  │
             abort, expiry  │  └── parts differ ──┘
                            ▼
                        removing ───────────► (none)
                                bytes removed

    Every arrow is one UPDATE guarded by the state it leaves. Once an upload is completing, its `parts` are fixed and
    whoever finds it so may finish it: what that does may be repeated. What is stored is asked of the storage.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="uploads")
    catalog = models.CharField(max_length=100, help_text="The folder that the file is to be listed in.")
    mode = models.BigIntegerField(null=True, blank=True, help_text="As the client gave it.")
    notes = models.TextField(blank=True)
    name = models.CharField(max_length=255)
    content_type = models.CharField(max_length=255, default="application/octet-stream")
    size = models.PositiveBigIntegerField(null=True, blank=True, help_text="Bytes, where the client told beforehand.")
    md5 = models.CharField(max_length=32, blank=True, help_text="Of the whole file, where the client told beforehand.")
    part_size = models.PositiveBigIntegerField(help_text="Bytes that each part but the last is suggested to have.")
    stride = models.PositiveBigIntegerField(
        null=True, blank=True, editable=False, help_text="Bytes between the beginnings of two parts on disk."
    )

    state = models.CharField(max_length=10, choices=UploadState, default=UploadState.OPEN)
    location = models.TextField(blank=True, editable=False, help_text="Where the file is to lie.")
    collection_name = models.TextField(blank=True, editable=False, help_text="The store's own name for the upload.")
    received = models.PositiveBigIntegerField(default=0, help_text="Bytes of the parts that were stored.")
    parts = models.JSONField(default=dict, blank=True, help_text="MD5s by number, of which it was completed.")
    stored_file = models.ForeignKey(
        StoredFile, null=True, blank=True, on_delete=models.SET_NULL, related_name="uploads"
    )
    created_at = models.DateTimeField(db_default=Now())
    touched_at = models.DateTimeField(db_default=Now(), db_index=True, help_text="When something last came.")

    objects = UploadQuerySet.as_manager()

    class Meta:
        """Newest first."""

        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=UploadState.values), name="upload_state_known"),
            models.CheckConstraint(
                condition=Q(state__in=(UploadState.COMPLETED, UploadState.REMOVING)) | Q(stored_file=None),
                name="upload_unfinished_has_no_file",
            ),
        ]
        indexes = [
            models.Index(fields=["owner", "-id"]),
            models.Index(fields=["state", "touched_at"]),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def expires_at(self) -> datetime | None:
        """When it is removed unless something comes; None for one that is not open."""
        if self.state != UploadState.OPEN:
            return None
        return self.touched_at + timedelta(days=settings.ENVIRONMENT.upload_expiry_days)

    # The guarded moves: each False when the upload is not where the move begins.

    def mark_completing(self, parts: dict[str, str], **facts: Any) -> bool:
        """open → completing: it is to become the file of these parts, MD5s by number."""
        return self._move((UploadState.OPEN,), state=UploadState.COMPLETING, parts=parts, **facts)

    def mark_open(self) -> bool:
        """completing → open: the parts were others after all."""
        return self._move((UploadState.COMPLETING,), state=UploadState.OPEN, parts={})

    def mark_finishing(self) -> bool:
        """completing, and nobody else's until the transaction ends."""
        return self._move(UNFINISHED, state=UploadState.COMPLETING)

    def mark_completed(self, stored: StoredFile) -> bool:
        """completing → completed: the file has its name."""
        facts: dict[str, Any] = {"stored_file": stored, "size": stored.size, "received": stored.size}
        return self._move((UploadState.COMPLETING,), state=UploadState.COMPLETED, **facts)

    def mark_removing(self, where: Q | None = None) -> bool:
        """open → removing: nobody sees it any more, and its bytes are to go."""
        return self._move((UploadState.OPEN,), where, state=UploadState.REMOVING)

    def _move(self, origins: tuple[UploadState, ...], where: Q | None = None, **changes: Any) -> bool:
        rows = Upload.objects.filter(where or Q(), pk=self.pk, state__in=origins)
        if not rows.update(touched_at=Now(), **changes):
            return False
        for name, value in changes.items():
            setattr(self, name, value)
        return True
