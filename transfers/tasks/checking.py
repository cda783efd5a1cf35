"""Looking at an order's files before its zip is laid out: which are there, and whether all checksums are known."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.db.models.functions import Now

from transfers.doorbell import ring
from transfers.errors import FolderUnusableError
from transfers.models import ListJob, Order, OrderItem, StoredFile
from transfers.models.order import FailureCode
from transfers.tasks.checksums import take_checksums
from transfers.tasks.failing import Doubts, fail_items
from transfers.tasks.items import Failure, ItemAndFile, batches, failure_of

MAX_RINGS = 4
"""Files that workers are asked for at once: who hears it goes on with the others."""


def check_items(order: Order, limit_bytes: int, *, job: ListJob | None = None, doubts: Doubts | None = None) -> bool:
    """Look at every file of the order that is to be in its zip; what cannot be there fails, and the rest goes on.

    False when not all is settled: where there is a job, whoever makes the zip has to note what failed (`job` as for
    `fail_items`), and with `doubts` a file is to be looked at once more. Without, FolderUnusableError where that is so.
    """
    room, settled = limit_bytes, True
    for pairs in batches(order.items.in_zip()):
        failures, doubted = _failures(order, pairs, doubts)
        for item, _ in pairs:
            if item.number in failures:
                continue
            if item.size > room:
                text = f"One zip may have {limit_bytes} bytes of files."
                failures[item.number] = Failure(FailureCode.EXCEEDS_SIZE_LIMIT, text)
            else:
                room -= item.size
        settled = fail_items(order, failures, job=job) and not doubted and settled
    return settled


def take_over_checksums(order: Order, *, job: ListJob | None = None, doubts: Doubts | None = None) -> bool:
    """Take over the CRC-32s that have become known since the order was made; whether none is awaited any more.

    Only files without one are looked at. What cannot be in the zip anyway is not waited for.
    """
    for pairs in batches(order.items.unproved()):
        failures, _ = _failures(order, pairs, doubts)
        fail_items(order, failures, job=job)
        left = [(item, file) for item, file in pairs if file is not None and item.number not in failures]
        proved = [_proved(item, file) for item, file in left if file.crc32]
        OrderItem.objects.bulk_update(proved, ["crc32"])
        want_checksums([file.pk for _, file in left if not file.crc32])
    return not order.items.unproved().exists()


def want_checksums(file_ids: Collection[int]) -> None:
    """Have checksums taken soon that were put off until somebody wants them."""
    put_off = StoredFile.objects.unhashed().filter(pk__in=file_ids, lease_owner="", lease_expires_at__gt=Now())
    if put_off.filter(checksum_attempts=0).update(lease_expires_at=None):
        for pk in list(file_ids)[:MAX_RINGS]:
            ring(take_checksums, pk)


def _proved(item: OrderItem, file: StoredFile) -> OrderItem:
    item.crc32 = file.crc32
    return item


def _failures(order: Order, pairs: Sequence[ItemAndFile], doubts: Doubts | None) -> tuple[dict[int, Failure], bool]:
    """What fails of these, by number, and whether one is to be looked at once more."""
    found: dict[int, Failure | None] = {}
    for item, file in pairs:
        try:
            if failure := failure_of(order, item, file):
                found[item.number] = failure
        except FolderUnusableError as error:
            if doubts is None:
                raise
            found[item.number] = doubts.failure(item.number, error)
    return {number: each for number, each in found.items() if each is not None}, None in found.values()
