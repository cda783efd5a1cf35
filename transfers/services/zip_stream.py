"""An order's zip without a file: its bytes are known, and read from the files themselves as they are asked for."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from io import FileIO

from django.conf import settings
from django.db import connections

from transfers.engine.archive import Layout
from transfers.engine.base import Source
from transfers.errors import NotStreamableError, SinkError, SourceChangedError
from transfers.models import ListJob, Order
from transfers.models.list_job import ListJobState
from transfers.services import order as orders
from transfers.services import stored_file as files
from transfers.tasks.archives import Members, check_items, layout_of

KEPT_SECONDS = 60.0
"""How long a layout is kept for the other ranges that a client asks for: an order of 100,000 files costs seconds."""
KEPT_LAYOUTS = 8


@dataclass(frozen=True, slots=True)
class ZipStream:
    """The zip of an order, and the files that its bytes are in."""

    layout: Layout
    members: Members

    def opened(self, entry: int) -> FileIO | None:
        """The entry's file, open to read, where it is on a disk of ours; SourceChangedError when it is not as ordered."""
        try:
            return files.opened(stored=self.members.item(entry).file)
        except SinkError as error:
            raise SourceChangedError(error.message) from None
        finally:
            connections.close_all()  # the threads that send have no other use for the database

    def source(self, entry: int) -> Source:
        """The entry's file, wherever it is."""
        return self.members.source(entry)


def made(*, order: Order) -> ListJob | None:
    """The job that has made the zip, if it is there to be had."""
    done = order.jobs.filter(state=ListJobState.COMPLETED, stored_file__deleted_at=None, stored_file__isnull=False)
    return done.select_related("stored_file").first()


def stream(*, order: Order) -> ZipStream:
    """The order's zip, to be read without being made.

    OrderTooLargeError; NotStreamableError where files are to be compressed, for which the zip has to be made first;
    ChecksumsPendingError, which passes.
    """
    orders.check_size(order=order)
    key = (str(order.pk), order.items.failed().count())
    layout = _kept.get(key)
    if layout is None:
        check_items(order, settings.ENVIRONMENT.order_max_bytes)
        if order.items.to_compress().exists():
            raise NotStreamableError("Files of this order are to be compressed: start it, and fetch what is made.")
        layout = layout_of(order)
        _kept.put((str(order.pk), order.items.failed().count()), layout)
    return ZipStream(layout, Members(order))


class _Kept:
    """The layouts of orders that were asked for lately."""

    def __init__(self) -> None:
        self._layouts: OrderedDict[tuple[str, int], tuple[float, Layout]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, int]) -> Layout | None:
        with self._lock:
            kept_at, layout = self._layouts.get(key, (0.0, None))
        return layout if time.monotonic() - kept_at < KEPT_SECONDS else None

    def put(self, key: tuple[str, int], layout: Layout) -> None:
        with self._lock:
            self._layouts[key] = (time.monotonic(), layout)
            self._layouts.move_to_end(key)
            while len(self._layouts) > KEPT_LAYOUTS:
                self._layouts.popitem(last=False)


_kept = _Kept()
