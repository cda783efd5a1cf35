"""What listeners are told while a job runs."""

from __future__ import annotations

from sync import progress
from sync.models import Job
from transfers.progress import publish


def tell_state(job: Job) -> None:
    """Tell where the job stands, as its row has it."""
    publish(progress.job_state(Job.objects.select_related("case").get(pk=job.pk)))
