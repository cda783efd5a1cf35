"""What is forgotten and when; and what never is, whatever the settings say."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import settings as django_settings
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import connection, connections, models, transaction
from django.utils import timezone
from knox.models import AuthToken
from pytest_django.fixtures import Settings

from config import tasks as config_tasks
from sync.models import Failure, Job
from sync.tasks import forget_history as forget_syncs
from tasks_api.models import DownloadTask, PrivateUpload, PublicUpload
from tasks_api.tasks import forget_history as forget_tasks
from tests.integration.sync.rows import new_case, new_failures
from tests.integration.sync.rows import new_job as new_sync
from tests.integration.tasks_api.rows import new_download as new_download_task
from tests.integration.tasks_api.rows import new_source
from tests.integration.transfers.files import new_file
from tests.integration.transfers.order_rows import new_job, new_order, new_zip
from tests.integration.transfers.rows import at_once, new_download, new_user, use
from transfers import history, running
from transfers.models import Download, DownloadAttempt, ListJob, Order, OrderItem, StoredFile, Upload
from transfers.services import download as downloads
from transfers.services import order as orders
from transfers.services.download import DownloadRequest
from transfers.tasks import forget_history

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

OLD = timezone.now() - timedelta(days=11)
HISTORIES = (
    *("download_history_days", "upload_history_days", "order_history_days", "list_job_history_days"),
    *("sync_history_days", "task_history_days", "token_history_days", "audit_log_days"),
)
DAYS: dict[str, object] = dict.fromkeys(HISTORIES, 10.0)


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def ten_days(settings: Settings, tmp_path: Path) -> None:
    """Everything is forgotten after ten days."""
    use(settings, download_root=tmp_path.resolve(), **DAYS)


def forget_all() -> None:
    for task in (forget_history, forget_syncs, forget_tasks, config_tasks.forget_history):
        task()


def ended(user: User, state: str, days_ago: float = 11, **facts: Any) -> Download:
    return new_download(user, state=state, ended_at=timezone.now() - timedelta(days=days_ago), **facts)


def left(kind: type[models.Model]) -> set[Any]:
    return set(kind._default_manager.values_list("pk", flat=True))


# Downloads and uploads -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ten_days")
def test_downloads_of_which_nothing_is_here_are_forgotten(ann: User) -> None:
    gone = [ended(ann, state) for state in ("failed", "stopped")]
    gone.append(ended(ann, "completed", size=5, bytes_done=5))
    DownloadAttempt.objects.create(download=gone[0], epoch=1, worker="w")
    kept = [ended(ann, "failed", days_ago=9), new_download(ann), new_download(ann, state="running")]
    forget_all()
    assert left(Download) == {row.pk for row in kept}
    assert not DownloadAttempt.objects.exists()


@pytest.mark.usefixtures("ten_days")
def test_a_download_is_remembered_for_as_long_as_anything_of_it_is_here(ann: User, tmp_path: Path) -> None:
    file = new_file(ann, tmp_path.resolve() / "film.mov")
    kept = [ended(ann, "completed", stored_file=file, save_path=file.path)]
    kept.append(ended(ann, "stopped", size=100, bytes_done=50))
    begun = ended(ann, "failed")
    Path(f"{begun.save_path}.part").touch()
    forget_all()
    assert left(Download) == {row.pk for row in (*kept, begun)}
    assert Path(f"{begun.save_path}.part").exists()
    assert left(StoredFile) == {file.pk}
    Path(f"{begun.save_path}.part").unlink()
    StoredFile.objects.update(deleted_at=timezone.now())
    forget_all()
    assert left(Download) == {kept[1].pk}


@pytest.mark.usefixtures("ten_days")
def test_completed_uploads_are_forgotten_and_their_files_kept(ann: User, tmp_path: Path) -> None:
    file = new_file(ann, tmp_path / "film.mov")
    facts = {"owner": ann, "catalog": "doc", "name": "x", "part_size": 1}
    for state, days_ago in (("completed", 11), ("completed", 9), ("open", 11), ("completing", 11)):
        touched = timezone.now() - timedelta(days=days_ago)
        whole = {"stored_file": file} if state == "completed" else {}
        Upload.objects.create(state=state, touched_at=touched, **facts, **whole)
    forget_all()
    assert sorted(Upload.objects.values_list("state", flat=True)) == ["completed", "completing", "open"]
    assert left(StoredFile) == {file.pk}
    assert Path(file.path).exists()


# Orders and lists ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ten_days")
def test_orders_are_forgotten_when_no_zip_of_theirs_is_there(ann: User) -> None:
    orders = {name: new_order(ann) for name in ("never", "expired", "running", "zipped", "untidy", "young")}
    Order.objects.exclude(pk=orders["young"].pk).update(created_at=OLD)
    new_job(ann, orders["expired"], "expired")
    new_job(ann, orders["running"], "running")
    new_zip(ann, orders["zipped"])
    new_job(ann, orders["untidy"], "failed", location="/zips/untidy.zip")
    files = left(StoredFile)
    forget_all()
    assert left(Order) == {orders[name].pk for name in ("running", "zipped", "untidy", "young")}
    assert OrderItem.objects.count() == 4 * 3
    assert left(StoredFile) == files


@pytest.mark.usefixtures("ten_days")
def test_an_order_s_items_go_some_at_a_time(ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sees an order of which only some are left, and what is not done in one look is done in the next."""
    monkeypatch.setattr(history, "AT_ONCE", 40)
    rows: list[int] = []

    def note(execute: Any, sql: str, parameters: Any, many: Any, context: Any) -> Any:
        done = execute(sql, parameters, many, context)
        if sql.startswith("DELETE") and OrderItem._meta.db_table in sql:
            rows.append(context["cursor"].rowcount)
        elif "MIN(" in sql:
            assert not connection.in_atomic_block, "what was deleted is not committed"
        return done

    for _ in range(2):
        new_job(ann, new_order(ann, 150), "expired")
    Order.objects.update(created_at=OLD)
    with monkeypatch.context() as patched, connection.execute_wrapper(note):
        patched.setattr(running, "draining", lambda: len(rows) == 3)
        forget_history()
    assert (rows, left(Order), Order.drafts.count()) == ([40, 40, 40], set(), 2)
    assert OrderItem.objects.count() == 2 * 150 - sum(rows)
    forget_history()
    assert (left(OrderItem), Order.drafts.count(), left(ListJob)) == (set(), 0, set())


@pytest.mark.usefixtures("ten_days")
def test_jobs_that_added_files_are_forgotten(ann: User) -> None:
    kept = [new_job(ann), new_job(ann, None, "running"), new_job(ann, None, "completed")]
    new_job(ann, None, "completed", ended_at=OLD)
    new_job(ann, None, "failed", ended_at=OLD)
    forget_all()
    assert left(ListJob) == {job.pk for job in kept}


# Syncs and tasks -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ten_days")
def test_syncs_are_forgotten_but_each_case_s_last(ann: User) -> None:
    case, other = new_case(ann), new_case(ann)
    first = new_sync(case, state="failed", requested_at=OLD, ended_at=OLD)
    new_failures(first, 3)
    last = new_sync(case, state="completed", requested_at=OLD + timedelta(hours=1), ended_at=OLD)
    only = new_sync(other, state="completed", requested_at=OLD, ended_at=OLD)
    forget_all()
    assert left(Job) == {last.pk, only.pk}
    assert not Failure.objects.exists()
    again = new_sync(case, state="running")
    forget_all()
    assert left(Job) == {only.pk, again.pk}


@pytest.mark.usefixtures("ten_days")
def test_ended_download_tasks_are_forgotten_and_uploads_never(ann: User) -> None:
    source = new_source(ann)
    kept = [
        new_download_task(source, ann, status=4, shown_at=OLD),
        new_download_task(source, ann, status=8, percent=100),
    ]
    new_download_task(source, ann, status=8, percent=100, shown_at=OLD)
    new_download_task(source, ann, status=9, shown_at=OLD)
    uploads = left(PublicUpload), left(PrivateUpload)
    for kind in (PublicUpload, PrivateUpload):
        kind._default_manager.update(updated_at=OLD)
    forget_all()
    assert left(DownloadTask) == {task.pk for task in kept}
    assert (left(PublicUpload), left(PrivateUpload)) == uploads


# Who came, and who did what ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ten_days")
def test_what_opens_nothing_any_more_is_forgotten(ann: User) -> None:
    for age in (timedelta(days=9), timedelta(days=11), -timedelta(days=1)):
        AuthToken.objects.create(ann)  # type: ignore[no-untyped-call]
        AuthToken.objects.filter(expiry__gt=timezone.now() + timedelta(days=300)).update(expiry=timezone.now() - age)
        store = SessionStore()
        store.set_expiry(timezone.now() - age)
        store.save()
        AccessAttempt.objects.create(
            username="ann", user_agent=str(age), ip_address="203.0.113.1", failures_since_start=1
        )
    AccessAttempt.objects.filter(user_agent__contains="9 days").update(attempt_time=OLD)
    LogEntry.objects.create(user=ann, action_flag=ADDITION, object_repr="x")
    LogEntry.objects.create(user=ann, action_flag=ADDITION, object_repr="x", action_time=OLD)
    forget_all()
    assert [AuthToken.objects.count(), Session.objects.count(), LogEntry.objects.count()] == [2, 1, 1]
    assert AccessAttempt.objects.count() == 2


def test_by_default_nothing_of_anybody_s_is_forgotten(ann: User) -> None:
    kept = set(DAYS) - {"list_job_history_days", "sync_history_days", "token_history_days"}
    assert {name: getattr(django_settings.ENVIRONMENT, name) for name in kept} == dict.fromkeys(kept, 0)
    ended(ann, "failed", days_ago=10_000)
    LogEntry.objects.create(user=ann, action_flag=ADDITION, object_repr="x")
    LogEntry.objects.update(action_time=timezone.now() - timedelta(days=10_000))
    forget_all()
    assert (Download.objects.count(), LogEntry.objects.count()) == (1, 1)


# Beside running work -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ten_days")
def test_many_rows_go_some_at_a_time_and_the_rest_the_next_time(ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "AT_ONCE", 7)
    for _ in range(20):
        new_job(ann, None, "completed", ended_at=OLD)
    monkeypatch.setattr(history, "SECONDS", -1.0)
    forget_history()
    assert ListJob.objects.count() == 20
    monkeypatch.setattr(history, "SECONDS", 30.0)
    forget_history()
    assert ListJob.objects.count() == 0


@pytest.mark.usefixtures("ten_days")
@pytest.mark.parametrize("turn", range(8))
def test_a_download_that_is_started_again_meanwhile_is_live_or_new_and_never_lost(ann: User, turn: int) -> None:
    rows = [ended(ann, "failed") for _ in range(4)]
    for row in rows:
        Download.objects.filter(pk=row.pk).update(
            request_key=DownloadRequest(row.url, row.cid, row.fid).key(Path(row.save_path).parent)
        )

    def again(row: Download) -> Any:
        return downloads.start(user=ann, request=DownloadRequest(row.url, row.cid, row.fid)).pk

    calls: list[Any] = [lambda row=row: again(row) for row in rows]
    calls.insert(turn % 5, forget_history)
    started = {pk for pk in at_once(calls) if pk is not None}
    assert left(Download) == started
    assert set(Download.objects.values_list("state", flat=True)) == {"queued"}


@pytest.mark.skipif(connection.vendor == "sqlite", reason="one writer at a time")
@pytest.mark.usefixtures("ten_days")
def test_what_hangs_on_a_row_at_the_last_moment_keeps_it(ann: User) -> None:
    order = new_order(ann)
    Order.objects.update(created_at=OLD)
    written, looked = threading.Event(), threading.Event()

    def begin() -> None:
        try:
            with transaction.atomic():
                orders.start(order=order)
                written.set()
                looked.wait(10)
        finally:
            connections.close_all()

    thread = threading.Thread(target=begin)
    thread.start()
    written.wait(10)
    forget_history()
    looked.set()
    thread.join()
    assert left(Order) == {order.pk}
    assert ListJob.objects.count() == 1
