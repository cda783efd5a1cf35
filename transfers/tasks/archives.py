"""An order's files as the members of its zip: how they are laid out, and where their bytes are."""

from __future__ import annotations

import functools
import threading
from array import array
from collections.abc import Callable, Sequence

from django.db import connections

from transfers import storage
from transfers.engine.archive import Layout, Member, Method
from transfers.engine.base import Source
from transfers.errors import (
    ChecksumsPendingError,
    FolderUnusableError,
    SourceChangedError,
    SourceError,
    SourceInterruptedError,
)
from transfers.models import ListJob, Order, OrderItem, StoredFile
from transfers.tasks.items import ROWS_AT_ONCE, ItemAndFile, failure_of, file_of, with_files

BATCHES_KEPT = 8


def layout_of(order: Order) -> Layout:
    """The zip of the files that have not failed; ChecksumsPendingError while one of them cannot be laid out yet."""
    if order.items.unproved().exists():
        raise ChecksumsPendingError("The checksums of some files are still being taken: try again in a moment.")
    return Layout.of(_member(item) for item in order.items.in_zip().iterator(ROWS_AT_ONCE))


def entry_numbers(order: Order) -> array[int]:
    """The numbers of the order items that are to be in its zip, by entry: four bytes each."""
    return array("I", order.items.in_zip().values_list("number", flat=True).iterator(ROWS_AT_ONCE))


class Members:
    """The files behind the entries of an order's zip, by the number of the entry.

    They are looked up in batches, of which some are kept: several parts of a zip are moved at once.
    """

    def __init__(self, order: Order, numbers: Sequence[int], job: ListJob | None = None) -> None:
        """`numbers` are the `entry_numbers`; `job` is the one that has compressed what is to be compressed."""
        self._order = order
        self._job = job
        self._numbers = numbers
        self._batch = functools.lru_cache(BATCHES_KEPT)(self._looked_up)

    def number(self, entry: int) -> int:
        """The number of the order item that became this entry."""
        return self._numbers[entry]

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

    def _found(self, entry: int) -> ItemAndFile:
        return self._batch(entry // ROWS_AT_ONCE)[entry % ROWS_AT_ONCE]

    def _looked_up(self, batch: int) -> list[ItemAndFile]:
        numbers = self._numbers[batch * ROWS_AT_ONCE : (batch + 1) * ROWS_AT_ONCE]
        return with_files(self._order.items.filter(number__in=numbers).order_by("number"))


def file_source(order: Order, item: OrderItem) -> Source:
    """The file of an order item, to read; SourceChangedError when it is not the ordered one."""
    location = _checked(order, item, file_of(item)).path
    return storage.of(location).source(location)


def deflated_location(job: ListJob, item: OrderItem) -> str:
    """Where the compressed bytes of an item lie until the job has made the zip: beside it."""
    return f"{job.location}.{item.number}.deflated"


def letting_go(members: Members) -> Callable[[int], Source]:
    """Where members come from, for the threads that copy, which have no other use for the database."""
    ours = threading.get_ident()

    def source(entry: int) -> Source:
        try:
            return members.source(entry)
        finally:
            if threading.get_ident() != ours:
                connections.close_all()

    return source


def is_there(location: str, size: int) -> bool:
    """Whether a file of this size lies there."""
    try:
        return storage.of(location).source(location).stat().size == size
    except SourceError:
        return False


def _checked(order: Order, item: OrderItem, stored: StoredFile | None) -> StoredFile:
    try:
        failure = failure_of(order, item, stored)
    except FolderUnusableError as error:
        raise SourceInterruptedError(error.message) from None
    if failure is not None or stored is None:
        raise SourceChangedError(failure.message if failure else "")
    return stored


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
