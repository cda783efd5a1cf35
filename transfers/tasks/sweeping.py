"""What beat has workers do now and then: nothing stays that nobody needs any more."""

from __future__ import annotations

import uuid
from collections.abc import Collection as Numbers
from datetime import timedelta

import structlog
from celery import shared_task
from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

from transfers import running, storage
from transfers.doorbell import ring
from transfers.errors import SinkError
from transfers.models import ListJob, StoredFile, Upload
from transfers.models.upload import UploadState
from transfers.tasks.tidying import tidy_zip
from transfers.tasks.upload import remove_upload

log = structlog.get_logger(__name__)

MAX_EXPIRED = 1000
"""Uploads that expire at once; the rest waits for the next look."""
ORPHAN_AGE_SECONDS = 3600.0
"""How long parts without an upload are left alone: what has just begun may not have its row yet."""


@shared_task(name="transfers.sweep")
@running.one_at_a_time
def sweep() -> None:
    """End uploads that were left lying, and remove what ended ones, and ended zips, have left."""
    age = timedelta(days=settings.ENVIRONMENT.upload_expiry_days)
    for upload in Upload.objects.filter(state=UploadState.OPEN).untouched_for(age)[:MAX_EXPIRED]:
        if upload.mark_removing(Q(touched_at__lt=Now() - age)):
            ring(remove_upload, upload.pk)
    Upload.objects.outlived().untouched_for(age).delete()
    for pk in ListJob.objects.untidy().values_list("pk", flat=True)[:MAX_EXPIRED]:
        ring(tidy_zip, pk)
    for place in storage.all_used():
        if running.draining():
            return
        try:
            if orphans := place.sweep(_alive, ORPHAN_AGE_SECONDS):
                log.info("orphans removed", uploads=orphans)
            if orphans := place.sweep_made(_known, ORPHAN_AGE_SECONDS):
                log.info("orphans removed", made=orphans)
        except SinkError as error:
            log.warning("storage not swept", code=error.code, error=error.message)


def _known(locations: Numbers[str]) -> set[str]:
    """Which of these are zips, or pieces of zips, whose jobs have not been tidied; a fenced worker may leave others."""
    jobs = {location: _job_of(location) for location in locations}
    named = [job for job in jobs.values() if job is not None]
    untidied = set(ListJob.objects.exclude(location="").filter(pk__in=named).values_list("pk", flat=True))
    zips = set(StoredFile.objects.filter(path__in=list(locations)).values_list("path", flat=True))
    return {location for location, job in jobs.items() if job in untidied or location in zips}


def _job_of(location: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(location.rpartition("/")[2].partition(".")[0])
    except ValueError:
        return None


def _alive(numbers: Numbers[int]) -> set[int]:
    """Which of these uploads may still need their parts."""
    alive = Upload.objects.exclude(state=UploadState.COMPLETED)
    return set(alive.filter(pk__in=list(numbers)).values_list("pk", flat=True))
