"""Finishing uploads, and removing those that nobody wants any more; whatever these do may be repeated."""

from __future__ import annotations

from contextlib import suppress

import structlog
from celery import shared_task
from django.db import transaction

from transfers import storage, tally
from transfers.doorbell import ring
from transfers.engine.base import Collected, Collection
from transfers.errors import CarryonError, InvalidInputError, PartsDifferError, SinkError, UploadEndedError
from transfers.models import StoredFile, Upload
from transfers.models.upload import UploadState
from transfers.tasks.checksums import take_checksums

log = structlog.get_logger(__name__)


def slot(upload: Upload) -> storage.Slot:
    """Where the upload collects its parts."""
    return storage.Slot(
        upload_id=upload.pk,
        location=upload.location,
        collection_name=upload.collection_name,
        stride=upload.stride or upload.part_size,
        content_type=upload.content_type,
    )


def collection(upload: Upload) -> Collection:
    """What the upload's parts come together in."""
    return storage.of(upload.location).collection(slot(upload))


@shared_task(name="transfers.complete_upload")
def complete_upload(upload_id: str) -> None:
    """Finish an upload whose completion was accepted and then cut short."""
    upload = Upload.objects.filter(pk=upload_id, state=UploadState.COMPLETING).first()
    if upload is None:
        return
    try:
        finish(upload)
    except CarryonError as error:
        log.warning("upload not completed", upload=upload.pk, code=error.code)
        is_over = Upload.objects.filter(pk=upload.pk, state=UploadState.OPEN).exists()  # it is the client's turn again
        tally.add("failures" if is_over else "retries", kind="upload", code=error.code)


def finish(upload: Upload) -> None:
    """completing → completed: the file has its name and its row, and the parts are gone.

    The upload is open again after PartsDifferError, when a part was replaced meanwhile, InvalidInputError, when the
    store finds a part too small, and UploadEndedError, when the storage has lost what it had.
    """
    parts = collection(upload)
    try:
        collected = parts.complete({int(number): md5 for number, md5 in upload.parts.items()})
    except CarryonError as error:
        if Upload.objects.filter(pk=upload.pk, state=UploadState.COMPLETED).exists():  # somebody else was faster
            upload.refresh_from_db()
            return
        if isinstance(error, PartsDifferError | InvalidInputError | UploadEndedError):
            upload.mark_open()
        raise
    _record(upload, collected)
    with suppress(SinkError):  # the sweeper removes what is left
        parts.abort()


def _record(upload: Upload, collected: Collected) -> None:
    """Write down the file and that the upload is complete, both or neither, unless somebody else has."""
    location = storage.of(upload.location).location_of(slot(upload), collected)
    with transaction.atomic():
        if upload.mark_finishing():
            # Whoever had a file of this name before has it no more, or it would not have been free.
            StoredFile.objects.filter(path=location).delete()
            stored = StoredFile.objects.create(
                owner_id=upload.owner_id,
                name=upload.name,
                folder=upload.catalog,
                path=location,
                size=collected.size,
                modified_ns=collected.modified_ns,
                content_type=upload.content_type,
                promised_md5=upload.md5,
            )
            upload.mark_completed(stored)
            transaction.on_commit(lambda: ring(take_checksums, stored.pk))
    upload.refresh_from_db()


@shared_task(name="transfers.remove_upload")
def remove_upload(upload_id: str) -> None:
    """removing → (none): remove the upload's parts, and then its row."""
    upload = Upload.objects.filter(pk=upload_id, state=UploadState.REMOVING).first()
    if upload is None:
        return
    try:
        collection(upload).abort()
    except SinkError as error:  # a part is being written to it; the reaper rings again
        log.info("upload not removed yet", upload=upload.pk, code=error.code)
        return
    Upload.objects.filter(pk=upload.pk, state=UploadState.REMOVING).delete()
