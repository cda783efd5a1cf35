"""What beat has done every few seconds: nothing that was begun stays without a worker."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.db.models import Q
from django.db.models.functions import Now

from transfers import leases
from transfers.doorbell import CHECKSUMS, LISTS, TRANSFERS, ring, waiting
from transfers.models import Download, DownloadPart, ListJob, StoredFile, Upload
from transfers.models.download import Desired, DownloadState
from transfers.models.list_job import ListJobDesired, ListJobKind
from transfers.models.upload import UploadState
from transfers.tasks.adding import add_to_list
from transfers.tasks.checksums import take_checksums
from transfers.tasks.download import fetch_download
from transfers.tasks.events import tell_list_job, tell_state
from transfers.tasks.expiry import expire_zips
from transfers.tasks.removal import ring_for_deleted
from transfers.tasks.tidying import tidy_zip
from transfers.tasks.upload import complete_upload, remove_upload
from transfers.tasks.zipping import make_zip

MAX_RINGS = 200
"""Doorbells rung at once; the rest waits for the next look, when these are taken up."""
GRACE_SECONDS = 1.0
"""How long a doorbell may be on its way."""
LEFT_BEHIND = timedelta(seconds=10)
"""How long whoever completes or removes an upload may take before somebody else does it again beside them."""
PATIENCE_SECONDS = 60.0
"""How long work that nobody had yet may wait while the queue is not empty: its doorbell is likely among those."""


@shared_task(name="transfers.reap")
def reap() -> None:
    """Ring again for work that nobody holds: its message was lost, its worker died, or its pause is over."""
    _reap_list_jobs()
    _reap_checksums()
    leases.take_from_the_dead(Download.objects.live())
    leases.take_from_the_dead(DownloadPart.objects.filter(done=False))
    for download in list(Download.objects.live().filter(leases.free(), desired=Desired.STOP)[:MAX_RINGS]):
        if Download.objects.filter(pk=download.pk).stop_unclaimed():
            tell_state(download)
    age = _patience(TRANSFERS)
    due = Download.objects.due().filter(desired=Desired.RUN).order_by("next_attempt_at")
    orphans = due.filter(state=DownloadState.RUNNING)  # its worker is gone, and no doorbell is on its way
    for downloads in (orphans, due.filter(state=DownloadState.QUEUED, next_attempt_at__lte=Now() - age)):
        for pk in downloads.values_list("pk", flat=True)[:MAX_RINGS]:
            ring(fetch_download, pk)
    ring_for_deleted(age, MAX_RINGS)
    for state, task in ((UploadState.COMPLETING, complete_upload), (UploadState.REMOVING, remove_upload)):
        left_behind = Upload.objects.filter(state=state).untouched_for(LEFT_BEHIND)
        for upload_id in list(left_behind.values_list("pk", flat=True)[:MAX_RINGS]):
            Upload.objects.filter(pk=upload_id).update(touched_at=Now())  # so as not to ring for it every time
            ring(task, upload_id)


def _reap_list_jobs() -> None:
    """The same for jobs of lists and orders; zips whose time is over are removed."""
    live = ListJob.objects.live()
    leases.take_from_the_dead(live)
    for job in list(live.filter(leases.free(), desired=ListJobDesired.STOP)[:MAX_RINGS]):
        if ListJob.objects.filter(pk=job.pk).stop_unclaimed():
            tell_list_job(job)
            ring(tidy_zip, job.pk)
    # What was taken up before was handed back, or its worker is gone: no doorbell of its own is on its way.
    left = Q(lease_epoch__gt=0) | Q(next_attempt_at__lte=Now() - _patience(LISTS))
    due = ListJob.objects.due().filter(left).order_by("next_attempt_at")
    for pk, kind in due.values_list("pk", "kind")[:MAX_RINGS]:
        ring(make_zip if kind == ListJobKind.ZIP else add_to_list, pk)
    expire_zips(MAX_RINGS)


def _reap_checksums() -> None:
    """The same for files without checksums."""
    leases.take_from_the_dead(StoredFile.objects.unhashed())
    due = StoredFile.objects.unhashed().filter(leases.free())
    left = due.filter(Q(lease_expires_at__isnull=False) | Q(created_at__lte=Now() - _patience(CHECKSUMS)))
    for pk in left.order_by("id").values_list("pk", flat=True)[:MAX_RINGS]:
        ring(take_checksums, pk)


def _patience(queue: str) -> timedelta:
    """How long ago work must have come due for it to be likely that no doorbell of its own is on its way."""
    return timedelta(seconds=PATIENCE_SECONDS if waiting(queue) else GRACE_SECONDS)
