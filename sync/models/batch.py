"""Batches: what one worker takes of a job at once."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q

from sync.models.job import Job
from transfers import leases


class BatchQuerySet(models.QuerySet["Batch"]):
    """The ways to find batches, and to take one."""

    def waiting(self) -> Self:
        """Those that are to be done and that nobody is at."""
        return self.filter(leases.free(), is_done=False)

    def parts_before(self, finishing: Batch) -> list[str]:
        """The MD5s of all parts of the large file that this batch is to finish; nothing unless all runs have theirs."""
        md5s: list[str] = []
        runs = self.filter(job=finishing.job, number__lt=finishing.number, is_done=True).order_by("-number")
        for first, last, told in runs.values_list("first_part", "last_part", "part_md5s").iterator():
            if first is None or last is None or len(told) != last - first + 1:
                return []
            md5s = told + md5s
            if first == 1:
                return md5s
        return []

    def take(self, job: Job, stage: int, owner: str) -> Batch | None:
        """The first batch of the job's stage that nobody has, as the owner's; None when there is none.

        Nor is there one for who helped with a phase that is over, for it has other trees at hand, or who knows another
        holder of the job, for its heartbeats would fail.
        """
        # No join: the claim has to look at the batch's own row once more when it had to wait for it.
        as_known = Job.objects.filter(pk=job.pk, phase=job.phase, lease_epoch=job.lease_epoch)
        rows = self.waiting().filter(job__in=as_known, stage=stage)
        for pk in rows.order_by("number").values_list("pk", flat=True)[:TRIED]:
            if (batch := leases.claim(rows, pk, owner)) is not None:
                return batch
        return None


TRIED = 20
"""Batches that are tried when others take them at the same time."""


class Batch(leases.LeasedRow):
    """Some actions of a job's plan, or a run of parts of one large file."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="batches")
    stage = models.PositiveSmallIntegerField(help_text="All of one stage is done before the next one.")
    number = models.PositiveIntegerField(help_text="The order of work within the job.")
    actions = models.JSONField(help_text="As the plan made them.")
    first_part = models.PositiveIntegerField(null=True, help_text="Of a large file: the first of the parts to bring.")
    last_part = models.PositiveIntegerField(null=True)
    part_md5s = models.JSONField(
        default=list, help_text="What the parts that were brought have; empty text of those that nobody has read whole."
    )
    current_files = models.JSONField(default=list)
    is_done = models.BooleanField(default=False)
    files_done = models.PositiveIntegerField(default=0)
    bytes_done = models.PositiveBigIntegerField(default=0, help_text="Of files that are whole, or of these parts.")
    bytes_moving = models.PositiveBigIntegerField(default=0, help_text="Of files that are on their way.")

    objects = BatchQuerySet.as_manager()

    class Meta:
        """In the order of work."""

        ordering = ["job", "number"]
        verbose_name_plural = "batches"
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="sync_batch_numbered")]
        indexes = [models.Index(fields=["job", "stage", "number"], condition=Q(is_done=False), name="sync_batch_open")]

    def __str__(self) -> str:
        return f"batch {self.number} of {self.job_id}"
