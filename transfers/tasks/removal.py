"""Removing what was deleted: first the bytes, then the row; whoever dies in between leaves it to the next."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import ExitStack
from datetime import timedelta
from io import FileIO

import structlog
from celery import shared_task
from django.db.models import Q
from django.db.models.functions import Now

from transfers import leases, running, storage
from transfers.doorbell import ring
from transfers.engine.local.disk import sink_errors
from transfers.errors import SinkError
from transfers.models import Download, StoredFile

log = structlog.get_logger(__name__)

_SOMETHING_ELSE = (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO)
"""What is told of a folder, a link or a socket in a file's place."""


@shared_task(name="transfers.remove_file")
def remove_file(stored_file_id: str) -> None:
    """Remove a deleted file; where that cannot be done now, its lease runs out, and the reaper rings again."""
    if running.draining():
        return
    stored = leases.claim(StoredFile.objects.deleted(), stored_file_id, leases.new_owner())
    if stored is None:
        return
    if Download.objects.live().filter(save_path=stored.path).exists():  # it may be about to put its file there
        return
    try:
        removed = _remove_bytes(stored)
    except SinkError as error:
        log.warning("deleted file not removed", file=stored.pk, error=error.message)
        return
    if removed:
        StoredFile.objects.deleted().filter(pk=stored.pk).delete()


def ring_for_deleted(age: timedelta, limit: int) -> None:
    """Ring again for files, up to `limit`, that were deleted this long ago, or that whoever removed them has left."""
    leases.take_from_the_dead(StoredFile.objects.deleted())
    left = StoredFile.objects.deleted().filter(leases.free())
    due = left.filter(Q(lease_expires_at__isnull=False) | Q(deleted_at__lte=Now() - age))
    for pk in due.values_list("pk", flat=True)[:limit]:
        ring(remove_file, pk)


def _remove_bytes(stored: StoredFile) -> bool:
    """Remove them, unless something else is in their place; False while another process is at it."""
    place = storage.of(stored.path)
    path = place.path(stored.path)
    if path is None:  # such a place has no name twice
        place.delete(stored.path)
        return True
    with sink_errors(path.parent), ExitStack() as closing:
        try:
            file = closing.enter_context(FileIO(path, opener=_without_following))
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno in _SOMETHING_ELSE:
                return True
            raise
        if not _lock(file):
            return False
        if stored.untouched() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            place.delete(stored.path)
    return True


def _without_following(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _lock(file: FileIO) -> bool:
    """Whether nobody else is removing it: a lease that ran out does not wake who was paused between look and act."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        log.info("no locks on this file system; the lease has to do")
    return True
