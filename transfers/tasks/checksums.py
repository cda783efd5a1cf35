"""Taking the checksums of files that are here already: behind a fast download, or after a crash."""

from __future__ import annotations

from typing import Any

import structlog
from celery import shared_task
from django.conf import settings

from transfers import leases, running, storage
from transfers.engine.checksums import FileHasher, Hasher, SourceHasher
from transfers.errors import (
    Interruption,
    SourceBusyError,
    SourceInterruptedError,
    SourceUnreachableError,
    TransferError,
)
from transfers.models import StoredFile

log = structlog.get_logger(__name__)

AWAY = (SourceBusyError, SourceInterruptedError, SourceUnreachableError)
"""What passes: the storage is not to be had right now."""


@shared_task(name="transfers.take_checksums")
def take_checksums(stored_file_id: str) -> None:
    """Take a stored file's checksums from its start, if it has none and nobody else is at it."""
    stored = StoredFile.objects.filter(pk=stored_file_id).first()
    if stored is None or running.draining():
        return
    place = storage.of(stored.path)
    path = place.path(stored.path)
    try:
        if path is None:
            finish_checksums(stored.pk, SourceHasher(place.source(stored.path)))
            return
        with path.open("rb") as file:
            finish_checksums(stored.pk, FileHasher(file.fileno))
    except OSError as error:
        StoredFile.objects.unhashed().filter(pk=stored.pk).update(checksum_error=f"cannot be read: {error.strerror}")


def finish_checksums(pk: int, hasher: Hasher) -> None:
    """Let the hasher, which may be well ahead, come to the end of the stored file, and keep what it found."""
    stored = leases.claim(StoredFile.objects.unhashed(), pk, leases.new_owner())
    if stored is None:
        return
    work = _Hashing(hasher)
    beat = leases.Heartbeat(lambda: leases.renew(stored), hasher.cancel, settings.ENVIRONMENT.heartbeat_seconds)
    with running.working_on(("checksums", pk), work), beat:
        leases.release(stored, **_found(stored, hasher))


def _found(stored: StoredFile, hasher: Hasher) -> dict[str, Any]:
    """What becomes of the row: its checksums and whether they agree with what was promised, or why it has none."""
    try:
        checksums = hasher.finish(stored.size)
    except AWAY as error:
        log.info("checksums put off", code=error.code)  # the reaper rings again
        return {}
    except TransferError as error:
        return {"checksum_error": error.message[:255]}
    if checksums is None:
        return {}
    if storage.of(stored.path).path(stored.path) is not None and not stored.untouched():
        return {"checksum_error": "the file was changed after it was stored"}
    found: dict[str, Any] = {"md5": checksums.md5, "sha256": checksums.sha256, "crc32": checksums.crc32}
    if stored.promised_md5:
        found["verified"] = checksums.md5 == stored.promised_md5
    return found


class _Hashing:
    def __init__(self, hasher: Hasher) -> None:
        self._hasher = hasher

    def interrupt(self, reason: Interruption) -> None:
        """End; whoever comes next begins anew."""
        log.info("checksums put off", reason=reason)
        self._hasher.cancel()
