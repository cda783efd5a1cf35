"""Failing files of an order, each alone: the others go on without them."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from transfers import leases
from transfers.errors import (
    FolderUnusableError,
    Interrupted,
    Interruption,
    SourceChangedError,
    SourceGoneError,
    TransferError,
)
from transfers.models import ListJob, Order, OrderItem, StoredFile
from transfers.models.order import FailureCode
from transfers.tasks.items import Failure, failure_of, file_of
from transfers.tasks.lists import insert_anew, locked
from transfers.tasks.places import AWAY, answers_without

MAX_MESSAGE_CHARACTERS = 255


def fail_items(order: Order, failures: Mapping[int, Failure], *, job: ListJob | None) -> bool:
    """Note by number which files are not in the zip; those that were to be in it go back on the user's list.

    `job` is the one that makes the zip. For everybody else (None) nothing is noted where there is such a job, and False
    is told: what is in the zip is for whoever makes it to say, and once it is made, nobody changes it. Interrupted when
    the job is somebody else's by now: what failed may be of this one's own making.
    """
    if not failures:
        return True
    with transaction.atomic():
        download_list = locked(order.user_id)
        if job is None and order.jobs.standing().exists():
            return False
        if job is not None and not leases.held(job).select_for_update().exists():
            raise Interrupted(Interruption.FENCED)
        items = list(order.items.in_zip().filter(number__in=failures))
        for item in items:
            item.failure_code = failures[item.number].code
            item.failure_message = failures[item.number].message[:MAX_MESSAGE_CHARACTERS]
        OrderItem.objects.bulk_update(items, ["failure_code", "failure_message"])
        insert_anew(download_list, items)
    return True


class Doubts:
    """Files of an order that could once not be read although their place is there: the second time it is their fault.

    So a file that no disk and no store gives out any more fails alone, and a place that is away fails nothing.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._numbers: set[int] = set()

    def failure(self, number: int, error: TransferError) -> Failure | None:
        """What a failure to read the bytes of the item with this number means for it; None to try it once more.

        The error itself is raised again where the file's place is away.
        """
        item = self._order.items.get(number=number)
        stored = file_of(item)
        if isinstance(error, (*AWAY, FolderUnusableError)) and stored is not None:
            return self._doubted(number, stored, error)
        failure = failure_of(self._order, item, stored)
        is_lost = isinstance(error, (SourceChangedError, SourceGoneError))
        return failure or Failure(FailureCode.NOT_FOUND if is_lost else FailureCode.UNKNOWN_ERROR, error.message)

    def _doubted(self, number: int, stored: StoredFile, error: TransferError) -> Failure | None:
        if not answers_without(stored):
            raise error
        if number in self._numbers:
            return Failure(FailureCode.UNKNOWN_ERROR, f"The file cannot be read: {error.message}")
        self._numbers.add(number)
        return None
