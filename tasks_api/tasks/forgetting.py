"""Forgetting downloads that ended long ago; uploads are kept, for they are what downloads are made with."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import shared_task
from django.conf import settings
from django.db import transaction

from tasks_api import polls
from tasks_api.models.download import ENDED, DownloadTask
from transfers.history import before, forget


@shared_task(name="tasks_api.forget")
def forget_history() -> None:
    """Forget downloads of which nothing new was told for longer than they are to be remembered; 0 days is for ever."""
    if days := settings.ENVIRONMENT.task_history_days:
        ended = DownloadTask.objects.filter(status__in=ENDED)
        forget(ended.filter(**before("shown_at", days)), "download tasks", _tell)


def _tell(keys: list[Any]) -> None:
    """Let the polls of whoever sees them find that they are gone."""
    owners = DownloadTask.objects.filter(pk__in=keys).values_list("user_id", flat=True).distinct()
    transaction.on_commit(partial(polls.changed, polls.topics_of(owners)))
