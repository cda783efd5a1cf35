"""What was the same on both sides when it was last looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from django.db import models

from sync.models.case import Case

_WRITTEN = ["size", "mtime_ns", "checksum", "local_version", "remote_version"]
ROWS_AT_ONCE = 500
"""Rows written by one statement: SQLite takes 32,766 values, PostgreSQL 65,535."""
ROWS_A_READ = 2000


class EntryRow(NamedTuple):
    """What a plan needs of an entry; to make the model's instances of a page would take five times as long."""

    path: bytes
    size: int
    checksum: str
    local_version: str
    remote_version: str


class ManifestEntryQuerySet(models.QuerySet["ManifestEntry"]):
    """What is done with a manifest."""

    def in_order(self) -> Iterator[EntryRow]:
        """All of it, sorted by the UTF-8 bytes of the paths, without holding it in memory.

        Page by page, each read whole: with a SELECT that is still open, SQLite refuses every write that comes after
        somebody else's, and a plan is written as it is made.
        """
        rows, last = self.order_by("path").values_list(*EntryRow._fields), b""
        while page := [EntryRow._make(told) for told in rows.filter(path__gt=last)[:ROWS_A_READ]]:
            yield from page
            last = page[-1].path

    def note(self, entries: Iterable[ManifestEntry]) -> None:
        """Have these in the manifest, in place of what was there of the same paths."""
        self.bulk_create(
            entries,
            batch_size=ROWS_AT_ONCE,
            update_conflicts=True,
            unique_fields=["case", "path"],
            update_fields=_WRITTEN,
        )

    def forget(self, paths: Iterable[str]) -> None:
        """Have none of these in the manifest; what is in a folder stays."""
        known = [path.encode() for path in paths]
        for start in range(0, len(known), ROWS_AT_ONCE):
            self.filter(path__in=known[start : start + ROWS_AT_ONCE]).delete()

    def forget_below(self, folders: Iterable[str]) -> None:
        """Have nothing in the manifest that is in one of these folders, whose paths end in "/"."""
        for folder in (path.encode() for path in folders):
            self.filter(path__gt=folder, path__lt=folder[:-1] + b"0").delete()  # "0" comes next to "/"


class ManifestEntry(models.Model):
    """One file, or empty folder, of a case as it was when both sides had it alike.

    The path is kept as bytes, which every database sorts as S3 sorts keys.
    """

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="manifest")
    path = models.BinaryField()
    size = models.PositiveBigIntegerField()
    mtime_ns = models.BigIntegerField(default=0)
    checksum = models.CharField(max_length=80, blank=True)
    local_version = models.CharField(max_length=120, blank=True)
    remote_version = models.CharField(max_length=255, blank=True, help_text="The ETag, where the cloud is S3.")

    objects = ManifestEntryQuerySet.as_manager()

    class Meta:
        """In the order of keys."""

        ordering = ["path"]
        constraints = [models.UniqueConstraint(fields=["case", "path"], name="manifest_path_once")]

    def __str__(self) -> str:
        return f"entry {self.pk}"

    @property
    def name(self) -> str:
        """The path as text."""
        return bytes(self.path).decode()
