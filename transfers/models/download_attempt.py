"""What was tried, and how it ended."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from transfers.models.download import Download


class AttemptOutcome(models.TextChoices):
    """How an attempt at a download ended."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    HANDED_BACK = "handed back"
    LOST = "lost", "worker lost"


class DownloadAttempt(models.Model):
    """One try at a download, from its claim to its end, with what ended it."""

    download = models.ForeignKey(Download, on_delete=models.CASCADE, related_name="attempts")
    epoch = models.PositiveBigIntegerField()
    worker = models.CharField(max_length=120)
    began_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)
    start_offset = models.PositiveBigIntegerField(default=0, help_text="Bytes that were here when it began.")
    bytes_fetched = models.PositiveBigIntegerField(default=0)
    outcome = models.CharField(max_length=12, choices=AttemptOutcome, default=AttemptOutcome.RUNNING)
    error_code = models.CharField(max_length=40, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        """In the order they were made."""

        ordering = ["id"]

    def __str__(self) -> str:
        return f"attempt {self.pk}: {self.outcome}"
