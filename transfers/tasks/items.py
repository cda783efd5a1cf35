"""Order items and the files behind them: which of these can be in a zip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from transfers import storage
from transfers.models import Order, OrderItem, StoredFile
from transfers.models.order import FailureCode, OrderItemQuerySet
from transfers.tasks.places import check_reachable

ItemAndFile = tuple[OrderItem, StoredFile | None]

ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a file is not in the zip."""

    code: FailureCode
    message: str


def failure_of(order: Order, item: OrderItem, stored: StoredFile | None) -> Failure | None:
    """Why this file cannot be in the zip; None when it can, FolderUnusableError while that cannot be told."""
    if stored is None or stored.deleted_at is not None:
        return Failure(FailureCode.NOT_FOUND, "The file was deleted.")
    if stored.owner_id != order.user_id and not order.user.is_staff:
        return Failure(FailureCode.UNAUTHORIZED, "The file is another user's.")
    if (stored.size, modified_ns(stored)) != (item.size, item.modified_ns):
        return Failure(FailureCode.NOT_FOUND, "The file was changed after it was ordered.")
    if storage.of(stored.path).path(stored.path) is not None and not stored.untouched():
        check_reachable(Path(stored.path))
        return Failure(FailureCode.NOT_FOUND, "The file is not at its place any more as it was stored.")
    if not stored.crc32 and stored.checksum_error:
        return Failure(FailureCode.UNKNOWN_ERROR, f"The file cannot be read: {stored.checksum_error}")
    return None


def modified_ns(stored: StoredFile) -> int:
    """When the file was changed last, as far as its place tells; else when it came here."""
    return stored.modified_ns or int(stored.created_at.timestamp() * 10**6) * 1000


def batches(items: OrderItemQuerySet) -> Iterator[list[ItemAndFile]]:
    """The items by number, some at a time: each batch is looked up when the one before is done with."""
    last = -1
    while batch := with_files(items.filter(number__gt=last).order_by("number")[:ROWS_AT_ONCE]):
        yield batch
        last = batch[-1][0].number


def with_files(items: Iterable[OrderItem]) -> list[ItemAndFile]:
    """The items with their files, of which some may be gone."""
    found = list(items)
    files = StoredFile.objects.in_bulk({item.file_id for item in found})
    return [(item, files.get(item.file_id)) for item in found]


def file_of(item: OrderItem) -> StoredFile | None:
    """The item's file, if there is one."""
    return StoredFile.objects.filter(pk=item.file_id).first()
