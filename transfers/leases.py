"""Who works on a row right now: a lease in the row itself, by the database's clock alone.

A worker claims a row by one conditional UPDATE that adds 1 to `lease_epoch`; whatever it writes later carries that
epoch in its WHERE, so that a worker which lost its lease (paused, cut off, thought dead) changes nothing more:
it is fenced. Nothing else is trusted, not the queue, not the order of messages, not the workers' clocks.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog
from django.conf import settings
from django.db import connections, models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

log = structlog.get_logger(__name__)

SELF_FENCE_SHARE = 0.7
"""The share of its lease after which a worker that cannot reach the database stops by itself."""

LeasedT = TypeVar("LeasedT", bound="LeasedRow")


class LeasedRow(models.Model):
    """A row that at most one worker works on at a time."""

    lease_epoch = models.PositiveBigIntegerField(default=0, editable=False)
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    lease_owner = models.CharField(max_length=120, blank=True, default="", editable=False)

    class Meta:
        """No table of its own."""

        abstract = True


def new_owner() -> str:
    """A name for one run of work in this process, which no other run ever has."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"


def owner_is_gone(owner: str) -> bool:
    """Whether the owner was a process of this host that is no more; False when that cannot be told from here."""
    host, pid, _ = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except OSError as error:
        return isinstance(error, ProcessLookupError)
    return False


def free() -> Q:
    """Rows that nobody holds."""
    return Q(lease_expires_at=None) | Q(lease_expires_at__lte=Now())


def expired() -> Q:
    """Rows whose holder has not been heard of for too long."""
    return Q(lease_expires_at__lte=Now())


def term() -> Any:
    """When a lease that is claimed or renewed now expires, as an expression of the database's clock."""
    return Now() + timedelta(seconds=settings.ENVIRONMENT.lease_seconds)


def claim(rows: models.QuerySet[LeasedT], pk: object, owner: str, **changes: Any) -> LeasedT | None:
    """Claim the row with that key if it is among `rows` and free, with these changes to it; None when it is not."""
    with transaction.atomic():  # the row stays locked until its epoch is read, so the epoch is surely ours
        claimed = (
            rows.filter(free(), pk=pk)
            .order_by()
            .update(lease_epoch=F("lease_epoch") + 1, lease_expires_at=term(), lease_owner=owner, **changes)
        )
        return rows.model._default_manager.get(pk=pk) if claimed else None


def held(row: LeasedT) -> models.QuerySet[LeasedT]:
    """The row for as long as the claim that `row` stands for holds it: not taken over, and not given back."""
    mine = {"pk": row.pk, "lease_epoch": row.lease_epoch, "lease_owner": row.lease_owner}
    return type(row)._default_manager.filter(**mine).exclude(lease_owner="")


def renew(row: LeasedRow, **changes: Any) -> bool:
    """Extend the lease and write these changes; False when the row has another holder."""
    return bool(held(row).update(lease_expires_at=term(), **changes))


def release(row: LeasedRow, where: Q | None = None, **changes: Any) -> bool:
    """Give the row back with these changes; False when it has another holder or is not as `where` asks."""
    rows = held(row) if where is None else held(row).filter(where)
    return bool(rows.update(lease_expires_at=None, lease_owner="", **changes))


def take_from_the_dead(rows: models.QuerySet[LeasedT]) -> int:
    """End the leases of processes of this host that died, without waiting for their time; tell how many.

    Were one of them alive after all (two hosts of one name), it would be fenced, and no byte would go wrong.
    """
    leased = rows.filter(lease_expires_at__gt=Now()).exclude(lease_owner="")
    gone = [row for row in leased.only("pk", "lease_owner", "lease_epoch") if owner_is_gone(row.lease_owner)]
    return sum(held(row).update(lease_expires_at=Now()) for row in gone)


class Heartbeat:
    """Calls `beat` every `interval_seconds` in a thread of its own while its block runs.

    `beat` returns False when the lease is lost; that, or no successful beat for most of a lease's length, calls
    `lost`, once, and ends it. Work of less than one interval costs no thread a database connection.
    """

    def __init__(self, beat: Callable[[], bool], lost: Callable[[], None], interval_seconds: float) -> None:
        self._beat, self._lost, self._interval_seconds = beat, lost, interval_seconds
        self._fenced = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        patience_seconds = settings.ENVIRONMENT.lease_seconds * SELF_FENCE_SHARE
        last = due = time.monotonic()
        try:
            while True:
                due = max(due + self._interval_seconds, time.monotonic())  # beats that were missed are not made up for
                if self._done.wait(due - time.monotonic()):
                    return
                if self._beats():
                    last = time.monotonic()
                elif self._fenced or time.monotonic() - last > patience_seconds:
                    self._lost()
                    return
        finally:
            connections.close_all()

    def _beats(self) -> bool:
        try:
            alive = self._beat()
        except Exception as error:  # noqa: BLE001 - the lease is not renewed, whatever the reason
            log.warning("heartbeat failed", error=repr(error))
            connections.close_all()
            return False
        self._fenced = not alive
        return alive
