"""Making an order's zip: look at its files, compress what is to be, lay it out, and copy it to its place."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import structlog
from celery import shared_task
from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Sum
from django.db.models.functions import Coalesce, Now

from transfers import leases, running, storage, tally
from transfers.doorbell import ring
from transfers.engine.archive import ArchiveSource, DeflatedSource, Layout
from transfers.engine.base import Sink
from transfers.engine.copying import Watch, WholePlan, copy
from transfers.engine.plan import Plan, shared, whole
from transfers.errors import CarryonError, Interrupted, Interruption, MemberError, SourceError, TransferError
from transfers.models import ListJob, Order, OrderItem, StoredFile
from transfers.models.list_job import ListJobDesired, ListJobKind
from transfers.tasks.archives import (
    Members,
    deflated_location,
    entry_numbers,
    file_source,
    is_there,
    layout_of,
    letting_go,
)
from transfers.tasks.checking import check_items, take_over_checksums
from transfers.tasks.events import tell_list_job
from transfers.tasks.failing import Doubts, fail_items
from transfers.tasks.threads import ZIPS, thread_for
from transfers.tasks.tidying import tidy

log = structlog.get_logger(__name__)

PUBLISH_SECONDS = 1.0
"""How often progress is told."""
CHECKSUMS_SECONDS = 0.5
"""How often it is looked whether the checksums of all files are known."""
CHECKSUMS_PATIENCE_SECONDS = 3.0
"""How long a job keeps its thread for that: whoever takes the checksums needs one, too."""
DOUBT_SECONDS = 2.0
"""How long a file that could not be read is left alone before it is tried once more."""
MAX_MESSAGE_CHARACTERS = 255
MAX_FRUITLESS = 5
"""Attempts that end the same way before a job fails."""
CONNECTIONS = 2
"""Parts that are moved at once: from disk to disk two keep both busy, more only stand in each other's way."""
ZIP_FOLDER = "orders"
"""The logical folder that zips are listed in."""
ZIP_TYPE = "application/zip"


@shared_task(name="transfers.make_zip")
def make_zip(job_id: str) -> None:
    """Make an order's zip until it is done or cannot be, if nobody else is at it.

    Where as many threads as may be are at zips, this is nothing: whoever is done with one rings for the next.
    """
    if running.draining():
        return
    with thread_for(ZIPS) as is_free:
        if not is_free:
            return
        _make(job_id)
    due = ListJob.objects.due().filter(kind=ListJobKind.ZIP).order_by("next_attempt_at")
    if (pk := due.values_list("pk", flat=True).first()) is not None:
        ring(make_zip, pk)


def _make(job_id: str) -> None:
    job = ListJob.objects.filter(kind=ListJobKind.ZIP).claim(job_id, leases.new_owner())
    if job is not None and job.order is not None:
        _Zipping(job, job.order).run()


class _Zipping:
    """One worker's hold of a job, under one heartbeat."""

    def __init__(self, job: ListJob, order: Order) -> None:
        self.job = job
        self.order = order
        self._reason: Interruption | None = None
        self._watch: Watch | None = None
        self._layout: Layout | None = None
        self._deflating: DeflatedSource | None = None
        self._compressed = 0
        """Bytes of the files that are compressed by now, each counted once it is."""
        self._doubts = Doubts(order)
        self._published = 0.0
        self._began_at = job.bytes_done
        self._ended = threading.Event()
        self._writing = threading.RLock()

    def run(self) -> None:
        """Work, and leave the row as it is to be."""
        beat = leases.Heartbeat(
            self._beat, lambda: self.interrupt(Interruption.FENCED), settings.ENVIRONMENT.heartbeat_seconds
        )
        try:
            with running.working_on(self.job.pk, self), beat:
                self._work()
        except Interrupted as interrupted:
            self._obey(interrupted.reason)
        except CarryonError as error:
            self._fail(error)
        except DatabaseError as error:  # it is the lease's to say who goes on, and the reaper's to ring
            log.warning("zip put off", job=str(self.job.pk), error=type(error).__name__)
        except Exception:  # whatever it is, it must not come again every few seconds for ever
            log.exception("zip failed unexpectedly", job=str(self.job.pk))
            self._fail(TransferError("Something unexpected went wrong; it has been logged."))

    def interrupt(self, reason: Interruption) -> None:
        """End soon, from any thread; the first reason is the one that counts."""
        self._reason = self._reason or reason
        self._ended.set()
        if (watch := self._watch) is not None:
            watch.interrupt(reason)

    # The work

    def _work(self) -> None:
        self._note(started_at=Coalesce("started_at", Now()), message=self.job.message or "looking at the files")
        if not self._looked():
            if self._note(message="taking checksums") and self.job.hand_back(delay_seconds=CHECKSUMS_SECONDS):
                tell_list_job(self.job)
            return
        self._compress_all()
        while (layout := layout_of(self.order)).count and not self._made(layout):
            pass
        if self._complete(layout):
            tidy(self.job.pk)

    def _looked(self) -> bool:
        """Look at the files, for a moment, until the CRC-32 of each that is there is known; others take those."""
        patience = time.monotonic() + CHECKSUMS_PATIENCE_SECONDS
        while not (take_over_checksums(self.order, job=self.job, doubts=self._doubts) and self._look_at_all()):
            if time.monotonic() > patience:
                return False
            self._ended.wait(CHECKSUMS_SECONDS)
            self._check()
        return True

    def _look_at_all(self) -> bool:
        limit = settings.ENVIRONMENT.order_max_bytes
        return check_items(self.order, limit, job=self.job, doubts=self._doubts)

    def _compress_all(self) -> None:
        """Compress beforehand what is to be: how long each file becomes says where all that come behind it lie."""
        items = self.order.items.to_compress()
        total = items.aggregate(size=Sum("size"))["size"] or 0
        if total:
            self._note(bytes_done=0, bytes_total=total + self.order.total_bytes)
        for item in list(items):
            while not self._compress(item):
                pass
            self._compressed += item.size

    def _compress(self, item: OrderItem) -> bool:
        """Compress a file, unless that is done or it fails; False when it is to be tried once more."""
        self._check()
        location = deflated_location(self.job, item)
        if item.deflated_size is not None and is_there(location, item.deflated_size):
            return True
        self._note(message=f"compressing {item.entry_name}"[:MAX_MESSAGE_CHARACTERS])
        plan = whole(None)
        with storage.of(location).sink(location, generation=item.crc32) as sink:
            sink.abort()  # what an earlier attempt left cannot be gone on with
            try:
                source = DeflatedSource(file_source(self.order, item), size=item.size, crc32=int(item.crc32, 16))
                sink.begin(plan)
                with self._watching(plan, sink) as watch:
                    self._deflating = source
                    copy(source, sink, WholePlan(plan, {}), watch)
                    size = watch.moved
                sink.complete(size)
            except SourceError as error:
                sink.abort()
                return self._settle(item.number, error)
            finally:
                self._deflating = None
        OrderItem.objects.filter(pk=item.pk).update(deflated_size=size)
        return True

    def _made(self, layout: Layout) -> bool:
        """Copy the zip to its place; False when a file failed on the way, so that this is to be done once more."""
        job, plan = self.job, shared(layout.size)
        members = Members(self.order, entry_numbers(self.order), job)
        known = job.multipart_upload_id if job.layout_validator == layout.validator else ""
        place = storage.of(job.location)
        with place.sink(job.location, generation=layout.validator, upload_id=known, content_type=ZIP_TYPE) as sink:
            sink.begin(plan)
            self._note(
                layout_validator=layout.validator,
                multipart_upload_id=sink.upload_id if isinstance(sink, storage.Begun) else "",
                message="",
                files_total=layout.count,
                bytes_total=self._compressed + layout.size,
            )
            try:
                self._copy(layout, members, sink, plan)
            except MemberError as error:
                if error.number is None or error.cause is None:
                    raise
                if self._lose(members.number(error.number), error.cause):
                    self._look_at_all()  # it may not be the only one
                    sink.abort()
                return False
            self._check()
            sink.complete(layout.size)
        return True

    def _lose(self, number: int, error: SourceError) -> bool:
        """As `_settle`; what was only compressed for us is compressed again, by another attempt."""
        if self.order.items.filter(number=number, is_deflated=True).update(deflated_size=None):
            raise error
        return self._settle(number, error)

    def _settle(self, number: int, error: SourceError) -> bool:
        """Fail the file whose bytes could not be had; False when it is to be tried once more."""
        failure = self._doubts.failure(number, error)
        if failure is None:
            self._ended.wait(DOUBT_SECONDS)
            self._check()
            return False
        return fail_items(self.order, {number: failure}, job=self.job)

    def _copy(self, layout: Layout, members: Members, sink: Sink, plan: Plan) -> None:
        self._layout = layout
        try:
            with self._watching(plan, sink) as watch:
                parts = WholePlan(plan, sink.stored_parts())
                copy(ArchiveSource(layout, letting_go(members)), sink, parts, watch, connections=CONNECTIONS)
        finally:
            self._layout = None

    @contextmanager
    def _watching(self, plan: Plan, sink: Sink) -> Iterator[Watch]:
        """Have the copy ended when this work is to end."""
        self._watch = watch = Watch(plan, sink.stored_parts())
        try:
            if self._reason is not None:
                watch.interrupt(self._reason)
            yield watch
        finally:
            self._watch = None

    def _complete(self, layout: Layout) -> bool:
        """running → completed: the zip, unless it would be empty, is among the user's files; whether it was ours."""
        with self._writing, transaction.atomic():
            expires_at = Now() + timedelta(days=settings.ENVIRONMENT.order_expiry_days)
            stored = self._stored(layout, expires_at) if layout.count else None
            ours = self.job.mark_completed(
                stored_file=stored,
                expires_at=expires_at,
                files_done=layout.count,
                files_total=layout.count,
                bytes_done=layout.size,
                bytes_total=layout.size,
            )
            if not ours:
                transaction.set_rollback(True)
        if ours:
            tally.add("bytes_moved", layout.size, kind="zip")
            tell_list_job(self.job)
        return ours

    def _stored(self, layout: Layout, expires_at: Any) -> StoredFile:
        """The zip's row; its checksums, which would cost reading all of it, are put off until somebody wants them."""
        path = storage.of(self.job.location).path(self.job.location)
        return StoredFile.objects.create(
            owner_id=self.order.user_id,
            name=self.order.zip_file_name,
            folder=ZIP_FOLDER,
            path=self.job.location,
            size=layout.size,
            modified_ns=path.stat().st_mtime_ns if path else 0,
            content_type=ZIP_TYPE,
            lease_expires_at=expires_at,
        )

    # Its end

    def _obey(self, reason: Interruption) -> None:
        if reason == Interruption.STOPPED:
            with self._writing:
                stopped = self.job.mark_stopped()
            if stopped:
                self._leave()
        elif reason == Interruption.DRAINING and self.job.hand_back():
            ring(make_zip, self.job.pk)

    def _fail(self, error: CarryonError) -> None:
        log.info("zip not made", job=str(self.job.pk), code=error.code)
        attempts = self.job.fruitless_attempts + 1 if self.job.bytes_done <= self._began_at else 1
        if attempts < MAX_FRUITLESS:
            if self.job.hand_back(delay_seconds=2.0**attempts, fruitless_attempts=attempts):
                tally.add("retries", kind="zip", code=error.code)
            return
        with self._writing:
            failed = self.job.mark_failed(error.code, error.message)
        if failed:
            tally.add("failures", kind="zip", code=error.code)
            self._leave()

    def _leave(self) -> None:
        """Tell that it has ended, and leave nothing lying about."""
        tell_list_job(self.job)
        tidy(self.job.pk)

    # While it runs

    def _check(self) -> None:
        if self._reason is not None:
            raise Interrupted(self._reason)

    def _beat(self) -> bool:
        if not self._note(**self._progress()):
            return False
        if ListJob.objects.filter(pk=self.job.pk, desired=ListJobDesired.STOP).exists():
            self.interrupt(Interruption.STOPPED)
        now = time.monotonic()
        if now >= self._published + PUBLISH_SECONDS:
            self._published = now
            tell_list_job(self.job)
        return True

    def _progress(self) -> dict[str, Any]:
        """What is told: bytes that were compressed, and then besides them those of the zip."""
        watch, layout, deflating = self._watch, self._layout, self._deflating
        if deflating is not None:
            return {"bytes_done": self._compressed + deflating.taken}
        if watch is None or layout is None:
            return {}
        return {"bytes_done": self._compressed + watch.moved, "files_done": layout.count_before(watch.frontier)}

    def _note(self, **facts: Any) -> bool:
        """Write this down, which renews the lease; whether it is still ours."""
        with self._writing:
            ours = self.job.mark_progress(**facts)
        if not ours:
            self.interrupt(Interruption.FENCED)
        return ours
