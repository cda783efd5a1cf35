"""Removing what making a zip has left besides the zip: after its end, whichever it was."""

from __future__ import annotations

import structlog
from celery import shared_task

from transfers import storage
from transfers.errors import TransferError
from transfers.models import ListJob, StoredFile
from transfers.models.list_job import ListJobState
from transfers.tasks.archives import deflated_location

log = structlog.get_logger(__name__)


@shared_task(name="transfers.tidy_zip")
def tidy_zip(job_id: str) -> None:
    """Remove what an ended job has left; there is no harm in two doing so at once."""
    job = ListJob.objects.untidy().filter(pk=job_id).first()
    if job is not None:
        tidy(job)


def tidy(job: ListJob) -> None:
    """Remove what the ended job has left, and note that; where it cannot be done now, the sweeper has it done later.

    Nobody else uses these places: an order that is started again has a job, and with it places, of its own.
    """
    try:
        _remove_pieces(job)
        if not _has_zip(job):
            _remove(job.location)
    except TransferError as error:
        log.warning("job not tidied", job=str(job.pk), code=error.code, error=error.message)
        return
    ListJob.objects.untidy().filter(pk=job.pk).update(location="")


def _remove_pieces(job: ListJob) -> None:
    if job.order is None:
        return
    for item in job.order.items.filter(is_deflated=True):
        _remove(deflated_location(job, item))


def _remove(location: str) -> None:
    place = storage.of(location)
    with place.sink(location, generation="") as sink:
        sink.abort()
    place.delete(location)


def _has_zip(job: ListJob) -> bool:
    """Whether there is a zip that was finished: then nothing lies beside it, and it goes like any stored file."""
    is_made = job.state in (ListJobState.COMPLETED, ListJobState.EXPIRED)
    return is_made and StoredFile.objects.filter(path=job.location).exists()
