"""Adding many files to a download list: one statement, whole or not at all."""

from __future__ import annotations

from contextlib import suppress

import structlog
from celery import shared_task
from django.db import DatabaseError, transaction
from django.db.models.functions import Coalesce, Now

from transfers import leases, running, tally
from transfers.errors import CarryonError, TransferError
from transfers.models import ListJob
from transfers.models.list_job import ListJobDesired, ListJobKind
from transfers.models.selection import Selection
from transfers.tasks.events import tell_list_job
from transfers.tasks.lists import insert, locked

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 5


@shared_task(name="transfers.add_to_list")
def add_to_list(job_id: str) -> None:
    """Put on the list what the job asks for, unless somebody else does or nobody wants it any more."""
    if running.draining():
        return
    job = ListJob.objects.filter(kind=ListJobKind.ADD).claim(job_id, leases.new_owner())
    if job is None:
        return
    try:
        files = Selection.from_json(job.request).files(job.user)
        job.mark_progress(files_total=files.count(), started_at=Coalesce("started_at", Now()))
        tell_list_job(job)
        _add(job)
    except CarryonError as error:
        _fail(job, error)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not come again every few seconds for ever
        _put_off(job, error)
    tell_list_job(job)


def _put_off(job: ListJob, error: Exception) -> None:
    """Have it tried again, a few times; where the database is away the lease runs out, and the reaper rings."""
    log.warning("files not added", job=str(job.pk), exc_info=error)
    attempts = job.fruitless_attempts + 1
    with suppress(DatabaseError):
        if attempts < MAX_ATTEMPTS:
            if job.hand_back(delay_seconds=2.0**attempts, fruitless_attempts=attempts):
                tally.add("retries", kind="list", code=TransferError.code)
        else:
            _fail(job, TransferError("Something unexpected went wrong; it has been logged."))


def _fail(job: ListJob, error: CarryonError) -> None:
    if job.mark_failed(error.code, error.message):
        tally.add("failures", kind="list", code=error.code)


def _add(job: ListJob) -> None:
    """Add the files and end the job, in one transaction: whoever takes the job over meanwhile undoes all of it."""
    with transaction.atomic():
        if ListJob.objects.filter(pk=job.pk, desired=ListJobDesired.STOP).exists():
            job.mark_stopped()
            return
        download_list = locked(job.user_id)
        job.mark_progress()  # which locks the row: whoever would claim it meanwhile waits until all of this is done
        added = insert(download_list, Selection.from_json(job.request).files(job.user))
        if not job.mark_completed(files_done=added):
            transaction.set_rollback(True)
