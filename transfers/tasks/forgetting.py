"""What beat has forgotten now and then: rows of ended work, for as long as the settings say; never a file's bytes."""

from __future__ import annotations

import math
import os
import time
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.db.models import Exists, Min, OuterRef, Q
from django.db.models.functions import Now

from transfers import history, running
from transfers.engine.local import PART_SUFFIX
from transfers.history import before, forget
from transfers.models import Download, ListJob, Order, StoredFile, Upload
from transfers.models.download import ENDED, DownloadState
from transfers.models.list_job import ENDED as ENDED_JOBS
from transfers.models.list_job import ListJobKind
from transfers.models.upload import UploadState

PLACES_AT_ONCE = 20_000
"""Downloads whose places are looked at in one go."""
DRAFT_AGE = timedelta(hours=1)
"""How long a draft of an order is left alone: whoever writes it may still be at it."""


@shared_task(name="transfers.forget")
def forget_history() -> None:
    """Forget what has ended for longer than it is to be remembered; 0 days is for ever."""
    environment = settings.ENVIRONMENT
    if days := environment.download_history_days:
        _forget_downloads(days)
    if days := environment.upload_history_days:
        ended = Upload.objects.filter(state=UploadState.COMPLETED)
        forget(ended.filter(**before("touched_at", days)), "uploads")
    if days := environment.order_history_days:
        # One with a zip that is there, or of which something may still lie about, is not over.
        needed = ~Q(state__in=ENDED_JOBS) | Q(stored_file__isnull=False) | ~Q(location="")
        at_work = Exists(ListJob.objects.filter(needed, order=OuterRef("pk")))
        over = Order.objects.filter(~at_work, **before("created_at", days))
        forget(over, "orders", how=lambda rows: rows.update(files_count=0))
    _forget_drafts()
    if days := environment.list_job_history_days:
        added = ListJob.objects.filter(kind=ListJobKind.ADD, state__in=ENDED_JOBS)
        forget(added.filter(**before("ended_at", days)), "list jobs")


def drop(draft: Order, deadline: float = math.inf) -> None:
    """Delete a draft of an order, its items some at a time; by the (monotonic) deadline the rest is left."""
    while (first := draft.items.aggregate(first=Min("number"))["first"]) is not None:
        if time.monotonic() > deadline or running.draining():
            return
        draft.items.filter(number__lt=first + history.AT_ONCE).delete()
    draft.delete()


def _forget_drafts() -> None:
    """Those that whoever wrote them left lying, and those that were orders once."""
    deadline = time.monotonic() + history.SECONDS
    for draft in Order.drafts.filter(created_at__lt=Now() - DRAFT_AGE)[: history.AT_ONCE]:
        drop(draft, deadline)


def _forget_downloads(days: float) -> None:
    """Those of which nothing is here: a file's row is what finds it unchanged, and a part's what goes on from it."""
    kept = Exists(StoredFile.objects.kept().filter(Q(pk=OuterRef("stored_file")) | Q(path=OuterRef("save_path"))))
    nothing = Q(bytes_done=0) | Q(state=DownloadState.COMPLETED)
    ended = Download.objects.filter(~kept, nothing, state__in=ENDED, **before("ended_at", days))
    places = ended.order_by("ended_at").values_list("pk", "save_path")[:PLACES_AT_ONCE]
    gone = [pk for pk, place in places if not os.path.lexists(f"{place}{PART_SUFFIX}")]
    forget(ended.filter(pk__in=gone), "downloads")
