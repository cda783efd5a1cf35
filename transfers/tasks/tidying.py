"""Removing what making a zip has left besides the zip: after its end, whichever it was."""

from __future__ import annotations

import uuid

import structlog
from celery import shared_task

from transfers import storage
from transfers.errors import TransferError
from transfers.models import ListJob, StoredFile
from transfers.tasks.archives import deflated_location

log = structlog.get_logger(__name__)


@shared_task(name="transfers.tidy_zip")
def tidy_zip(job_id: str) -> None:
    """Remove what an ended job has left; there is no harm in two doing so at once."""
    tidy(job_id)


def tidy(job_id: uuid.UUID | str) -> None:
    """Remove what the job has left, if it has ended; where it cannot be done now, the sweeper has it done later.

    Nobody else uses these places: an order that is started again has a job, and with it places, of its own. Where there
    is a stored file, it was finished, so that nothing lies beside it.
    """
    job = ListJob.objects.untidy().filter(pk=job_id).first()
    if job is None:
        return
    try:
        _remove_pieces(job)
        if not StoredFile.objects.filter(path=job.location).exists():
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
