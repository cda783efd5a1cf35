"""Orders, their items and jobs for tests, in any state that the database allows."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from tests.integration.transfers.rows import in_seconds
from transfers import leases
from transfers.models import DownloadList, ListItem, ListJob, Order, OrderItem, StoredFile
from transfers.models.list_job import LIVE, ListJobKind, ListJobState
from transfers.models.order import FailureCode


def new_order(user: User, count: int = 3, *, failed: int = 0, **facts: Any) -> Order:
    """An order of so many files of 1,000 bytes each, the last of which are not in its zip."""
    values = {"zip_file_name": "scans.zip", "files_count": count, "total_bytes": count * 1000, **facts}
    order = Order.objects.create(user=user, **values)
    items = [
        OrderItem(
            order=order,
            number=number,
            file_id=10**6 + number,
            entry_name=f"scans/{number}.bin",
            size=1000,
            modified_ns=0,
        )
        for number in range(count)
    ]
    for item in items[count - failed :]:
        item.failure_code, item.failure_message = FailureCode.NOT_FOUND, "The file was deleted."
    OrderItem.objects.bulk_create(items, batch_size=1000)
    return order


def new_job(user: User, order: Order | None = None, state: str = "queued", **facts: Any) -> ListJob:
    """A job of this order, or else one that adds files to the user's list."""
    values: dict[str, Any] = {"kind": ListJobKind.ADD if order is None else ListJobKind.ZIP, "state": state}
    if state == ListJobState.RUNNING:
        values |= {"lease_epoch": 1, "lease_owner": leases.new_owner(), "lease_expires_at": in_seconds(60)}
    if state not in LIVE:
        values["ended_at"] = timezone.now()
    values |= {"requested_at": timezone.now()}  # finer than SQLite's own clock, by which two might be as late
    job = ListJob.objects.create(user=user, order=order, **values | facts)
    job.refresh_from_db()
    return job


def new_zip(user: User, order: Order, **facts: Any) -> ListJob:
    """A job that has made the order's zip, of which there is only the row."""
    stored = StoredFile.objects.create(owner=user, name=order.zip_file_name, path=f"/zips/{order.pk}", size=4096)
    values = {"stored_file": stored, "expires_at": in_seconds(3600), "files_done": order.files_count, **facts}
    return new_job(user, order, ListJobState.COMPLETED, **values)


def new_list(user: User, count: int) -> DownloadList:
    """A list of so many files that are gone."""
    found = DownloadList.objects.create(user=user, files_count=count, total_bytes=count * 1000)
    rows = [ListItem(download_list=found, file_id=10**6 + number, size=1000) for number in range(count)]
    ListItem.objects.bulk_create(rows, batch_size=1000)
    return found
