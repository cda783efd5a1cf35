"""The reaper rings for what nobody holds: at once for what its worker left, patiently for what is queued."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.conf import settings

from tests.integration.transfers.order_rows import new_job, new_order
from tests.integration.transfers.rows import in_seconds, new_download, new_user
from transfers.doorbell import MAX_WAITING, QUEUES
from transfers.models import StoredFile
from transfers.tasks import reap
from transfers.tasks.housekeeping import PATIENCE_SECONDS

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def queue() -> Iterator[redis.Redis]:
    """Redis with empty queues."""
    with redis.Redis.from_url(settings.REDIS_URL, protocol=2) as client:
        client.delete(*QUEUES)
        yield client
        client.delete(*QUEUES)


def rung(queue: redis.Redis, name: str = "transfers", *, empty: bool = False) -> list[dict[str, Any]]:
    """The doorbells that the reaper rings now, though another one is in that queue already unless it is `empty`."""
    queue.delete(*QUEUES)
    if not empty:
        queue.lpush(name, "another one")
    reap()
    return [json.loads(message) for message in queue.lrange(name, 0, -1) if message != b"another one"]


def ids(messages: list[dict[str, Any]]) -> set[str]:
    return {message["headers"]["argsrepr"] for message in messages}


def test_what_a_worker_left_is_rung_for_at_once(queue: redis.Redis) -> None:
    left = new_download(state="running", lease_expires_at=in_seconds(-0.1), next_attempt_at=in_seconds(-2))
    new_download(state="running", next_attempt_at=in_seconds(-2))  # held
    new_download(next_attempt_at=in_seconds(-2))  # its doorbell is most likely in the queue
    messages = rung(queue)
    assert ids(messages) == {f"('{left.pk}',)"}


def test_what_is_queued_is_rung_for_after_a_while(queue: redis.Redis) -> None:
    late = new_download(next_attempt_at=in_seconds(-PATIENCE_SECONDS - 1))
    new_download(next_attempt_at=in_seconds(60))
    assert ids(rung(queue)) == {f"('{late.pk}',)"}


def test_checksums_that_a_worker_left_are_rung_for_at_once(queue: redis.Redis) -> None:
    facts = {"owner": new_user(), "name": "a", "size": 1}
    left = StoredFile.objects.create(**facts, path="/left", lease_owner="x:1:y", lease_expires_at=in_seconds(-0.1))
    StoredFile.objects.create(**facts, path="/new")
    StoredFile.objects.create(**facts, path="/held", lease_owner="x:1:y", lease_expires_at=in_seconds(60))
    StoredFile.objects.create(**facts, path="/put-off", lease_expires_at=in_seconds(60))
    assert ids(rung(queue, "checksums")) == {f"('{left.pk}',)"}


def test_jobs_of_lists_are_rung_for_however_many_downloads_wait(queue: redis.Redis) -> None:
    ann = new_user()
    for _ in range(MAX_WAITING + 1):
        new_download(next_attempt_at=in_seconds(-PATIENCE_SECONDS - 1))
    jobs = [new_job(ann, next_attempt_at=in_seconds(-2)), new_job(ann, new_order(ann), next_attempt_at=in_seconds(-2))]
    new_job(ann, next_attempt_at=in_seconds(60))
    assert ids(rung(queue, "lists", empty=True)) == {f"('{job.pk}',)" for job in jobs}
    assert queue.llen("transfers") == MAX_WAITING


def test_a_job_that_was_handed_back_is_rung_for_at_once(queue: redis.Redis) -> None:
    ann = new_user()
    again = new_job(ann, next_attempt_at=in_seconds(-0.1), lease_epoch=1)
    new_job(ann, next_attempt_at=in_seconds(-2))  # its doorbell is most likely in the queue
    assert ids(rung(queue, "lists")) == {f"('{again.pk}',)"}


def test_doorbells_do_not_expire_by_a_clock_of_another_host(queue: redis.Redis) -> None:
    new_download(next_attempt_at=in_seconds(-PATIENCE_SECONDS - 1))
    assert [message["headers"]["expires"] for message in rung(queue)] == [None]
    schedule: dict[str, Any] = settings.CELERY_BEAT_SCHEDULE
    assert all(set(entry["options"]) == {"queue"} for entry in schedule.values())
