"""Ringing for workers: a message carries an id and nothing else, and may be lost, doubled or late."""

from __future__ import annotations

from typing import Any

import structlog
from celery import Task
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)

TRANSFERS = "transfers"
HOUSEKEEPING = "housekeeping"
EVERY_WORKER = "every-worker"


def ring(task: Task[Any, Any], pk: object, *, queue: str = TRANSFERS, expires_seconds: float | None = None) -> None:
    """Ask a worker to look at the row with this id; when the broker is away, the reaper will ask again."""
    expiry: dict[str, Any] = {} if expires_seconds is None else {"expires": expires_seconds}
    try:
        task.apply_async((str(pk),), queue=queue, retry=False, **expiry)
    except OperationalError as error:
        log.warning("doorbell not heard", task=task.name, id=str(pk), error=str(error))
