"""Taking the checksums of files that are here already: behind a fast download, or after a crash."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from celery import shared_task
from django.conf import settings
from django.db.models.functions import Now

from transfers import leases, running, storage, tally
from transfers.doorbell import ring
from transfers.engine.checksums import Checksums, FileHasher, Hasher, SourceHasher
from transfers.errors import (
    FolderUnusableError,
    Interruption,
    SinkError,
    SourceChangedError,
    SourceGoneError,
    TransferError,
)
from transfers.models import StoredFile
from transfers.tasks.places import AWAY, answers_without, check_reachable
from transfers.tasks.threads import CHECKSUMS, thread_for

log = structlog.get_logger(__name__)

ROUND_SECONDS = 5.0
"""How long a thread goes from file to file before it looks what else there is to do."""
NEW_SECONDS = 2.0
"""How long who brought a file may take to begin with its checksums, or to ring for them."""
MAX_ATTEMPTS = 5
"""Attempts to read a file, though others of its place can be read, before it counts as unreadable."""
PAUSE_SECONDS = 1.0
"""Before the second attempt; it doubles with each."""
AWAY_SECONDS = 10.0
"""How long a file is left alone whose place is away."""


@shared_task(name="transfers.take_checksums")
def take_checksums(stored_file_id: str) -> None:
    """Take a stored file's checksums if it has none and nobody else is at it; then those of others, for a while.

    So many files need few messages. Where as many threads as may be are at it, this is nothing: they go on with
    whatever waits.
    """
    with thread_for(CHECKSUMS) as is_free:
        if is_free:
            _take_round(stored_file_id)


def _take_round(pk: str | int | None) -> None:
    deadline = time.monotonic() + ROUND_SECONDS
    while pk is not None and not running.draining():
        _take(pk)
        pk = _next_due()
        if pk is not None and time.monotonic() > deadline:
            ring(take_checksums, pk)
            return


def _next_due() -> int | None:
    """A file that waits for its checksums; what is new here is likely in the hands of who brought it."""
    due = StoredFile.objects.unhashed().filter(leases.free(), created_at__lte=Now() - timedelta(seconds=NEW_SECONDS))
    return due.order_by("id").values_list("pk", flat=True).first()


def _take(pk: str | int) -> None:
    stored = StoredFile.objects.filter(pk=pk).first()
    if stored is None:
        return
    place = storage.of(stored.path)
    path = place.path(stored.path)
    if path is None:
        finish_checksums(stored.pk, SourceHasher(place.source(stored.path)))
        return
    try:
        with path.open("rb") as file:
            finish_checksums(stored.pk, FileHasher(file.fileno))
    except OSError as error:
        finish_checksums(stored.pk, _Unreadable(path, error))


def finish_checksums(pk: int, hasher: Hasher) -> None:
    """Let the hasher, which may be well ahead, come to the end of the stored file, and keep what it found."""
    stored = leases.claim(StoredFile.objects.unhashed(), pk, leases.new_owner())
    if stored is None:
        return
    work = _Hashing(hasher)
    beat = leases.Heartbeat(lambda: leases.renew(stored), hasher.cancel, settings.ENVIRONMENT.heartbeat_seconds)
    with running.working_on(("checksums", pk), work), beat:
        try:
            checksums = hasher.finish(stored.size)
            _check_untouched(stored)
        except (*AWAY, SinkError) as error:
            _put_off(stored, error)
        except TransferError as error:
            _fail(stored, error)
        else:
            _keep(stored, checksums)


def _check_untouched(stored: StoredFile) -> None:
    path = storage.of(stored.path).path(stored.path)
    if path is not None and not stored.untouched():
        check_reachable(path)
        raise SourceChangedError("the file was changed after it was stored")


def _keep(stored: StoredFile, checksums: Checksums | None) -> None:
    """Write down its checksums, and whether they agree with what was promised; nothing when it was cancelled."""
    if checksums is None:
        leases.release(stored)
        return
    found: dict[str, Any] = {"md5": checksums.md5, "sha256": checksums.sha256, "crc32": checksums.crc32}
    if stored.promised_md5:
        found["verified"] = checksums.md5 == stored.promised_md5
    leases.release(stored, **found)


def _put_off(stored: StoredFile, error: TransferError) -> None:
    """Try again later; a file that fails time and again while others of its place can be read has no checksums."""
    if not answers_without(stored):
        log.info("checksums put off", code=error.code)
        is_ours = leases.put_off(stored, AWAY_SECONDS)
    elif (attempts := stored.checksum_attempts + 1) >= MAX_ATTEMPTS:
        _fail(stored, error)
        return
    else:
        is_ours = leases.put_off(stored, PAUSE_SECONDS * 2.0 ** (attempts - 1), checksum_attempts=attempts)
    if is_ours:
        tally.add("retries", kind="checksum", code=error.code)


def _fail(stored: StoredFile, error: TransferError) -> None:
    if leases.release(stored, checksum_error=error.message[:255]):
        tally.add("failures", kind="checksum", code=error.code)


class _Unreadable:
    """Stands in for the hasher of a file that cannot be opened."""

    def __init__(self, path: Path, error: OSError) -> None:
        self._path, self._error = path, error

    def finish(self, size: int) -> None:  # noqa: ARG002 - nothing of it can be had
        """SourceGoneError where there is no such file; FolderUnusableError where that may be otherwise soon."""
        check_reachable(self._path)
        kind = SourceGoneError if isinstance(self._error, FileNotFoundError) else FolderUnusableError
        raise kind(f"cannot be read: {self._error.strerror}") from self._error

    def cancel(self) -> None:
        """Nothing is under way."""


class _Hashing:
    def __init__(self, hasher: Hasher) -> None:
        self._hasher = hasher

    def interrupt(self, reason: Interruption) -> None:
        """End; whoever comes next begins anew."""
        log.info("checksums put off", reason=reason)
        self._hasher.cancel()
