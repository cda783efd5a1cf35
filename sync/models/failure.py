"""Files that a job could not bring."""

from __future__ import annotations

import hashlib
from typing import Self

from django.db import models

from sync.models.job import Job, Phase

MAX_PATH_BYTES = 2000
"""What is told of a path: PostgreSQL indexes 2,704 bytes, and a path that cannot be synced may have any number."""


def told_path(path: str) -> str:
    """The path, or where it is too long for an index, its beginning and a hash of all of it."""
    known = path.encode()
    if len(known) <= MAX_PATH_BYTES:
        return path
    return f"{known[:MAX_PATH_BYTES].decode(errors='ignore')}…{hashlib.sha256(known).hexdigest()[:16]}"


class FailureQuerySet(models.QuerySet["Failure"]):
    """The ways to find failures."""

    def about(self, job: Job, path: str) -> Self:
        """That of this path in what the job is at, if it failed there."""
        return self.filter(job=job, phase=job.phase, path=told_path(path))


class Failure(models.Model):
    """A path that is not as it should be after a job, and why."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="failures")
    path = models.TextField()
    phase = models.CharField(max_length=8, choices=Phase, default=Phase.SYNCING, help_text="What the job was at.")
    code = models.CharField(max_length=40)
    reason = models.TextField()

    objects = FailureQuerySet.as_manager()

    class Meta:
        """In the order in which they came."""

        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["job", "path"], name="sync_failure_once")]

    def __str__(self) -> str:
        return f"failure {self.pk} of {self.job_id}"

    @classmethod
    def of(cls, job: Job, path: str, code: str, reason: str) -> Failure:
        """What is to be told of this path, not yet in the database."""
        return cls(job=job, phase=job.phase, path=told_path(path), code=code, reason=reason)
