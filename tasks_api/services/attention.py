"""Which tasks need somebody: downloads that wait for a private block, and tasks that nobody reports on any more."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from tasks_api.models import DownloadTask, PrivateUpload, PublicUpload, Status, Task
from tasks_api.models.download import is_granted

_NEEDS_PRIVATE = Q(waiting_since__isnull=False)
WAITING = _NEEDS_PRIVATE & ~Q(source__private_upload__status=Status.COMPLETED) & is_granted()
"""The downloads that have the public block, and cannot go on before the source's owner uploads the private one."""

_AT_WORK: dict[type[Task], Q] = {
    PublicUpload: ~Q(status__in=(Status.COMPLETED, Status.FAILED)),
    # One that has not begun waits for a person, who may take days.
    PrivateUpload: Q(status=Status.UPLOADING),
    DownloadTask: ~Q(status__in=(Status.COMPLETED, Status.FAILED)) & is_granted() & ~WAITING,
}


def stuck(kind: type[Task], *, minutes: int) -> Q:
    """The tasks of the kind whose clients should have told something new for so long, and have not."""
    since = Now() - timedelta(minutes=minutes)
    silent = _AT_WORK[kind] & Q(updated_at__lt=since)
    if kind is DownloadTask:  # what it waited for may have come only now
        return silent & ~(_NEEDS_PRIVATE & Q(source__private_upload__updated_at__gte=since))
    return silent
