"""Telling where work stands once it has been written down."""

from __future__ import annotations

from transfers import progress
from transfers.models import Download, ListJob


def tell_state(download: Download) -> None:
    """Tell what its row says now; the object that stands for a worker's claim is left as it is."""
    progress.publish(progress.download_state(Download.objects.get(pk=download.pk)))


def tell_list_job(job: ListJob) -> None:
    """Tell what the job's row says now."""
    progress.publish(progress.list_job_state(ListJob.objects.get(pk=job.pk)))
