"""Ringing for workers: a message carries an id and nothing else, and may be lost, doubled or late."""

from __future__ import annotations

import functools
from typing import Any

import structlog
from celery import Task, current_app
from kombu import Queue
from kombu.exceptions import LimitExceeded, OperationalError
from kombu.pools import ProducerPool, producers
from redis import RedisError

log = structlog.get_logger(__name__)

TRANSFERS = "transfers"
LISTS = "lists"
"""Additions to lists, and orders' zips: nothing that waits for other hosts."""
CHECKSUMS = "checksums"
HOUSEKEEPING = "housekeeping"
EVERY_WORKER = "every-worker"
MAX_WAITING = 64
"""Doorbells in a queue beyond which no more are rung: a worker that hears one looks for all work that waits, or the
reaper rings when there are fewer."""
_QUEUES_OF = {
    "transfers.add_to_list": LISTS,
    "transfers.make_zip": LISTS,
    "transfers.tidy_zip": LISTS,
    "transfers.take_checksums": CHECKSUMS,
}
"""All other tasks wait in TRANSFERS."""
_BOUNDED = (TRANSFERS, LISTS, CHECKSUMS)
QUEUES = (*_BOUNDED, HOUSEKEEPING)
"""Those that a message waits in for one worker."""
AWAY = (OperationalError, LimitExceeded, RedisError)
"""What it is to us when the broker does not answer; Celery translates the last one only where it sends a task."""
PATIENCE_SECONDS = 1.0
"""How long a broker that hangs may hold up who rings: a heartbeat, or a client's request."""


def ring(task: Task[Any, Any], pk: object, *, queue: str = "", expires_seconds: float | None = None) -> None:
    """Ask a worker to look at the row with this id; when the broker is away, the reaper will ask again.

    The queue is the task's own one unless another is given.
    """
    queue = queue or _QUEUES_OF.get(task.name, TRANSFERS)
    options: dict[str, Any] = {} if expires_seconds is None else {"expires": expires_seconds}
    if queue == EVERY_WORKER:
        # Celery declares no broadcast for who sends to it; undeclared, it would go to the sender's own queue alone.
        options["declare"] = [task.app.amqp.queues[queue].exchange]
    try:
        with _producers().acquire(block=True, timeout=PATIENCE_SECONDS) as producer:
            if queue in _BOUNDED and _length(producer.channel, queue) >= MAX_WAITING:
                return
            task.apply_async((str(pk),), queue=queue, retry=False, producer=producer, **options)
    except AWAY as error:
        log.warning("doorbell not heard", task=task.name, id=str(pk), error=str(error))


def waiting(queue: str) -> int:
    """How many doorbells are in the queue; none when the broker is away."""
    try:
        with _producers().acquire(block=True, timeout=PATIENCE_SECONDS) as producer:
            return _length(producer.channel, queue)
    except AWAY:
        return 0


def _length(channel: Any, queue: str) -> int:
    declared: Any = Queue(queue, channel=channel).queue_declare()
    return int(declared.message_count)


@functools.cache
def _producers() -> ProducerPool:
    """Connections of our own: Celery's have the patience of those that wait for work."""
    options = {"socket_timeout": PATIENCE_SECONDS, "socket_connect_timeout": PATIENCE_SECONDS, "max_retries": 0}
    pool: ProducerPool = producers[current_app.connection_for_write(transport_options=options)]
    return pool
