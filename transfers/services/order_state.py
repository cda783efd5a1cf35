"""Where an order stands, in one look, and what operators may have done with its job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models.functions import Now

from transfers.errors import JobEndedError
from transfers.models import ListJob, Order, OrderItem, StoredFile
from transfers.models.list_job import LIVE, ListJobState
from transfers.models.selection import Selection
from transfers.services import download_list as lists
from transfers.services import order as orders


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderState:
    """What is known of an order besides what was ordered."""

    failures_count: int
    job: ListJob | None
    """The last one; None when its zip was never asked for."""
    zip_file: StoredFile | None
    """None as long as there is none, and when it is gone again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePage:
    """Some of an order's files that are not in its zip, and the number that the next page begins behind, if any."""

    items: Sequence[OrderItem]
    next_after: int | None


def look(*, order: Order) -> OrderState:
    """Where the order stands now."""
    job = order.jobs.select_related("stored_file").order_by("-requested_at").first()
    made = job.stored_file if job is not None and job.state == ListJobState.COMPLETED else None
    return OrderState(
        failures_count=order.items.failed().count(),
        job=job,
        zip_file=made if made is not None and made.deleted_at is None else None,
    )


def failures(*, order: Order, after: int | None, page_size: int) -> FailurePage:
    """The files that are not in the zip, in the order's order, behind that number."""
    rows = order.items.failed().order_by("number")
    found = list((rows if after is None else rows.filter(number__gt=after))[: page_size + 1])
    shown = found[:page_size]
    return FailurePage(items=shown, next_after=shown[-1].number if len(found) > page_size else None)


def expire(*, job: ListJob) -> None:
    """Have the job's zip removed within seconds, as if its time were over; JobEndedError when it has none."""
    if not ListJob.objects.filter(pk=job.pk, state=ListJobState.COMPLETED).update(expires_at=Now()):
        raise JobEndedError("The job has no zip that could be removed.")


def before_again(*, job: ListJob) -> None:
    """What `again` needs that asks a disk or a store, and so must not be called within a transaction."""
    if job.order is not None:
        orders.expire_lost(order=job.order)


def again(*, job: ListJob) -> ListJob:
    """Have done once more, for the same user, what an ended job was to do; an order that is zipped gives its job.

    JobEndedError, the other way round, for a live addition to a list.
    """
    if job.order is not None:
        return orders.start(order=job.order)
    if job.state in LIVE:
        raise JobEndedError("The job has not ended yet.")
    return lists.start_adding(user=job.user, request=Selection.from_json(job.request))
