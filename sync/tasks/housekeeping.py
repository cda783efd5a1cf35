"""What beat has done every few seconds: no job that was begun stays without a worker."""

from __future__ import annotations

from celery import shared_task

from sync.models import Batch, Job
from sync.models.job import Desired
from sync.tasks.events import tell_state
from sync.tasks.job import sync_case
from transfers import leases
from transfers.doorbell import ring

MAX_RINGS = 50


@shared_task(name="sync.reap")
def reap() -> None:
    """Ring again for jobs that nobody holds, and end those that are to stop."""
    live = Job.objects.live()
    leases.take_from_the_dead(live)
    leases.take_from_the_dead(Batch.objects.filter(is_done=False, job__in=live))
    for job in list(live.filter(leases.free(), desired=Desired.STOP)[:MAX_RINGS]):
        if Job.objects.filter(pk=job.pk).stop_unclaimed():
            tell_state(job)
    for pk in Job.objects.due().order_by("next_attempt_at").values_list("pk", flat=True)[:MAX_RINGS]:
        ring(sync_case, pk)
