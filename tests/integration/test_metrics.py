"""What the rows and the queues tell, and how Prometheus is told it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from config import presence
from config.health.checks import Room
from config.health.probe import Answer
from config.health.report import Report
from config.metrics import families, queues, rows
from config.metrics.families import Numbers
from config.metrics.queues import Queue
from tests.integration.transfers.rows import new_download
from transfers import doorbell, leases
from transfers.doorbell import ring
from transfers.models import Download
from transfers.tasks.download import fetch_download

PATIENT = "P-4711"


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def empty_queue(broker: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(broker)
    client.delete(doorbell.TRANSFERS)
    yield client
    client.delete(doorbell.TRANSFERS)


@pytest.mark.django_db
def test_rows_are_counted_by_state_holder_and_wait(user: User) -> None:
    running, waiting = new_download(user), new_download(user)
    assert Download.objects.claim(running.pk, leases.new_owner())
    Download.objects.filter(pk=waiting.pk).update(next_attempt_at=Now() - timedelta(seconds=90))

    found = rows.numbers()

    assert found.by_state["transfers.download", "running"] == 1
    assert found.by_state["transfers.download", "queued"] == 1
    assert found.by_state["transfers.download", "failed"] == 0
    assert found.leases["transfers.download"] == 1
    assert 89 < found.oldest_due_seconds["transfers.download"] < 120
    assert found.oldest_due_seconds["sync.job"] == 0


@pytest.mark.django_db
def test_a_lease_that_ran_out_is_nobodys_and_its_work_is_due(user: User) -> None:
    row = new_download(user)
    assert Download.objects.claim(row.pk, leases.new_owner())
    Download.objects.filter(pk=row.pk).update(lease_expires_at=Now() - timedelta(seconds=1))

    found = rows.numbers()

    assert found.leases["transfers.download"] == 0
    assert found.oldest_due_seconds["transfers.download"] > 0


@pytest.mark.django_db
def test_every_kind_of_work_is_there_with_words_of_ours() -> None:
    found = rows.numbers()

    assert {kind for kind, _ in found.by_state} >= {
        *("transfers.download", "transfers.upload", "sync.job"),
        *("tasks_api.publicupload", "tasks_api.privateupload", "tasks_api.downloadtask"),
    }
    assert ("tasks_api.downloadtask", "waiting_for_authorization") in found.by_state
    assert set(found.leases) >= {"transfers.download", "transfers.downloadpart", "sync.job", "sync.batch"}


@pytest.mark.django_db
def test_a_scrape_is_a_few_questions(user: User) -> None:
    for _ in range(50):
        new_download(user)

    with CaptureQueriesContext(connection) as asked:
        rows.numbers()
    assert len(asked) < 20


def test_a_queue_tells_its_length_and_the_age_of_what_comes_next(empty_queue: redis.Redis) -> None:
    assert queues.queues()[doorbell.TRANSFERS] == Queue(0, 0)
    ring(fetch_download, "one")
    ring(fetch_download, "two")
    oldest = json.loads(empty_queue.lindex(doorbell.TRANSFERS, -1))
    oldest["headers"]["carryon_rung_at"] -= 30
    empty_queue.lset(doorbell.TRANSFERS, -1, json.dumps(oldest))

    found = queues.queues()[doorbell.TRANSFERS]

    assert found.length == 2
    assert 30 <= found.oldest_seconds < 60


def test_processes_are_there_while_they_say_so(broker: str) -> None:
    client = redis.Redis.from_url(broker)
    client.delete(presence.KEY)
    here = presence.Announcement("web", numbers=lambda: {"sockets": 3}, is_well=lambda: True)
    here._say()
    client.eval(presence._SAY, 1, presence.KEY, "elsewhere:1:x", "5", '{"kind": "worker", "sockets": 0}', "60")
    client.eval(presence._SAY, 1, presence.KEY, "elsewhere:2:x", "-1", '{"kind": "worker", "sockets": 0}', "60")
    place = leases._place()
    client.eval(presence._SAY, 1, presence.KEY, f"{place}:{2**22 + 1}:1-x", "5", '{"kind": "beat"}', "60")

    found = presence.processes()

    assert found is not None
    assert presence.counted(found) == {"web": 1, "worker": 1, "worker-cpu": 0, "beat": 0}
    assert sum(process.sockets for process in found) == 3
    client.delete(presence.KEY)


def numbers(**known: object) -> Numbers:
    report = Report(
        {"broker": Answer("broker", "down", 0.1), "storage:files": Answer("storage:files", "ok", 0.1, Room(1, 2))}
    )
    blank: dict[str, object] = dict.fromkeys(("totals", "processes", "queues", "rows"))
    return Numbers(version="1.2.3", report=report, **(blank | known))  # type: ignore[arg-type]


def parsed(told: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(told.decode())
        for sample in family.samples
    }


def test_counters_and_durations_are_what_was_counted() -> None:
    view = (("method", "GET"), ("view", "files"))
    totals = {
        ("requests", (("method", "GET"), ("status", "200"), ("view", "files"))): 3,
        ("request_seconds_bucket", (("le", "0.05"), *view)): 2,
        ("request_seconds_bucket", (("le", "+Inf"), *view)): 1,
        ("request_seconds_sum", view): 61_500_000,
        ("bytes_moved", (("kind", "download"),)): 2**40,
        ("of another version", (("x", PATIENT),)): 9,
        ("requests", (("other", PATIENT),)): 9,
    }

    told = families.text(numbers(totals=totals))
    found = parsed(told)

    assert found["carryon_requests_total", (("method", "GET"), ("status", "200"), ("view", "files"))] == 3
    assert found["carryon_bytes_moved_total", (("kind", "download"),)] == 2**40
    assert found["carryon_request_seconds_bucket", (("le", "0.025"), *view)] == 0
    assert found["carryon_request_seconds_bucket", (("le", "60.0"), *view)] == 2
    assert found["carryon_request_seconds_count", view] == 3
    assert found["carryon_request_seconds_sum", view] == 61.5
    assert PATIENT not in told.decode()


def test_what_could_not_be_asked_is_left_out_and_up_tells_why() -> None:
    found = parsed(families.text(numbers()))

    assert found["carryon_up", (("check", "broker"),)] == 0
    assert found["carryon_storage_free_bytes", (("root", "files"),)] == 1
    assert found["carryon_build_info", (("version", "1.2.3"),)] == 1
    assert not [
        name for name, _ in found if name.startswith(("carryon_queue", "carryon_transfers", "carryon_requests"))
    ]


@pytest.mark.parametrize(
    ("seconds", "name"), [(0, "0.005"), (0.005, "0.005"), (0.0051, "0.01"), (60, "60.0"), (60.1, "+Inf")]
)
def test_durations_fall_in_buckets(seconds: float, name: str) -> None:
    assert families.bucket(seconds) == name
