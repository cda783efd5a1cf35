"""Files that the service holds, whichever way they came."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from django.conf import settings
from django.db import models

from transfers import leases


class StoredFileQuerySet(models.QuerySet["StoredFile"]):
    """The ways to find stored files."""

    def unhashed(self) -> Self:
        """Those whose checksums are still to be taken."""
        return self.filter(sha256="", checksum_error="")


class StoredFile(leases.LeasedRow):
    """A whole file at rest: its owner, its place, and what proves its bytes.

    Its checksums are empty for as long as a worker, which then holds its lease, takes them.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="stored_files")
    name = models.CharField(max_length=255)
    folder = models.CharField(max_length=255, blank=True, help_text="The logical folder it is listed in.")
    path = models.TextField(unique=True, help_text="Where its bytes lie.")
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    modified_ns = models.BigIntegerField(default=0, help_text="The file system's time of it, in nanoseconds.")
    content_type = models.CharField(max_length=255, default="application/octet-stream")
    md5 = models.CharField(max_length=32, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    crc32 = models.CharField(max_length=8, blank=True)
    checksum_error = models.CharField(max_length=255, blank=True, help_text="Why it has no checksums.")
    verified = models.BooleanField(null=True, help_text="Whether a checksum promised beforehand agreed.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = StoredFileQuerySet.as_manager()

    class Meta:
        """Newest first."""

        ordering = ["-id"]
        indexes = [
            models.Index(fields=["owner", "folder", "id"]),
            models.Index(fields=["id"], condition=models.Q(sha256=""), name="stored_file_unhashed"),
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
