"""Parts of large downloads, which several workers fetch."""

from __future__ import annotations

from django.db import models

from transfers import leases
from transfers.models.download import Download


class DownloadPart(leases.LeasedRow):
    """A part of a download that several connections, and workers, fetch at once; leased one by one.

    These rows say who fetches what; what is stored is asked of the file's journal when work on it begins.
    """

    download = models.ForeignKey(Download, on_delete=models.CASCADE, related_name="parts")
    generation = models.CharField(max_length=255)
    number = models.PositiveIntegerField()
    stored = models.PositiveBigIntegerField(default=0, help_text="Bytes from the part's start, as last heard.")
    done = models.BooleanField(default=False)

    class Meta:
        """In the file's order."""

        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["download", "number"], name="download_part_once")]
        indexes = [models.Index(fields=["download", "done", "number"])]

    def __str__(self) -> str:
        return f"part {self.number}"
