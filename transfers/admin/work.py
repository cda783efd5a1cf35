"""What a page tells of the work on a row, whatever the work is."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from django.utils import timezone

from transfers.admin import wording


class Worked(Protocol):
    """A row that a worker works on, until it ends."""

    requested_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class Leased(Protocol):
    """A row that workers try until one of them is through with it."""

    state: str
    next_attempt_at: datetime
    lease_owner: str


def times(row: Worked) -> list[tuple[str, str]]:
    """When it was asked for, began and ended, and how long it took, or takes already."""
    return [
        ("Requested (UTC)", wording.moment(row.requested_at)),
        ("Began (UTC)", wording.moment(row.started_at)),
        ("Ended (UTC)", wording.moment(row.ended_at)),
        ("Duration", wording.span(_seconds(row))),
    ]


def attempts(row: Leased, in_vain: int = 0) -> list[tuple[str, str]]:
    """When it is tried next, how often it was in vain, and who is at it."""
    told: list[tuple[str, str]] = []
    if row.state == "queued" and row.next_attempt_at > timezone.now():
        told.append(("Next attempt (UTC)", wording.moment(row.next_attempt_at)))
    if in_vain:
        told.append(("Attempts in vain", f"{in_vain:,}"))
    if row.lease_owner:
        told.append(("Worker", row.lease_owner.rpartition(":")[0]))
    return told


def _seconds(row: Worked) -> float | None:
    if row.started_at is None:
        return None
    return ((row.ended_at or timezone.now()) - row.started_at).total_seconds()
