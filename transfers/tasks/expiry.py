"""Removing zips whose time is over; what was ordered stays known."""

from __future__ import annotations

from functools import partial

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from transfers.doorbell import ring
from transfers.models import ListJob, StoredFile
from transfers.models.list_job import ListJobState
from transfers.tasks.events import tell_list_job
from transfers.tasks.removal import remove_file


def expire_zips(limit: int) -> None:
    """Remove zips, up to `limit`, that have been here for as long as they are kept."""
    due = ListJob.objects.filter(state=ListJobState.COMPLETED, expires_at__lte=Now())
    for job in list(due[:limit]):
        with transaction.atomic():
            # The file first, as whoever deletes it does: two who lock two rows do so in the same order.
            fenced = {"lease_epoch": F("lease_epoch") + 1, "lease_expires_at": None, "lease_owner": ""}
            if job.stored_file_id is not None:
                StoredFile.objects.kept().filter(pk=job.stored_file_id).update(deleted_at=Now(), **fenced)
                transaction.on_commit(partial(ring, remove_file, job.stored_file_id))
            ListJob.objects.filter(pk=job.pk).expire()
        tell_list_job(job)
