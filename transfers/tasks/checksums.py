"""Taking the checksums of files that are here already: behind a fast download, or after a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog
from celery import shared_task
from django.conf import settings

from transfers import leases
from transfers.engine.checksums import FileHasher
from transfers.errors import Interruption, SinkError
from transfers.models import StoredFile
from transfers.tasks import running

log = structlog.get_logger(__name__)


@shared_task(name="transfers.take_checksums")
def take_checksums(stored_file_id: str) -> None:
    """Take a stored file's checksums from its start, if it has none and nobody else is at it."""
    stored = StoredFile.objects.filter(pk=stored_file_id).first()
    if stored is None or running.draining():
        return
    try:
        with Path(stored.path).open("rb") as file:
            finish_checksums(stored.pk, FileHasher(file.fileno))
    except OSError as error:
        StoredFile.objects.unhashed().filter(pk=stored.pk).update(checksum_error=f"cannot be read: {error.strerror}")


def finish_checksums(pk: int, hasher: FileHasher) -> None:
    """Let the hasher, which may be well ahead, come to the end of the stored file, and keep what it found."""
    stored = leases.claim(StoredFile.objects.unhashed(), pk, leases.new_owner())
    if stored is None:
        return
    work = _Hashing(hasher)
    beat = leases.Heartbeat(lambda: leases.renew(stored), hasher.cancel, settings.ENVIRONMENT.heartbeat_seconds)
    with running.working_on(("checksums", pk), work), beat:
        found: dict[str, Any] = {}
        try:
            checksums = hasher.finish(stored.size)
        except SinkError as error:
            found = {"checksum_error": error.message}
        else:
            if checksums is not None and not stored.untouched():
                found = {"checksum_error": "the file was changed after it was stored"}
            elif checksums is not None:
                found = {"md5": checksums.md5, "sha256": checksums.sha256, "crc32": checksums.crc32}
        leases.release(stored, **found)


class _Hashing:
    def __init__(self, hasher: FileHasher) -> None:
        self._hasher = hasher

    def interrupt(self, reason: Interruption) -> None:
        """End; whoever comes next begins anew."""
        log.info("checksums put off", reason=reason)
        self._hasher.cancel()
