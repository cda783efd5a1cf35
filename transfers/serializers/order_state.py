"""Where an order stands, on the wire."""

from __future__ import annotations

from typing import Any

from transfers import progress
from transfers.models import Order, OrderItem
from transfers.serializers.lists import association
from transfers.services.order_state import FailurePage, OrderState


def shown_state(order: Order, state: OrderState) -> dict[str, Any]:
    """Where the order stands."""
    return {
        "orderId": str(order.pk),
        "numberOfFiles": order.files_count,
        "numberOfFailures": state.failures_count,
        "job": None if state.job is None else progress.list_job_status(state.job),
        "resultZipFileHandleId": None if state.zip_file is None else str(state.zip_file.pk),
        "zipSize": None if state.zip_file is None else state.zip_file.size,
        "expiresOn": None if state.zip_file is None or state.job is None else state.job.expires_at,
    }


def shown_failures(page: FailurePage) -> dict[str, Any]:
    """A page of the files that are not in the zip."""
    told: dict[str, Any] = {"page": [_failure(item) for item in page.items]}
    return told | ({} if page.next_after is None else {"nextPageToken": str(page.next_after)})


def _failure(item: OrderItem) -> dict[str, Any]:
    return {
        **association(item.file_id),
        "zipEntryName": item.entry_name,
        "failureCode": item.failure_code,
        "failureMessage": item.failure_message,
    }
