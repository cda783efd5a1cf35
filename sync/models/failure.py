"""Files that a job could not bring."""

from __future__ import annotations

from django.db import models

from sync.models.job import Job


class Failure(models.Model):
    """A path that is not as it should be after a job, and why."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="failures")
    path = models.TextField()
    code = models.CharField(max_length=40)
    reason = models.TextField()

    class Meta:
        """In the order in which they came."""

        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["job", "path"], name="sync_failure_once")]

    def __str__(self) -> str:
        return f"failure {self.pk} of {self.job_id}"
