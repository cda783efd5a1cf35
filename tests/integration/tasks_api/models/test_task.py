"""Every report on every kind of task in every state; and what the database refuses by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from tasks_api.models import DownloadTask, PrivateUpload, PublicUpload, Report, Task
from tests.integration.tasks_api.rows import CID, KINDS, OTHER_CID, PATHS, client_of, new_download, new_source, new_task
from tests.integration.transfers.rows import new_user

pytestmark = pytest.mark.django_db

ORDERS: dict[type[Task], list[int]] = {
    PublicUpload: [0, 1, 2, 3, 8],
    PrivateUpload: [0, 3, 8],
    DownloadTask: [0, 4, 5, 6, 7, 8],
}
PRESENT = [(kind, present) for kind, order in ORDERS.items() for present in (*order, 9)]
JSON = "application/json"


def expected(kind: type[Task], present: int, told: int) -> int:
    """The status of the answer, as the contract has it."""
    order = ORDERS[kind]
    if told not in (*order, 9):
        return 400
    if present == 8:
        return 200 if told == 8 else 409
    if present == 9 or told in (present, 9):
        return 200
    return 200 if order.index(told) > order.index(present) else 409


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.mark.parametrize(("kind", "present"), PRESENT, ids=lambda value: getattr(value, "kind", value))
def test_every_report_in_every_state(kind: type[Task], present: int, ann: User) -> None:
    api = client_of(ann)
    percent = 100 if present == 8 else 40
    for told in range(10):
        task = new_task(kind, ann, status=present, percent=percent)
        block = {} if kind is DownloadTask or told != 8 else {"hash": CID, "size": 102400}
        answer = api.patch(f"{PATHS[kind]}{task.pk}/", {"status": told, "percent": 60, **block}, content_type=JSON)
        assert answer.status_code == expected(kind, present, told), (told, answer.content)
        task.refresh_from_db()
        taken = answer.status_code == 200
        assert task.status == (told if taken else present)
        assert task.percent == (100 if task.status == 8 else 60 if taken else percent)
        assert task.revision == (taken and present != 8)
        if not taken:
            assert (answer.json()["data"], bool(answer.json()["message"])) == (None, True)
            assert (answer.status_code == 400) == ("status" in answer.json()["errors"])


@pytest.mark.parametrize(("kind", "present"), PRESENT, ids=lambda value: getattr(value, "kind", value))
def test_the_update_alone_keeps_the_order(kind: type[Task], present: int, ann: User) -> None:
    """Whatever somebody believes of a row that has been moved meanwhile, the WHERE knows."""
    percent = 100 if present == 8 else 40
    for told in (*ORDERS[kind], 9):
        task = new_task(kind, ann, status=present, percent=percent)
        block = {} if kind is DownloadTask or told != 8 else {"hash": CID, "size": 1}
        belief = new_task(kind, ann)
        belief.pk = task.pk
        moved = belief.move({"status": told, "percent": 100, **block})
        assert moved == (present != 8 and expected(kind, present, told) == 200)
        task.refresh_from_db()
        assert task.status == (told if moved else present)


@pytest.mark.parametrize(("kind", "present"), PRESENT, ids=lambda value: getattr(value, "kind", value))
def test_the_database_knows_the_states(kind: type[Task], present: int, ann: User) -> None:
    task = new_task(kind, ann)
    rows = kind._default_manager.filter(pk=task.pk)
    wrong: list[dict[str, Any]] = [{"status": status} for status in range(-1, 11) if status not in (*ORDERS[kind], 9)]
    wrong += [{"percent": -1}, {"percent": 101}, {"status": 8, "percent": 99}]
    if kind is not DownloadTask:
        wrong += [{"status": 8, "percent": 100, "size": 1}, {"status": 8, "percent": 100, "hash": CID}]
    for facts in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(**facts)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_percent_falls_only_with_the_state(kind: type[Task], ann: User) -> None:
    api, working = client_of(ann), ORDERS[kind][1]
    later = ORDERS[kind][2]
    task = new_task(kind, ann, hash=CID, size=1) if kind is not DownloadTask else new_task(kind, ann)

    def report(status: int, percent: int | None = None) -> tuple[int, int]:
        told = {"status": status} | ({} if percent is None else {"percent": percent})
        answer = api.patch(f"{PATHS[kind]}{task.pk}", told, content_type=JSON)
        if answer.status_code == 400:
            assert list(answer.json()["errors"]) == ["percent"]
        task.refresh_from_db()
        return answer.status_code, task.percent

    assert report(working, 50) == (200, 50)
    assert report(working, 49) == (400, 50)
    assert report(working) == (200, 50), "what is not told stays"
    assert report(9) == (200, 50), "it failed where it was"
    assert report(9, 20) == (400, 50)
    assert report(working) == (200, 0), "a new run begins at 0"
    assert report(working, 100) == (200, 100)
    assert report(later, 3) == (200, 100 if later == 8 else 3)


@pytest.mark.parametrize("kind", [PublicUpload, PrivateUpload], ids=lambda kind: kind.kind)
def test_completion_needs_a_hash_and_a_size_once(kind: type[Task], ann: User) -> None:
    api, task = client_of(ann), new_task(kind, ann)

    def report(**told: Any) -> Any:
        return api.patch(f"{PATHS[kind]}{task.pk}", told, content_type=JSON)

    assert set(report(status=8).json()["errors"]) == {"hash", "size"}
    assert set(report(status=8, hash=CID, size=0).json()["errors"]) == {"size"}
    assert set(report(status=8, hash="", size="5").json()["errors"]) == {"hash"}
    assert report(status=3, hash=CID, size=5).status_code == 200
    first = report(status=8)
    assert (first.status_code, first.json()["data"]["hash"], first.json()["data"]["size"]) == (200, CID, 5)
    for again in ({}, {"hash": CID}, {"hash": CID, "size": "5.0", "percent": 7}):
        assert report(status=8, **again).json() == first.json()
    for other in ({"hash": OTHER_CID}, {"size": 6}, {"name": "other"}):
        assert report(status=8, **other).status_code == 409
    task.refresh_from_db()
    assert task.revision == 2, "what says nothing new changes nothing"


def test_a_failed_download_goes_back_to_work_unless_there_is_a_newer_one(ann: User) -> None:
    source = new_source(ann)
    failed = new_download(source, ann, status=9)
    assert failed.changes(Report(status=4)) == {"status": 4}
    live = new_download(source, ann)
    api = client_of(ann)
    answer = api.patch(f"{PATHS[DownloadTask]}{failed.pk}", {"status": 4}, content_type=JSON)
    assert answer.status_code == 409
    failed.refresh_from_db()
    assert failed.status == 9
    assert api.patch(f"{PATHS[DownloadTask]}{live.pk}", {"status": 9}, content_type=JSON).status_code == 200
    assert api.patch(f"{PATHS[DownloadTask]}{failed.pk}", {"status": 4}, content_type=JSON).status_code == 200


def test_one_live_download_for_a_user_and_source(ann: User) -> None:
    source = new_source(ann)
    for status in (8, 8, 9, 9, 4):
        new_download(source, ann, status=status)
    new_download(source, new_user("bob"), status=4)
    with pytest.raises(IntegrityError), transaction.atomic():
        new_download(source, ann)


@pytest.mark.parametrize("present", [0, 4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("percent", [40, 100])
def test_a_download_waits_from_when_it_needs_the_private_block(present: int, percent: int, ann: User) -> None:
    began = timezone.now() - timedelta(days=2)
    needs = present in (5, 6) or (present, percent) == (4, 100)
    for told, new_percent in ((0, 100), (4, 99), (4, 100), (5, 0), (5, 100), (6, 100), (7, 100), (8, 100), (9, 100)):
        waits = {"waiting_since": began} if needs else {}
        task = new_task(DownloadTask, ann, status=present, percent=100 if present == 8 else percent, **waits)
        moved = task.move({"status": told, "percent": new_percent})
        task.refresh_from_db()
        if not moved:
            assert task.waiting_since == waits.get("waiting_since")
        elif told in (5, 6) or (told, new_percent) == (4, 100):
            assert task.waiting_since
            assert (task.waiting_since == began) == needs, "it goes on waiting, or begins to"
        else:
            assert task.waiting_since is None
