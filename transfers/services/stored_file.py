"""Looking up, opening and deleting stored files."""

from __future__ import annotations

import errno
import hashlib
import mimetypes
import os
import re
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from io import FileIO
from pathlib import Path

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from transfers import quotas, storage
from transfers.doorbell import ring
from transfers.engine.local.disk import sink_errors
from transfers.errors import NoAddressesError
from transfers.models import Download, ListJob, StoredFile, Upload
from transfers.models.stored_file import StoredFileQuerySet
from transfers.quotas import Usage
from transfers.tasks import remove_file
from transfers.tasks.events import tell_list_job

MAX_NAME_CHARACTERS = 255
ROWS_AT_ONCE = 500
SENT_BYTES = 2**18
"""What is read at once to be sent."""
_HASH_CHARACTERS = 16
_CHECKSUMS = ["md5", "sha256", "crc32", "checksum_error", "checksum_attempts", "verified"]
_RENEWED = ["size", "modified_ns", *_CHECKSUMS, "deleted_at"]
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO)
"""What is told where there is none: nothing, a folder, a link that leads nowhere, a socket."""
HASHED_LATER_SECONDS = 30
"""How long the checksums of a file that was kept without them are left to wait: what comes with it is still on its way,
and needs the processors more (2.7 CPU seconds a GiB)."""


class ShortFileError(OSError):
    """The file ended before the range that was promised of it."""


@dataclass(frozen=True, slots=True)
class FileRange:
    """A half-open range of an open file's bytes."""

    file: FileIO
    start: int
    end: int

    def read(self, offset: int) -> bytes:
        """The bytes from the offset on, up to SENT_BYTES; ShortFileError when there are none."""
        chunk = os.pread(self.file.fileno(), min(self.end - offset, SENT_BYTES), offset)
        if not chunk:
            raise ShortFileError(f"the file has no byte {offset} any more")
        return chunk


def visible(
    *, user: AbstractBaseUser, folder: str | None = None, text: str = "", ids: Collection[int] | None = None
) -> StoredFileQuerySet:
    """The files that this user may see, newest first: those of the folder, with the text in any case in their names.

    With `ids`, which are few, only files of these.
    """
    rows = StoredFile.objects.visible_to(user).order_by("-id")
    if ids is not None:
        rows = rows.filter(pk__in=ids)
    if folder is not None:
        rows = rows.filter(folder=folder)
    # SQLite compares letters beyond ASCII without their cases by regular expressions only.
    return rows.filter(name__iregex=re.escape(text)) if text else rows


def usage(*, user: AbstractBaseUser) -> tuple[int | None, Usage]:
    """The bytes that the user may have here, None being unlimited, and what is taken of them."""
    return quotas.limit_of(user.pk), quotas.usage_of(user.pk)


def delete(*, user: AbstractBaseUser, stored_file_id: int) -> bool:
    """Delete a file for everybody; its bytes follow. False when the user has none of this id.

    What must keep a file from being deleted belongs into the one UPDATE.
    """
    with transaction.atomic():
        row = StoredFile.objects.visible_to(user).filter(pk=stored_file_id)
        # Whoever takes its checksums loses the lease, and stops.
        fenced = {"lease_epoch": F("lease_epoch") + 1, "lease_expires_at": None, "lease_owner": ""}
        if not row.update(deleted_at=Now(), **fenced):
            return False
        # What brought it must neither show it nor, started again, find it or take its place while it is being removed.
        for origin in (Download, Upload):
            origin.objects.filter(stored_file_id=stored_file_id).update(stored_file=None)
        zip_job = ListJob.objects.filter(stored_file_id=stored_file_id).first()
        if zip_job is not None and ListJob.objects.filter(pk=zip_job.pk).expire():
            transaction.on_commit(lambda: tell_list_job(zip_job))
        transaction.on_commit(lambda: ring(remove_file, stored_file_id))
    return True


def address(*, stored: StoredFile, disposition: str, content_type: str) -> storage.Address | None:
    """Where the storage itself serves the file under these headers; None where the service has to."""
    try:
        return storage.of(stored.path).content_address(stored.path, disposition, content_type)
    except NoAddressesError:
        return None


def opened(*, stored: StoredFile) -> FileIO | None:
    """The file on our disk, open to read; None when it is not at its place any more as it was stored."""
    path = storage.of(stored.path).path(stored.path)
    if path is None:
        return None
    with sink_errors(path.parent):
        try:
            file = FileIO(path, opener=_at_once)
        except OSError as error:
            if error.errno in _NO_FILE:
                return None
            raise
        if is_still(stored=stored, file=file):
            return file
    file.close()
    return None


def is_still(*, stored: StoredFile, file: FileIO) -> bool:
    """Whether the open file is the one that was stored, as far as its size and time tell."""
    status = os.fstat(file.fileno())
    return stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns) == (stored.size, stored.modified_ns)


def _at_once(path: str, flags: int) -> int:
    """Open it, and do not wait for the other end of a pipe that somebody put there."""
    return os.open(path, flags | os.O_NONBLOCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A file that came to its place otherwise than by upload or download."""

    path: Path
    folder: str
    """The logical folder it is listed in."""
    size: int
    modified_ns: int
    digests: Mapping[str, str]
    """Its `md5`, `sha256` and `crc32`; a worker takes them where they are not here."""


def keep(*, owner_id: int, files: Sequence[Kept]) -> None:
    """Have these files among the owner's stored ones, as they are now."""
    later = Now() + timedelta(seconds=HASHED_LATER_SECONDS)
    rows = [
        StoredFile(
            owner_id=owner_id,
            name=file.path.name[:MAX_NAME_CHARACTERS],
            folder=folder_name(file.folder),
            path=str(file.path),
            size=file.size,
            modified_ns=file.modified_ns,
            content_type=mimetypes.guess_type(file.path.name)[0] or "application/octet-stream",
            md5=file.digests.get("md5", ""),
            sha256=file.digests.get("sha256", ""),
            crc32=file.digests.get("crc32", ""),
            lease_expires_at=None if file.digests else later,
        )
        for file in files
    ]
    StoredFile.objects.bulk_create(
        rows,
        batch_size=ROWS_AT_ONCE,
        update_conflicts=True,
        unique_fields=["path"],
        update_fields=[*_RENEWED, "lease_owner", "lease_expires_at"],  # who hashes what was there before is fenced
    )


def folder_name(folder: str) -> str:
    """What a logical folder of this name is listed as: where it is too long, its beginning and a hash of all of it."""
    if len(folder) <= MAX_NAME_CHARACTERS:
        return folder
    end = "~" + hashlib.sha256(folder.encode()).hexdigest()[:_HASH_CHARACTERS]
    return folder[: MAX_NAME_CHARACTERS - len(end)] + end


def forget(*, paths: Sequence[Path]) -> None:
    """These files are not there any more, nor are they to be."""
    names = [str(path) for path in paths]
    for start in range(0, len(names), ROWS_AT_ONCE):
        StoredFile.objects.filter(path__in=names[start : start + ROWS_AT_ONCE]).delete()


def forget_below(*, folders: Sequence[Path]) -> None:
    """Nothing that was in these folders, however deep, is there any more, nor is it to be."""
    for folder in folders:
        StoredFile.objects.below(str(folder)).delete()
