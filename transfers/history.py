"""Forgetting rows whose time is over: some at a time, never one that changes meanwhile, and as often as it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog
from django.db import models, transaction
from django.db.models.functions import Now

from transfers import running

log = structlog.get_logger(__name__)

AT_ONCE = 500
"""Rows that one transaction deletes: it must not keep others waiting, least of all on SQLite."""
SECONDS = 2.0
"""How long one look may take: the reaper waits for the same thread. The rest is left to the next look."""


def before(column: str, days: float) -> dict[str, Any]:
    """The condition that the column's time lies so many days back, by the database's clock."""
    return {f"{column}__lt": Now() - timedelta(days=days)}


def forget(
    rows: models.QuerySet[Any],
    what: str,
    after: Callable[[list[Any]], object] | None = None,
    how: Callable[[models.QuerySet[Any]], object] = models.QuerySet.delete,
) -> int:
    """Delete these rows with what hangs on them, and tell how many; `after` hears of the keys, within the transaction.

    Rows on which very much hangs go another way: `how` takes them out of everybody's sight.

    The rows are locked, without those that somebody else has locked, and then looked at again: what was hung on one
    meanwhile shows, and nothing more can be. So one that is taken up again is either left alone or was gone before.
    """
    deadline, total, full = time.monotonic() + SECONDS, 0, True
    while full and time.monotonic() < deadline and not running.draining():
        with transaction.atomic():
            chosen = rows.order_by("pk").select_for_update(skip_locked=True)
            locked = list(chosen.values_list("pk", flat=True)[:AT_ONCE])
            keys = list(rows.filter(pk__in=locked).values_list("pk", flat=True))
            if keys and after:
                after(keys)
            how(rows.model._default_manager.filter(pk__in=keys))
        total += len(keys)
        full = len(locked) == AT_ONCE
    if total:
        log.info("forgotten", what=what, rows=total)
    return total
