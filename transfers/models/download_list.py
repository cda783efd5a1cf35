"""Download lists: the files that a user has picked so far."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class DownloadList(models.Model):
    """What a user has picked, added up: the totals are kept with every change and never counted anew.

    Whoever changes the list locks this row first, so that its items and its totals always agree.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, primary_key=True, related_name="download_list"
    )
    files_count = models.PositiveBigIntegerField(default=0)
    total_bytes = models.PositiveBigIntegerField(default=0)
    revision = models.PositiveBigIntegerField(default=0, editable=False, help_text="Grows with each change.")
    updated_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Most recently changed first."""

        ordering = ["-updated_at"]

    def __str__(self) -> str:
        return f"{self.files_count} files"

    @property
    def etag(self) -> str:
        """What no other state of this list has."""
        return f"{self.pk:x}-{self.revision:x}"


class ListItem(models.Model):
    """A file on a list. The file may be gone: that is told when it is ordered, not by its absence here."""

    download_list = models.ForeignKey(DownloadList, on_delete=models.CASCADE, related_name="items")
    file_id = models.BigIntegerField(help_text="Of the stored file.")
    size = models.PositiveBigIntegerField(help_text="Bytes, as the totals count them.")

    class Meta:
        """In the order in which they were added."""

        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["download_list", "file_id"], name="list_item_once"),
        ]
        indexes = [models.Index(fields=["download_list", "id"])]

    def __str__(self) -> str:
        return f"file {self.file_id}"
