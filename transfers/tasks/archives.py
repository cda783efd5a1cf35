"""An order's files as the members of its zip: which of them are there, how they are laid out, where their bytes are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.db import transaction

from transfers import storage
from transfers.engine.archive import Layout, Member, Method
from transfers.engine.base import Source
from transfers.errors import ChecksumsPendingError, SourceChangedError, TransferError
from transfers.models import Order, OrderItem, StoredFile
from transfers.models.order import FailureCode
from transfers.tasks.checksums import AWAY
from transfers.tasks.lists import insert_anew, locked

ROWS_AT_ONCE = 500
MAX_MESSAGE_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a file is not in the zip."""

    code: FailureCode
    message: str


def check_items(order: Order, limit_bytes: int) -> None:
    """Look at every file of the order that is to be in its zip; what cannot be there fails, and the rest goes on.

    CRC-32s that have become known are taken over.
    """
    room = limit_bytes
    for items in _batches(order):
        failures: dict[int, Failure] = {}
        proved = []
        for item in items:
            failure = _failure_of(item, order)
            if failure is None and item.size > room:
                failure = Failure(FailureCode.EXCEEDS_SIZE_LIMIT, f"One zip may have {limit_bytes} bytes of files.")
            if failure is not None:
                failures[item.number] = failure
                continue
            room -= item.size
            if not item.crc32 and item.file.crc32:
                item.crc32 = item.file.crc32
                proved.append(item)
        OrderItem.objects.bulk_update(proved, ["crc32"])
        fail_items(order, failures)


def fail_items(order: Order, failures: Mapping[int, Failure]) -> None:
    """Note by number which files are not in the zip, and put those that were not noted before back on the user's list."""
    if not failures:
        return
    with transaction.atomic():
        download_list = locked(order.user_id)
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
    rows = order.items.in_zip().values_list(
        "entry_name", "size", "crc32", "modified_ns", "is_deflated", "deflated_size"
    )
    return Layout.of(_member(*row) for row in rows.iterator(10_000))


class Members:
    """The files behind the entries of an order's zip, by the number of the entry; some are looked up at once."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._numbers = list(order.items.in_zip().values_list("number", flat=True))
        self._known: dict[int, OrderItem] = {}

    def number(self, entry: int) -> int:
        """The number of the order item that became this entry."""
        return self._numbers[entry]

    def item(self, entry: int) -> OrderItem:
        """The order item that became this entry."""
        number = self._numbers[entry]
        known = self._known
        if number not in known:
            wanted = self._numbers[entry : entry + ROWS_AT_ONCE]
            rows = self._order.items.filter(number__in=wanted).select_related("file")
            self._known = known = {item.number: item for item in rows}
        return known[number]

    def source(self, entry: int) -> Source:
        """Where the stored bytes of the entry come from; SourceChangedError when its file is not the ordered one."""
        item = self.item(entry)
        if not item.is_deflated:
            return file_source(self._order, item)
        location = deflated_location(self._order, item)
        return storage.of(location).source(location)


def file_source(order: Order, item: OrderItem) -> Source:
    """The file of an order item, to read; SourceChangedError when it is not the ordered one."""
    if (failure := _failure_of(item, order)) is not None:
        raise SourceChangedError(failure.message)
    return storage.of(item.file.path).source(item.file.path)


def failure_by(order: Order, number: int, error: TransferError) -> dict[int, Failure]:
    """What a failure to read the bytes of the item with this number means for it.

    The error itself is raised again where the file's place is only away for now.
    """
    if isinstance(error, AWAY):
        raise error
    item = order.items.select_related("file").get(number=number)
    return {number: _failure_of(item, order) or Failure(FailureCode.UNKNOWN_ERROR, error.message)}


def deflated_location(order: Order, item: OrderItem) -> str:
    """Where the compressed bytes of an item lie until the zip is made."""
    return storage.for_new().made_location(order.user_id, f"{order.pk}.{item.number}.deflated")


def modified_ns(stored: StoredFile) -> int:
    """When the file was changed last, as far as its place tells; else when it came here."""
    return stored.modified_ns or int(stored.created_at.timestamp() * 10**6) * 1000


def _failure_of(item: OrderItem, order: Order) -> Failure | None:
    """Why this file cannot be in the zip; None when it can."""
    stored: StoredFile | None = item.file
    if stored is None or stored.deleted_at is not None:
        return Failure(FailureCode.NOT_FOUND, "The file was deleted.")
    if stored.owner_id != order.user_id and not order.user.is_staff:
        return Failure(FailureCode.UNAUTHORIZED, "The file is another user's.")
    if (stored.size, modified_ns(stored)) != (item.size, item.modified_ns):
        return Failure(FailureCode.NOT_FOUND, "The file was changed after it was ordered.")
    if storage.of(stored.path).path(stored.path) is not None and not stored.untouched():
        return Failure(FailureCode.NOT_FOUND, "The file is not at its place any more as it was stored.")
    if not stored.crc32 and stored.checksum_error:
        return Failure(FailureCode.UNKNOWN_ERROR, f"The file cannot be read: {stored.checksum_error}")
    return None


def _member(
    name: str, size: int, crc32: str, modified_ns: int, is_deflated: bool, deflated_size: int | None
) -> Member:
    return Member(
        name=name,
        size=size,
        crc32=int(crc32, 16),
        modified=modified_ns / 10**9,
        method=Method.DEFLATED if is_deflated else Method.STORED,
        stored_size=deflated_size or 0 if is_deflated else size,
    )


def _batches(order: Order) -> Iterator[list[OrderItem]]:
    """The items that are to be in the zip, some at a time: each batch is looked up when the one before is done with."""
    last = -1
    while batch := list(order.items.in_zip().filter(number__gt=last).select_related("file")[:ROWS_AT_ONCE]):
        yield batch
        last = batch[-1].number
