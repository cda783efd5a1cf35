"""Orders: making one of a list, having it zipped, and what became of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from transfers import audit, progress, quotas, storage
from transfers.doorbell import ring
from transfers.engine.archive import EntryNames, Method, method_for, most_framing_bytes
from transfers.errors import (
    FolderUnusableError,
    InvalidInputError,
    JobEndedError,
    NoSuchJobError,
    NoSuchOrderError,
    OrderTooLargeError,
    SourceChangedError,
    SourceError,
    SourceRefusedError,
)
from transfers.models import ListItem, ListJob, Order, OrderItem, StoredFile
from transfers.models.list_job import LIVE, ListJobDesired, ListJobKind, ListJobState
from transfers.models.order import FailureCode
from transfers.services import download_list as lists
from transfers.services import stored_file as files
from transfers.tasks.events import tell_list_job
from transfers.tasks.forgetting import drop
from transfers.tasks.items import modified_ns
from transfers.tasks.lists import locked
from transfers.tasks.places import check_reachable
from transfers.tasks.tidying import tidy_zip
from transfers.tasks.zipping import make_zip

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from transfers.progress import ProgressEvent

ROWS_AT_ONCE = 1_000
"""Also those that one transaction writes: it must not keep others waiting, least of all on SQLite."""
MAX_LOOKS = 5
"""How often an order is written anew as files of it left the list meanwhile."""
SHOWN_IDS = 5
"""Files that a message names of those that are wrong."""
LEAST_DEFLATED_BYTES = 2**16
"""A smaller file is stored as it is: compressed, it would cost a file of its own on the way, and two syncs."""
RECENT = timedelta(minutes=1)
"""How long an ended job is still part of the present state that a new listener gets."""
SNAPSHOT_LIMIT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What is to be ordered of a list."""

    zip_file_name: str
    sub_set: Sequence[int] | None = None
    """Ids of files on the list; None is all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPage:
    """Some of a user's orders, newest first; `more` tells whether there are older ones."""

    orders: Sequence[Order]
    more: bool


def make(*, user: User, request: OrderRequest, by: User | None = None) -> Order:
    """Order files of the user's list, which leave it. InvalidInputError when there are none, or some are not on it.

    `by` has it made, where that is not the user.
    """
    for _ in range(MAX_LOOKS):
        listed = ListItem.objects.filter(download_list_id=user.pk).order_by("id")
        sizes = dict(listed.values_list("file_id", "size"))
        wanted = list(sizes) if request.sub_set is None else list(request.sub_set)
        _check(wanted, sizes, request)
        draft = _written(user, request, wanted, sizes)
        if _placed(draft, by or user):
            return draft
        drop(draft)
    raise InvalidInputError({"files": ["the list changes all the time: order again in a moment"]})


def find(*, user: User, order_id: uuid.UUID) -> Order:
    """The order of this id; NoSuchOrderError when the user has none."""
    order = Order.objects.visible_to(user).select_related("user").filter(pk=order_id).first()
    if order is None:
        raise NoSuchOrderError("There is no such order.")
    return order


def file_ids(*, order: Order) -> Sequence[int]:
    """The ids of the files that were ordered, in the order's order."""
    return list(order.items.order_by("number").values_list("file_id", flat=True))


def earlier(*, user: User, order_id: uuid.UUID, unknown: InvalidInputError) -> Order:
    """The order of this user's that a page of the history ended with; `unknown` is raised where there is none."""
    order = Order.objects.filter(user=user, pk=order_id).first()
    if order is None:
        raise unknown
    return order


def history(*, user: User, before: Order | None = None, page_size: int) -> OrderPage:
    """The user's orders, newest first, from behind that one on."""
    rows = Order.objects.filter(user=user).order_by("-created_at", "-id")
    if before is not None:
        rows = rows.filter(Q(created_at__lt=before.created_at) | Q(created_at=before.created_at, id__lt=before.pk))
    found = list(rows[: page_size + 1])
    return OrderPage(orders=found[:page_size], more=len(found) > page_size)


def start(*, order: Order) -> ListJob:
    """Have the order zipped; one that is, or is being, gives the same job: `expire_lost` goes before.

    OrderTooLargeError when it may not be, QuotaExceededError when its owner has no room for the zip.
    """
    check_size(order=order)
    with quotas.held(order.user_id), transaction.atomic():
        locked(order.user_id)  # whoever starts it besides waits; so does who looks at its files without a job
        rows = Order.objects.select_for_update(no_key=True).filter(pk=order.pk)
        if rows.values_list("pk", flat=True).first() is None:  # what is old may be forgotten just now
            raise NoSuchOrderError("There is no such order.")
        found = order.jobs.standing().first()
        if found is None:
            return _new_job(order)
        if found.live or found.state == ListJobState.COMPLETED:
            return found
        raise JobEndedError("The order's zip is being stopped: start it again in a moment.")


def expire_lost(*, order: Order) -> None:
    """completed → expired, where the made zip is not at its place any more, or all of its files had failed.

    It asks a disk or a store, and so must not be called within a transaction.
    """
    made = order.jobs.filter(state=ListJobState.COMPLETED).select_related("stored_file").first()
    if made is not None and not has_zip(made):
        expire_without_zip(job=made)


def expire_without_zip(*, job: ListJob) -> None:
    """completed → expired: there is no zip."""
    with transaction.atomic():
        if job.stored_file_id is not None:
            files.delete(user=job.user, stored_file_id=job.stored_file_id)
        ListJob.objects.filter(pk=job.pk).expire()


def has_zip(job: ListJob) -> bool:
    """Whether the job's zip is at its place, as far as that can be told now."""
    stored = job.stored_file
    if stored is None or stored.deleted_at is not None:
        return False
    place = storage.of(stored.path)
    try:
        if (path := place.path(stored.path)) is None:
            return place.source(stored.path).stat().size == stored.size
        if stored.untouched():
            return True
        check_reachable(path)
    except (SourceRefusedError, SourceChangedError):
        return False
    except (SourceError, FolderUnusableError):  # it is away, which passes
        return True
    return False


def check_size(*, order: Order) -> None:
    """OrderTooLargeError when one zip may not have so many bytes."""
    limit = settings.ENVIRONMENT.order_max_bytes
    if order.total_bytes > limit:
        raise OrderTooLargeError(order.total_bytes, limit)


def job(*, user: User, job_id: uuid.UUID, order: Order | None = None) -> ListJob:
    """The job of this id (of that order); NoSuchJobError when the user has none."""
    rows = ListJob.objects.visible_to(user).select_related("stored_file", "order", "user")
    found = (rows if order is None else rows.filter(order=order)).filter(pk=job_id).first()
    if found is None:
        raise NoSuchJobError("There is no such job.")
    return found


def status(*, job: ListJob) -> dict[str, Any]:
    """Where the job stands, as whoever polls for its result is told until it is there."""
    return progress.list_job_status(job)


def stop(*, job: ListJob) -> ListJob:
    """End a live job within a second or two; JobEndedError when it is not live."""
    if not ListJob.objects.live().filter(pk=job.pk, desired=ListJobDesired.RUN).update(desired=ListJobDesired.STOP):
        raise JobEndedError("The job has ended already.")
    if ListJob.objects.filter(pk=job.pk).stop_unclaimed():
        transaction.on_commit(lambda: tell_list_job(job))
        transaction.on_commit(lambda: ring(tidy_zip, job.pk))
    job.refresh_from_db()
    return job


def summary(*, job: ListJob) -> Iterator[OrderItem]:
    """What became of each of the files of the job's order, in the order's order."""
    return OrderItem.objects.filter(order=job.order).order_by("number").iterator(ROWS_AT_ONCE)


def snapshot(*, user: Any) -> list[ProgressEvent]:
    """Where the jobs of lists and orders stand that run, or have ended lately, oldest first."""
    recent = Q(state__in=LIVE) | Q(ended_at__gte=Now() - RECENT)
    live_first = (F("ended_at").desc(nulls_first=True), "-requested_at")
    rows = ListJob.objects.visible_to(user).filter(recent).order_by(*live_first)[:SNAPSHOT_LIMIT]
    return [progress.list_job_state(job) for job in reversed(rows)]


def _check(wanted: Sequence[int], sizes: dict[int, int], request: OrderRequest) -> None:
    if not wanted:
        field = "files" if request.sub_set is None else "subSet"
        raise InvalidInputError({field: ["an order needs at least one file"]})
    if missing := [file_id for file_id in dict.fromkeys(wanted) if file_id not in sizes]:
        told = ", ".join(str(file_id) for file_id in missing[:SHOWN_IDS])
        more = f" and {len(missing) - SHOWN_IDS} more" if len(missing) > SHOWN_IDS else ""
        raise InvalidInputError({"subSet": [f"not on the download list: {told}{more}"]})


def _written(user: User, request: OrderRequest, wanted: Sequence[int], sizes: dict[int, int]) -> Order:
    """A draft with all its items, of which each transaction writes some; what it counts is not written down yet."""
    draft = Order.drafts.create(user=user, zip_file_name=request.zip_file_name, files_count=0, total_bytes=0)
    names_bytes = 0
    for items in _items(draft, wanted, sizes):
        OrderItem.objects.bulk_create(items)
        draft.files_count += len(items)
        draft.total_bytes += sum(item.size for item in items if not item.failure_code)
        names_bytes += sum(len(item.entry_name.encode()) for item in items)
    draft.framing_bytes = most_framing_bytes(draft.files_count, names_bytes)
    return draft


def _placed(draft: Order, by: User) -> bool:
    """Make an order of the draft, whose files leave the list; False when some of these are not on it any more.

    However many there are, these are a few statements: all that takes long has been done.
    """
    files = draft.items.exclude(failure_code=FailureCode.DUPLICATE)
    with transaction.atomic(durable=True):
        taken = lists.take(user=draft.user, file_ids=files.values("file_id"))
        counted = {name: getattr(draft, name) for name in ("files_count", "total_bytes", "framing_bytes")}
        if taken == files.count() and Order.drafts.filter(pk=draft.pk).update(**counted):
            audit.by_api(by=by, owner_id=draft.user_id, row=draft, what="Ordered", flag=audit.ADDITION)
            return True
        transaction.set_rollback(True)
    return False


def _items(order: Order, wanted: Sequence[int], sizes: dict[int, int]) -> Iterator[list[OrderItem]]:
    """The order's items, some at a time: all of those of a large order would fill the memory of a web process."""
    names, seen = EntryNames(), set[int]()
    for start in range(0, len(wanted), ROWS_AT_ONCE):
        some = wanted[start : start + ROWS_AT_ONCE]
        found = StoredFile.objects.in_bulk(set(some))
        items = []
        for number, file_id in enumerate(some, start):
            item = OrderItem(order=order, number=number, file_id=file_id)
            _describe(item, found.get(file_id), sizes[file_id], names)
            if file_id in seen:
                item.failure_code = FailureCode.DUPLICATE
                item.failure_message = "The file is in this order already."
            seen.add(file_id)
            items.append(item)
        yield items


def _describe(item: OrderItem, file: StoredFile | None, listed_size: int, names: EntryNames) -> None:
    """Freeze what the file is like; what is gone is told of when the zip is made."""
    if file is None:
        item.entry_name = names.add("", f"file-{item.file_id}")
        item.size, item.modified_ns = listed_size, 0
        return
    method = method_for(file.content_type, file.name, file.size)
    item.entry_name = names.add(file.folder, file.name)
    item.size, item.modified_ns, item.crc32 = file.size, modified_ns(file), file.crc32
    item.is_deflated = method == Method.DEFLATED and file.size >= LEAST_DEFLATED_BYTES


def _new_job(order: Order) -> ListJob:
    quotas.require(order.user_id, order.total_bytes + order.framing_bytes)
    # What was wanted then may be there by now. It had gone back on the list: it is this order's again.
    failed = order.items.failed().exclude(failure_code=FailureCode.DUPLICATE)
    lists.remove(user=order.user, file_ids=list(failed.values_list("file_id", flat=True)))
    failed.update(failure_code="", failure_message="")
    pk = uuid.uuid4()
    location = storage.for_new().made_location(order.user_id, f"{pk}.zip")
    job = ListJob.objects.create(
        pk=pk,
        user_id=order.user_id,
        kind=ListJobKind.ZIP,
        order=order,
        location=location,
        files_total=order.files_count,
        bytes_total=order.total_bytes,
    )
    transaction.on_commit(lambda: ring(make_zip, job.pk))
    return job
