"""Files that the service holds, whichever way they came."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Value
from django.db.models.functions import Left
from django.db.models.lookups import Exact

from transfers import leases


class StoredFileQuerySet(models.QuerySet["StoredFile"]):
    """The ways to find stored files."""

    def kept(self) -> Self:
        """Those that nobody has deleted."""
        return self.filter(deleted_at=None)

    def visible_to(self, user: Any) -> Self:
        """Those that this user may see: their own, and for staff everybody's."""
        return self.kept() if user.is_staff else self.kept().filter(owner=user)

    def unhashed(self) -> Self:
        """Those whose checksums are still to be taken."""
        return self.kept().filter(sha256="", checksum_error="")

    def below(self, folder: str) -> Self:
        """Those whose bytes lie in this folder, however deep."""
        start = f"{folder}/"
        # SQLite's LIKE takes "a" for "A"; PostgreSQL's finds the rows by their index.
        return self.filter(Exact(Left("path", len(start)), Value(start)), path__startswith=start)

    def deleted(self) -> Self:
        """Those whose bytes are to be removed, and then the row."""
        return self.exclude(deleted_at=None)


class StoredFile(leases.LeasedRow):
    """A whole file at rest: its owner, its place, and what proves its bytes.

    Its checksums are empty for as long as a worker, which then holds its lease, takes them.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="stored_files")
    name = models.CharField(max_length=255)
    folder = models.CharField(max_length=255, blank=True, help_text="The logical folder it is listed in.")
    path = models.TextField(unique=True, help_text="Where its bytes lie: a path, or s3://bucket/key.")
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    modified_ns = models.BigIntegerField(default=0, help_text="The file system's time of it, in nanoseconds.")
    content_type = models.CharField(max_length=255, default="application/octet-stream")
    md5 = models.CharField(max_length=32, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    crc32 = models.CharField(max_length=8, blank=True)
    checksum_error = models.CharField(max_length=255, blank=True, help_text="Why it has no checksums.")
    checksum_attempts = models.PositiveSmallIntegerField(
        db_default=0,
        editable=False,
        help_text="How often it could not be read although other files of its place could.",
    )
    promised_md5 = models.CharField(max_length=32, blank=True, help_text="The MD5 that was told beforehand.")
    verified = models.BooleanField(null=True, help_text="Whether a checksum promised beforehand agreed.")
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Nobody sees it from then on.")

    objects = StoredFileQuerySet.as_manager()

    class Meta:
        """Newest first."""

        ordering = ["-id"]
        indexes = [
            models.Index(fields=["owner", "folder", "name", "id"]),
            models.Index(fields=["id"], condition=models.Q(sha256=""), name="stored_file_unhashed"),
            models.Index(fields=["id"], condition=models.Q(deleted_at__isnull=False), name="stored_file_deleted"),
            models.Index(fields=["owner", "size"], condition=models.Q(verified=True), name="stored_file_verified"),
        ]

    def __str__(self) -> str:
        return self.name

    def untouched(self) -> bool:
        """Whether the file at its place is still the one that was stored, by size and time."""
        try:
            status = Path(self.path).stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.size, self.modified_ns)
