"""What waits in the broker: doorbells, each the id of a row; the rows themselves tell how much work there is."""

from __future__ import annotations

import functools
import json
import time
from dataclasses import dataclass
from typing import Any

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.tracing import RUNG_AT
from transfers.doorbell import QUEUES
from transfers.redis import options


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits in one queue."""

    length: int
    oldest_seconds: float
    """How long the message that comes next has waited; hosts' clocks differ, so it is good for alerts only."""


def queues() -> dict[str, Queue]:
    """Every queue's, in one question."""
    with _client().pipeline(transaction=False) as asked:
        for name in QUEUES:
            asked.llen(name)
            asked.lindex(name, -1)
        told = asked.execute()
    return {name: Queue(told[2 * at], _age(told[2 * at + 1])) for at, name in enumerate(QUEUES)}


def _age(message: bytes | None) -> float:
    headers: dict[str, Any] = json.loads(message).get("headers", {}) if message else {}
    return max(0.0, time.time() - headers[RUNG_AT]) if RUNG_AT in headers else 0.0


@functools.cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, **options(), retry=Retry(NoBackoff(), retries=0))
