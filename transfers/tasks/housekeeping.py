"""What beat has done every few seconds: nothing that was begun stays without a worker."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from transfers import leases, progress
from transfers.models import Download, DownloadPart
from transfers.models.download import Desired
from transfers.tasks.doorbell import ring
from transfers.tasks.download import fetch_download

MAX_RINGS = 200
"""Doorbells rung at once; the rest waits for the next look, when these are taken up or expired."""


@shared_task(name="transfers.reap")
def reap() -> None:
    """Ring again for work that nobody holds: its message was lost, its worker died, or its pause is over."""
    leases.take_from_the_dead(Download.objects.live())
    leases.take_from_the_dead(DownloadPart.objects.filter(done=False))
    for download in list(Download.objects.due().filter(desired=Desired.STOP)[:MAX_RINGS]):
        if Download.objects.filter(pk=download.pk).stop_unclaimed():
            download.refresh_from_db()
            progress.publish(progress.download_state(download))
    due = Download.objects.due().filter(desired=Desired.RUN).order_by("next_attempt_at")
    for pk in due.values_list("pk", flat=True)[:MAX_RINGS]:
        ring(fetch_download, pk, expires_seconds=settings.ENVIRONMENT.reap_seconds * 2)
