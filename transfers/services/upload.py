"""Beginning uploads, storing their parts, and ending them one way or the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from transfers import quotas, storage, tally
from transfers.engine import plan
from transfers.engine.base import CHUNK_BYTES, Collection, Reader, StoredPart, promised_md5
from transfers.engine.local.disk import sink_errors
from transfers.errors import (
    CarryonError,
    InvalidInputError,
    NoSuchUploadError,
    OutOfSpaceError,
    PartsDifferError,
    SinkError,
    SizeDiffersError,
    TooLargeError,
    UploadEndedError,
)
from transfers.models import StoredFile, Upload
from transfers.models.upload import UploadQuerySet, UploadState
from transfers.tasks import remove_upload
from transfers.tasks.upload import collection, finish, slot

MAX_ASIDE_BYTES = 2**27
"""Bytes that are taken before it is known whose they are to be: some times the usual part."""
MAX_ID = 2**63 - 1
"""The largest id that the database can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """What a caller tells of a file before it sends it."""

    catalog: str
    name: str
    content_type: str = "application/octet-stream"
    mode: int | None = None
    notes: str = ""
    size: int | None = None
    """Bytes, where the caller tells."""
    md5: str = ""
    """Of the whole file as lowercase hex, where the caller tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingPart:
    """A part as it is about to come in."""

    number: int
    size: int | None
    """Bytes at most; None when that cannot be told."""
    slack: int = 0
    """How many of these may be something else's: in a form, of the fields that follow the file."""
    md5: str = ""
    """As lowercase hex, where the caller tells."""


def initiate(*, user: AbstractBaseUser, request: UploadRequest) -> Upload:
    """Begin an upload; one of a file that the user has here already, verified, is complete at once.

    TooLargeError, QuotaExceededError or OutOfSpaceError for a size that has no room here.
    """
    _require_size(request.size or 0, settings.ENVIRONMENT.upload_max_bytes, "A file")
    if (stored := _stored_already(user, request)) is not None:
        return _create(user, request, state=UploadState.COMPLETED, stored_file=stored, received=stored.size)
    with quotas.held(user.pk):
        quotas.require(user.pk, request.size or 0)
        upload = _create(user, request)
    try:
        collection(upload).abort()  # a database that was put back to an earlier day gives its numbers again
        _begun(upload, upload.size)
    except BaseException:
        upload.delete()
        raise
    return upload


def find(*, user: AbstractBaseUser, upload_id: int) -> Upload:
    """Look up an upload; NoSuchUploadError when the user has none of this id."""
    known = Upload.objects.visible_to(user).select_related("stored_file")
    upload = known.filter(pk=upload_id).first() if upload_id <= MAX_ID else None
    if upload is None:
        raise NoSuchUploadError(f"You have no upload {upload_id}." if upload_id <= MAX_ID else "There is none.")
    return upload


def resume(*, user: AbstractBaseUser, upload_id: int) -> Upload:
    """Take an upload up again, which puts its expiry off; NoSuchUploadError when the user has none of this id."""
    upload = find(user=user, upload_id=upload_id)
    Upload.objects.filter(pk=upload.pk, state=UploadState.OPEN).update(touched_at=Now())
    return upload


def visible(*, user: AbstractBaseUser) -> UploadQuerySet:
    """The uploads that this user may see, newest first."""
    return Upload.objects.visible_to(user).select_related("stored_file")


def stored_parts(*, upload: Upload) -> dict[int, str]:
    """The MD5s of the parts that are stored, by number, as the storage itself knows them."""
    if upload.state != UploadState.OPEN:
        return {int(number): md5 for number, md5 in upload.parts.items()}
    stored = _stored(upload)
    received = sum(part.size for part in stored.values())
    if received != upload.received:  # a crash, or a part sent again
        Upload.objects.filter(pk=upload.pk, state=UploadState.OPEN).update(received=received)
    return {number: part.etag for number, part in stored.items()}


def store_part(*, user: AbstractBaseUser, upload_id: int, part: IncomingPart, reader: Reader) -> StoredPart:
    """Store a part durably, from its sender straight to its place; nothing is read before all else has been checked.

    NoSuchUploadError, UploadEndedError, TooLargeError, QuotaExceededError, OutOfSpaceError before a byte is read;
    PartChecksumError after the last. Whatever fails leaves the part as it was.
    """
    upload = _open(user, upload_id)
    _admit(upload, part)
    parts = _begun(upload, part.size)

    room = _Room(upload, part.number)

    def check_again(size: int) -> None:
        """Others may have ended the upload, or filled it, while the part was on its way."""
        room.take(_open(user, upload_id), size)
        _let_go_of_the_database()

    _let_go_of_the_database()
    try:
        stored = parts.write_part(part.number, _Fenced(reader, check_again), part.size, part.md5)
    except SinkError:
        room.give_back()
        _open(user, upload_id)  # it may have ended meanwhile: then that is why
        raise
    except BaseException:
        room.give_back()
        raise
    tally.add("bytes_moved", stored.size, kind="upload")
    still = Upload.objects.filter(pk=upload.pk, state=UploadState.OPEN)
    if not still.update(received=F("received") + stored.size - room.taken, touched_at=Now()):
        _open(user, upload_id)
    return stored


class _Room:
    """The room that a part was promised of its owner's quota; whoever dies with it leaves it to the next count."""

    def __init__(self, upload: Upload, number: int) -> None:
        self._upload, self._number = upload, number
        self.taken = 0
        """Bytes that the upload's row counts already."""

    def take(self, upload: Upload, size: int) -> None:
        """Have this many bytes counted; TooLargeError when they are too many. Without a quota nothing is promised."""
        limited = quotas.limit_of(upload.owner_id) is not None
        try:
            self._take(upload, size, limited=limited)
        except TooLargeError:  # a part that was sent again may have been counted more than once
            others = _bytes_beside(upload, self._number)
            _require_room(upload, others + size)
            if limited:
                Upload.objects.filter(pk=upload.pk, received=upload.received).update(received=others)
                upload.refresh_from_db(fields=["received"])
                self._take(upload, size, limited=True)

    def _take(self, upload: Upload, size: int, *, limited: bool) -> None:
        if not limited:
            _require_room(upload, upload.received + size)
            return
        with quotas.held(upload.owner_id):
            upload.refresh_from_db(fields=["received"])
            _require_room(upload, upload.received + size)
            Upload.objects.filter(pk=upload.pk, state=UploadState.OPEN).update(received=F("received") + size)
        self.taken = size

    def give_back(self) -> None:
        """The part is not stored after all."""
        if self.taken:
            rows = Upload.objects.filter(pk=self._upload.pk, state=UploadState.OPEN, received__gte=self.taken)
            rows.update(received=F("received") - self.taken)


@dataclass(slots=True)
class _Fenced:
    """A part's bytes; before the last of them are stored, it is checked that they still may be.

    Some stores take parts after the file was made of them, and then cannot read it any more.
    """

    reader: Reader
    check: Callable[[int], None]
    """Given the bytes that were read."""
    is_checked: bool = False
    read: int = 0

    @property
    def promised_md5(self) -> str:
        """What the bytes were promised to have."""
        return promised_md5(self.reader)

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the start of the buffer with the next bytes; 0 only at the end, if all is well."""
        count = self.reader.readinto(buffer)
        self.read += count
        if not count and not self.is_checked:
            self.check(self.read)
            self.is_checked = True
        return count


@contextmanager
def set_aside(*, reader: Reader, size: int) -> Iterator[Aside]:
    """Keep a part whose place is not known yet, of at most `size` bytes, in a file that has no name."""
    _require_size(size, settings.ENVIRONMENT.upload_max_part_bytes, "A part")
    _require_size(size, MAX_ASIDE_BYTES, "A part in front of its fields (send `file` last)")
    folder = Path(settings.ENVIRONMENT.files_root)
    with sink_errors("the storage of uploads"):
        folder.mkdir(parents=True, exist_ok=True)
        left = os.statvfs(folder)
        if size > left.f_bavail * left.f_frsize:
            raise OutOfSpaceError(f"{size} bytes are more than the storage has left")
        with TemporaryFile(dir=folder) as file:
            buffer = memoryview(bytearray(CHUNK_BYTES))
            while count := reader.readinto(buffer):
                file.write(buffer[:count])
            aside = Aside(file, file.tell())
            file.seek(0)
            yield aside


@dataclass(frozen=True, slots=True)
class Aside:
    """A part that was set aside, to be read."""

    file: IO[bytes]
    size: int
    """Bytes."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill the start of the buffer with the next bytes; 0 only at the end."""
        chunk = self.file.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)


def complete(*, user: AbstractBaseUser, upload_id: int, parts: Mapping[int, str]) -> Upload:
    """Make the upload's file appear out of these parts, MD5s as hex by number; repeated, it tells the same.

    PartsDifferError when others are stored, SizeDiffersError when another size was told: the upload stays open.
    """
    upload = find(user=user, upload_id=upload_id)
    if upload.state == UploadState.OPEN and not _accepted(upload, parts):
        upload = find(user=user, upload_id=upload_id)
    if upload.parts and (differing := PartsDifferError.between(parts, _fixed_parts(upload))):
        raise differing
    if upload.state == UploadState.COMPLETING:
        finish(upload)
    if upload.state != UploadState.COMPLETED:
        raise UploadEndedError("The upload is being completed; ask again.")
    return upload


def abort(*, user: AbstractBaseUser, upload_id: int) -> None:
    """Remove an open upload with its parts; UploadEndedError when it is complete."""
    upload = _open(user, upload_id)
    if not upload.mark_removing():
        raise UploadEndedError("The upload is complete, or is being completed.")
    transaction.on_commit(lambda: remove_upload(str(upload.pk)))


def part_address(*, user: AbstractBaseUser, upload_id: int, number: int) -> storage.Address:
    """Where the client may send a part itself, which puts the expiry off.

    NoAddressesError when bytes must go through the service.
    """
    upload = _open(user, upload_id)
    _require_number(number)
    _begun(upload, None)
    address = storage.of(upload.location).part_address(slot(upload), number)
    Upload.objects.filter(pk=upload.pk, state=UploadState.OPEN).update(touched_at=Now())
    return address


# What must hold before ----------------------------------------------------------------------------------------------


def _open(user: AbstractBaseUser, upload_id: int) -> Upload:
    upload = find(user=user, upload_id=upload_id)
    if upload.state != UploadState.OPEN:
        how = "complete" if upload.state == UploadState.COMPLETED else "being completed"
        raise UploadEndedError(f"The upload is {how}: it takes no more parts.")
    return upload


def _admit(upload: Upload, part: IncomingPart) -> None:
    _require_number(part.number)
    size = part.size or 0
    environment = settings.ENVIRONMENT
    _require_size(size, environment.upload_max_part_bytes, "A part")
    _require_size(size - part.slack, upload.size if upload.size is not None else size, "A part of this file")
    _require_room_for(upload, part)
    if upload.stride is None:  # told or not: what lies in its place is found there ever after
        Upload.objects.filter(pk=upload.pk, stride=None).update(stride=_stride(upload, part))
        upload.refresh_from_db(fields=["stride"])


def _stride(upload: Upload, part: IncomingPart) -> int:
    likely = upload.part_size if part.size is None else part.size
    if part.slack:
        likely = plan.part_size_within(likely, upload.part_size, part.number, upload.size)
    return plan.stride(part.number, likely, upload.part_size, upload.size)


def _require_room_for(upload: Upload, part: IncomingPart) -> None:
    size = part.size or 0
    try:
        _require_room(upload, upload.received + size)
    except TooLargeError:  # a part that was sent again may have been counted more than once
        _require_room(upload, _bytes_beside(upload, part.number) + size)


def _bytes_beside(upload: Upload, number: int) -> int:
    """Bytes of the parts that are stored, without that one."""
    return sum(stored.size for stored_number, stored in _stored(upload).items() if stored_number != number)


def _require_number(number: int) -> None:
    if not 1 <= number <= plan.MAX_PARTS:
        raise InvalidInputError({"part": [f"must be from 1 to {plan.MAX_PARTS}"]})


def _require_room(upload: Upload, size: int) -> None:
    """Refuse what would make the upload larger than it, or its owner, may be."""
    _require_size(size, settings.ENVIRONMENT.upload_max_bytes, "A file")
    quotas.require(upload.owner_id, max(upload.size or 0, size), beside=upload)


def _require_size(size: int, limit: int, what: str) -> None:
    if size > limit:
        raise TooLargeError(f"{what} may have {limit} bytes; this one has {size}.")


def _stored(upload: Upload) -> dict[int, StoredPart]:
    """What the storage has of it; NoSuchUploadError when that has forgotten the upload, so that clients begin anew."""
    try:
        return collection(upload).stored_parts()
    except UploadEndedError:
        upload.refresh_from_db(fields=["state"])
        if upload.mark_removing():
            raise NoSuchUploadError("The storage has removed what it had of this upload: begin anew.") from None
        raise


def _accepted(upload: Upload, parts: Mapping[int, str]) -> bool:
    """Whether the upload is to be completed of these parts now; False when somebody else was faster."""
    fixed = {str(number): md5 for number, md5 in sorted(parts.items())}
    try:
        size = _require_same(upload, parts)
        with quotas.held(upload.owner_id):
            _require_room(upload, size)  # parts may have come past the service
            return upload.mark_completing(fixed, received=size)
    except CarryonError:
        if Upload.objects.filter(pk=upload.pk, state=UploadState.OPEN).exists():
            raise
        return False


def _require_same(upload: Upload, parts: Mapping[int, str]) -> int:
    """The bytes of the stored parts, which are the listed ones."""
    stored = _stored(upload)
    if differing := PartsDifferError.between(parts, {number: part.etag for number, part in stored.items()}):
        raise differing
    size = sum(part.size for part in stored.values())
    if upload.size is not None and size != upload.size:
        raise SizeDiffersError(f"All parts together have {size} bytes, and the file was told to have {upload.size}.")
    return size


def _fixed_parts(upload: Upload) -> dict[int, str]:
    return {int(number): md5 for number, md5 in upload.parts.items()}


# What an upload's parts come together in ----------------------------------------------------------------------------


def _begun(upload: Upload, size: int | None) -> Collection:
    """Make it ready; its name is written down before a byte goes there.

    `initiate` has done so, unless it died in between; of several who make up for that at once, all go by the same.
    """
    parts = collection(upload)
    name = parts.begin(size)
    if name == upload.collection_name:
        return parts
    if Upload.objects.filter(pk=upload.pk, collection_name="").update(collection_name=name):
        upload.collection_name = name
        return parts
    with suppress(SinkError):  # the sweeper removes what is left
        parts.abort()
    upload.collection_name = _open(upload.owner, upload.pk).collection_name
    return collection(upload)


# How an upload gets its row -----------------------------------------------------------------------------------------


def _stored_already(user: AbstractBaseUser, request: UploadRequest) -> StoredFile | None:
    """The same user's file of the same bytes: knowing a hash is not owning a file."""
    if not request.md5 or request.size is None:
        return None
    same = StoredFile.objects.kept().filter(owner_id=user.pk, size=request.size, verified=True, md5=request.md5)
    return next((stored for stored in same if _is_there(stored)), None)


def _is_there(stored: StoredFile) -> bool:
    return storage.of(stored.path).path(stored.path) is None or stored.untouched()


def _create(user: AbstractBaseUser, request: UploadRequest, **facts: object) -> Upload:
    with transaction.atomic():
        upload = Upload.objects.create(
            owner_id=user.pk,
            catalog=request.catalog,
            mode=request.mode,
            notes=request.notes,
            name=request.name,
            content_type=request.content_type,
            size=request.size,
            md5=request.md5,
            part_size=plan.suggested_part_size(request.size),
            **facts,
        )
        upload.location = storage.for_new().location(upload.pk, upload.owner_id, upload.catalog, upload.name)
        upload.save(update_fields=["location"])
    return upload


def _let_go_of_the_database() -> None:
    """Whoever sends slowly must hold no connection that others wait for; SQLite has none, and closes slowly."""
    if not (connection.in_atomic_block or connection.vendor == "sqlite"):
        connection.close()
