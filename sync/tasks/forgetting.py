"""Forgetting jobs that ended long ago, with their failures and plans; what a case is like stands in its manifest."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings
from django.db.models import Exists, OuterRef

from sync.models import Job
from sync.models.job import LIVE
from transfers.history import before, forget


@shared_task(name="sync.forget")
def forget_history() -> None:
    """Forget what has ended for longer than it is to be remembered, but each case's last job; 0 days is for ever."""
    if days := settings.ENVIRONMENT.sync_history_days:
        later = Exists(Job.objects.filter(case=OuterRef("case"), requested_at__gt=OuterRef("requested_at")))
        ended = Job.objects.exclude(state__in=LIVE)
        forget(ended.filter(later, **before("ended_at", days)), "sync jobs")
