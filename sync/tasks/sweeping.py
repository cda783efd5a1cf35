"""Removing what unfinished work has left, once nobody is likely to go on with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from celery import shared_task
from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now

from sync import places
from sync.models import Case
from transfers import running
from transfers.errors import CarryonError

if TYPE_CHECKING:
    from transfers.engine.tree.base import Tree

log = structlog.get_logger(__name__)

AT_ONCE = 100
"""Cases looked at in one go: each costs a store a request."""
AGAIN_AFTER = timedelta(hours=6)
"""When a case is tried again that could not be swept up after: a store may be away for long, or its region for ever."""


@shared_task(name="sync.sweep")
@running.one_at_a_time
def sweep() -> None:
    """Sweep up after cases whose last job ended long ago: half of a file that nobody asked for again."""
    age = timedelta(days=settings.ENVIRONMENT.upload_expiry_days)
    longest_put_off = F("sweep_due_at").asc(nulls_first=True)
    for case in Case.objects.with_remains(age).order_by(longest_put_off, "pk")[:AT_ONCE]:
        # Put off first, so that whatever fails is not tried in every round. Two who sweep at once do no harm.
        if Case.objects.with_remains(age).filter(pk=case.pk).update(sweep_due_at=Now() + AGAIN_AFTER):
            _sweep(case, age)


def _sweep(case: Case, age: timedelta) -> None:
    """Sweep up after a case, on either side though the other one fails."""
    here, there = _swept(case, places.local_trees, age), _swept(case, places.cloud_trees, age)
    if here and there:
        Case.objects.filter(pk=case.pk).update(swept_at=Now(), sweep_due_at=None)


def _swept(case: Case, trees_of: Callable[[Case], Iterable[Tree]], age: timedelta) -> bool:
    try:
        for tree in trees_of(case):
            tree.sweep(age.total_seconds())
    except CarryonError as error:
        log.warning("could not sweep up after a case", case=case.pk, code=error.code)
        return False
    return True
