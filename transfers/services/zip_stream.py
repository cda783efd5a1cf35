"""An order's zip without a file: its bytes are known, and read from the files themselves as they are asked for."""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from weakref import WeakValueDictionary

from django.conf import settings
from django.db import connections

from transfers import storage
from transfers.engine.archive import Layout, MemberRange
from transfers.errors import (
    CarryonError,
    ChecksumsPendingError,
    NotStreamableError,
    SourceChangedError,
    ZipPendingError,
)
from transfers.models import Order, StoredFile
from transfers.models.list_job import ListJobState
from transfers.services import order as orders
from transfers.services import stored_file as files
from transfers.services.stored_file import SENT_BYTES, FileRange, ShortFileError
from transfers.tasks.archives import Members, entry_numbers, layout_of
from transfers.tasks.checking import check_items, take_over_checksums

KEPT_SECONDS = 60.0
"""How long a layout is kept for the other ranges that a client asks for: an order of 100,000 files costs seconds."""
KEPT_LAYOUTS = 8
LEAST_RANGE_BYTES = 2**16
"""A shorter piece of a file is read and sent along with what is around it: the kernel's own way costs more then."""


_Key = tuple[uuid.UUID, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """How an order's zip is laid out, and which order item became which entry."""

    layout: Layout
    numbers: Sequence[int]


@dataclass(frozen=True, slots=True)
class MadeZip:
    """A zip that lies there as a file, and what names its bytes, as if it were streamed."""

    file: StoredFile
    validator: str


@dataclass(frozen=True, slots=True)
class ZipStream:
    """The zip of an order, and the files that its bytes are in."""

    layout: Layout
    members: Members
    key: _Key

    def runs(self, wanted: range) -> Generator[bytes | FileRange]:
        """These bytes of the zip; each run is good until the next one is asked for.

        ShortFileError, which must end the answer, when a file is not the one that was laid out; it is looked at anew
        for the next one.
        """
        for run in self.layout.runs(wanted.start, wanted.stop):
            if isinstance(run, bytes):
                yield run
                continue
            try:
                yield from self._member_runs(run)
            except CarryonError as error:
                _kept.drop(self.key)
                raise ShortFileError(error.message) from None

    def _member_runs(self, wanted: MemberRange) -> Generator[bytes | FileRange]:
        stored, file = self._opened(wanted.number)
        if file is None:
            yield from self._foreign_runs(wanted)
            return
        with file:
            # All but the last byte of a long range is sent by the kernel, and nobody has a whole one with bytes in it
            # that were written meanwhile: the last one goes once the file was looked at again.
            held = wanted.offset if wanted.size < LEAST_RANGE_BYTES else wanted.end - 1
            if held > wanted.offset:
                yield FileRange(file, wanted.offset, held)
            rest = FileRange(file, held, wanted.end).read(held)
            if not files.is_still(stored=stored, file=file):
                raise SourceChangedError("The file was changed while it was sent.")
            yield rest

    def _opened(self, entry: int) -> tuple[StoredFile, FileIO | None]:
        """The entry's file, and it open to read; None where it is not on a disk of ours."""
        try:
            stored = self.members.file(entry)
            file = files.opened(stored=stored)
        finally:
            connections.close_all()  # the threads that send have no other use for the database
        if file is None and storage.of(stored.path).path(stored.path) is not None:
            raise SourceChangedError("The file is not at its place any more as it was stored.")
        return stored, file

    def _foreign_runs(self, wanted: MemberRange) -> Generator[bytes]:
        buffer = memoryview(bytearray(SENT_BYTES))
        with self.members.source(wanted.number).open(wanted.offset, wanted.end) as reader:
            while count := reader.readinto(buffer):
                yield bytes(buffer[:count])


def made(*, order: Order) -> MadeZip | None:
    """The order's zip as a worker has made it, if it is there to be had; a job whose zip is not has expired."""
    job = order.jobs.filter(state=ListJobState.COMPLETED).select_related("stored_file").first()
    if job is None or job.stored_file is None:
        return None
    if not orders.has_zip(job):
        orders.expire_without_zip(job=job)  # else it would have the say about what is in the zip
        return None
    return MadeZip(job.stored_file, job.layout_validator)


def kept(*, order: Order) -> ZipStream | None:
    """The order's zip, to be read without being made, if how it is laid out is still known; OrderTooLargeError."""
    orders.check_size(order=order)
    key = _key(order)
    plan = _kept.get(key)
    return _stream(order, key, plan) if plan is not None else None


def stream(*, order: Order) -> ZipStream:
    """The order's zip, to be read without being made: every file is looked at, unless `kept` has it by now.

    OrderTooLargeError; NotStreamableError where files are to be compressed, for which the zip has to be made first;
    ChecksumsPendingError, ZipPendingError and FolderUnusableError, which pass.
    """
    with _kept.making(order.pk):
        return kept(order=order) or _laid_out(order)


def _laid_out(order: Order) -> ZipStream:
    _look(order)
    key, plan = _key(order), _Plan(layout_of(order), entry_numbers(order))
    if key != _key(order) or len(plan.numbers) != plan.layout.count:  # a file has failed just now, or has come back
        raise ChecksumsPendingError("The order's files are being looked at: try again in a moment.")
    _kept.put(key, plan)
    return _stream(order, key, plan)


def _stream(order: Order, key: _Key, plan: _Plan) -> ZipStream:
    return ZipStream(plan.layout, Members(order, plan.numbers), key)


def _look(order: Order) -> None:
    """See whether the zip can be known now, and note what cannot be in it. Any error of `stream`'s."""
    is_known = take_over_checksums(order)
    is_settled = is_known and check_items(order, settings.ENVIRONMENT.order_max_bytes)
    if order.items.to_compress().exists():
        raise NotStreamableError("Files of this order are to be compressed: start it, and fetch what is made.")
    if not is_known:
        raise ChecksumsPendingError("The checksums of some files are still being taken: try again in a moment.")
    if not is_settled:
        raise ZipPendingError("Files of this order are gone, and its zip is made without them: try again in a moment.")


def _key(order: Order) -> _Key:
    """What the zip's bytes depend on: of an order everything stands but which of its files have failed."""
    return order.pk, tuple(order.items.failed().order_by("number").values_list("number", flat=True))


class _Kept:
    """What is known of the orders that were asked for lately."""

    def __init__(self) -> None:
        self._plans: OrderedDict[_Key, tuple[float, _Plan]] = OrderedDict()
        self._makers: WeakValueDictionary[uuid.UUID, threading.Lock] = WeakValueDictionary()
        """Of the orders that are being laid out just now."""
        self._lock = threading.Lock()

    @contextmanager
    def making(self, order_id: uuid.UUID) -> Iterator[None]:
        """Lay an order out alone: who comes meanwhile waits, and then finds what was put here."""
        with self._lock:
            maker = self._makers.setdefault(order_id, threading.Lock())
        with maker:
            yield

    def get(self, key: _Key) -> _Plan | None:
        with self._lock:
            kept_at, plan = self._plans.get(key, (0.0, None))
        return plan if time.monotonic() - kept_at < KEPT_SECONDS else None

    def put(self, key: _Key, plan: _Plan) -> None:
        with self._lock:
            self._plans[key] = (time.monotonic(), plan)
            self._plans.move_to_end(key)
            while len(self._plans) > KEPT_LAYOUTS:
                self._plans.popitem(last=False)

    def drop(self, key: _Key) -> None:
        with self._lock:
            self._plans.pop(key, None)


_kept = _Kept()
