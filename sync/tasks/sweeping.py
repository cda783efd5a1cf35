"""Removing what unfinished work has left, once nobody is likely to go on with it."""

from __future__ import annotations

from datetime import timedelta

import structlog
from celery import shared_task
from django.conf import settings
from django.db.models.functions import Now

from sync import places
from sync.models import Case
from transfers import running
from transfers.errors import CarryonError

log = structlog.get_logger(__name__)

AT_ONCE = 100
"""Cases looked at in one go: each costs a store a request."""


@shared_task(name="sync.sweep")
@running.one_at_a_time
def sweep() -> None:
    """Sweep up after cases whose last job ended long ago: half of a file that nobody asked for again."""
    age = timedelta(days=settings.ENVIRONMENT.upload_expiry_days)
    for case in Case.objects.with_remains(age).order_by("pk")[:AT_ONCE]:
        Case.objects.filter(pk=case.pk).update(swept_at=Now())
        try:
            for tree in (places.local_tree(case), places.cloud_tree(case)):
                tree.sweep(age.total_seconds())
        except CarryonError as error:  # the next job's end brings another chance
            log.warning("could not sweep up after a case", case=case.pk, code=error.code)
