"""An order's files as the members of its zip: which of them are there, how they are laid out, where their bytes are."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction

from transfers import leases, storage
from transfers.engine.archive import Layout, Member, Method
from transfers.engine.base import Source
from transfers.errors import (
    ChecksumsPendingError,
    FolderUnusableError,
    Interrupted,
    Interruption,
    SourceChangedError,
    SourceGoneError,
    TransferError,
)
from transfers.models import ListJob, Order, OrderItem, StoredFile
from transfers.models.order import FailureCode
from transfers.tasks.checksums import AWAY
from transfers.tasks.lists import insert_anew, locked

_ItemAndFile = tuple[OrderItem, StoredFile | None]

ROWS_AT_ONCE = 500
BATCHES_KEPT = 8
MAX_MESSAGE_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a file is not in the zip."""

    code: FailureCode
    message: str


def check_items(order: Order, limit_bytes: int, *, job: ListJob | None = None) -> None:
    """Look at every file of the order that is to be in its zip; what cannot be there fails, and the rest goes on.

    CRC-32s that have become known are taken over. `job` as for `fail_items`.
    """
    room = limit_bytes
    for items in _batches(order):
        failures: dict[int, Failure] = {}
        proved = []
        for item, file in items:
            failure = _failure_of(order, item, file)
            if failure is None and item.size > room:
                failure = Failure(FailureCode.EXCEEDS_SIZE_LIMIT, f"One zip may have {limit_bytes} bytes of files.")
            if failure is not None:
                failures[item.number] = failure
                continue
            room -= item.size
            if not item.crc32 and file is not None and file.crc32:
                item.crc32 = file.crc32
                proved.append(item)
        OrderItem.objects.bulk_update(proved, ["crc32"])
        fail_items(order, failures, job=job)


def fail_items(order: Order, failures: Mapping[int, Failure], *, job: ListJob | None) -> None:
    """Note by number which files are not in the zip; those that were to be in it go back on the user's list.

    `job` is the one that makes the zip. For everybody else (None) nothing is noted where there is such a job: what is
    in the zip is for whoever makes it to say, and once it is made, nobody changes it. Interrupted when the job is
    somebody else's by now: what failed may be of this one's own making.
    """
    if not failures:
        return
    with transaction.atomic():
        download_list = locked(order.user_id)
        if job is None and order.jobs.standing().exists():
            return
        if job is not None and not leases.held(job).exists():
            raise Interrupted(Interruption.FENCED)
        items = list(order.items.in_zip().filter(number__in=failures))
        for item in items:
            item.failure_code = failures[item.number].code
            item.failure_message = failures[item.number].message[:MAX_MESSAGE_CHARACTERS]
        OrderItem.objects.bulk_update(items, ["failure_code", "failure_message"])
        insert_anew(download_list, items)


def layout_of(order: Order) -> Layout:
    """The zip of the files that have not failed; ChecksumsPendingError while one of them cannot be laid out yet."""
    if order.items.unproved().exists():
        raise ChecksumsPendingError("The checksums of some files are still being taken: try again in a moment.")
    return Layout.of(_member(item) for item in order.items.in_zip().iterator(ROWS_AT_ONCE))


class Members:
    """The files behind the entries of an order's zip, by the number of the entry.

    They are looked up in batches, of which some are kept: several parts of a zip are moved at once.
    """

    def __init__(self, order: Order, job: ListJob | None = None) -> None:
        """`job` is the one that has compressed what is to be compressed."""
        self._order = order
        self._job = job
        self._numbers = list(order.items.in_zip().values_list("number", flat=True))
        self._batch = functools.lru_cache(BATCHES_KEPT)(self._looked_up)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._numbers)

    def number(self, entry: int) -> int:
        """The number of the order item that became this entry."""
        return self._numbers[entry]

    def _found(self, entry: int) -> _ItemAndFile:
        return self._batch(entry // ROWS_AT_ONCE)[entry % ROWS_AT_ONCE]

    def _looked_up(self, batch: int) -> list[_ItemAndFile]:
        numbers = self._numbers[batch * ROWS_AT_ONCE : (batch + 1) * ROWS_AT_ONCE]
        return _with_files(self._order.items.filter(number__in=numbers).order_by("number"))

    def file(self, entry: int) -> StoredFile:
        """The stored file of the entry; SourceChangedError when it is not the ordered one."""
        item, file = self._found(entry)
        return _checked(self._order, item, file)

    def source(self, entry: int) -> Source:
        """Where the stored bytes of the entry come from; SourceChangedError when its file is not the ordered one."""
        item, file = self._found(entry)
        if item.is_deflated and self._job is not None:
            location = deflated_location(self._job, item)
        else:
            location = _checked(self._order, item, file).path
        return storage.of(location).source(location)


def file_source(order: Order, item: OrderItem) -> Source:
    """The file of an order item, to read; SourceChangedError when it is not the ordered one."""
    location = _checked(order, item, _file_of(item)).path
    return storage.of(location).source(location)


def failure_by(order: Order, number: int, error: TransferError) -> dict[int, Failure]:
    """What a failure to read the bytes of the item with this number means for it.

    The error itself is raised again where the file's place is only away for now.
    """
    if isinstance(error, AWAY):
        raise error
    item = order.items.get(number=number)
    failure = _failure_of(order, item, _file_of(item))
    is_lost = isinstance(error, (SourceChangedError, SourceGoneError))
    code = FailureCode.NOT_FOUND if is_lost else FailureCode.UNKNOWN_ERROR
    return {number: failure or Failure(code, error.message)}


def deflated_location(job: ListJob, item: OrderItem) -> str:
    """Where the compressed bytes of an item lie until the job has made the zip: beside it."""
    return f"{job.location}.{item.number}.deflated"


def modified_ns(stored: StoredFile) -> int:
    """When the file was changed last, as far as its place tells; else when it came here."""
    return stored.modified_ns or int(stored.created_at.timestamp() * 10**6) * 1000


def _checked(order: Order, item: OrderItem, stored: StoredFile | None) -> StoredFile:
    failure = _failure_of(order, item, stored)
    if failure is not None or stored is None:
        raise SourceChangedError(failure.message if failure else "")
    return stored


def _failure_of(order: Order, item: OrderItem, stored: StoredFile | None) -> Failure | None:
    """Why this file cannot be in the zip; None when it can."""
    if stored is None or stored.deleted_at is not None:
        return Failure(FailureCode.NOT_FOUND, "The file was deleted.")
    if stored.owner_id != order.user_id and not order.user.is_staff:
        return Failure(FailureCode.UNAUTHORIZED, "The file is another user's.")
    if (stored.size, modified_ns(stored)) != (item.size, item.modified_ns):
        return Failure(FailureCode.NOT_FOUND, "The file was changed after it was ordered.")
    if storage.of(stored.path).path(stored.path) is not None and not stored.untouched():
        _check_reachable(Path(stored.path))
        return Failure(FailureCode.NOT_FOUND, "The file is not at its place any more as it was stored.")
    if not stored.crc32 and stored.checksum_error:
        return Failure(FailureCode.UNKNOWN_ERROR, f"The file cannot be read: {stored.checksum_error}")
    return None


def _check_reachable(path: Path) -> None:
    """FolderUnusableError where a file may well be there, but its disk cannot be asked: that passes."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise FolderUnusableError(f"the disk of the files cannot be looked at: {error.strerror}") from None


def _member(item: OrderItem) -> Member:
    stored_size = item.deflated_size if item.is_deflated else item.size
    return Member(
        name=item.entry_name,
        size=item.size,
        crc32=int(item.crc32, 16),
        modified=item.modified_ns / 10**9,
        method=Method.DEFLATED if item.is_deflated else Method.STORED,
        stored_size=stored_size or 0,
    )


def _batches(order: Order) -> Iterator[list[_ItemAndFile]]:
    """The items that are to be in the zip, some at a time: each batch is looked up when the one before is done with."""
    last = -1
    while batch := _with_files(order.items.in_zip().filter(number__gt=last)[:ROWS_AT_ONCE]):
        yield batch
        last = batch[-1][0].number


def _with_files(items: Iterable[OrderItem]) -> list[_ItemAndFile]:
    found = list(items)
    files = StoredFile.objects.in_bulk({item.file_id for item in found})
    return [(item, files.get(item.file_id)) for item in found]


def _file_of(item: OrderItem) -> StoredFile | None:
    return StoredFile.objects.filter(pk=item.file_id).first()
