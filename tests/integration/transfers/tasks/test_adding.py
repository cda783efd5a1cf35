"""Adding many files to a list: whole or not at all, once, whatever becomes of who does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.models.functions import Now

from tests.integration.transfers.orders import Api, rows, work
from tests.integration.transfers.rows import at_once, in_seconds
from tests.integration.transfers.tasks.conftest import Counted
from transfers.errors import JobEndedError
from transfers.models import DownloadList, ListItem, ListJob
from transfers.models.list_job import ListJobState
from transfers.models.selection import FileQuery, Selection
from transfers.services import download_list as lists
from transfers.services import order as orders
from transfers.services import order_state
from transfers.tasks import add_to_list, adding

pytest_plugins = ["tests.integration.transfers.order_fixtures"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

COUNT = 30


@pytest.fixture
def job(lister: User) -> ListJob:
    """Is to add COUNT files of 1 to COUNT bytes."""
    rows(lister, COUNT)
    return lists.start_adding(user=lister, request=Selection(query=FileQuery(text=".bin")))


def check_listed(user: User, count: int) -> None:
    """The items are so many, and the totals are theirs."""
    sizes = list(ListItem.objects.filter(download_list_id=user.pk).values_list("size", flat=True))
    row = DownloadList.objects.filter(pk=user.pk).first() or DownloadList(user=user)
    assert (len(sizes), row.files_count, row.total_bytes) == (count, count, sum(sizes))


def amid(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Have this happen between the statement that adds and the end of its transaction."""
    insert = adding.insert

    def insert_and_act(*given: Any) -> int:
        added = insert(*given)
        act()
        return added

    monkeypatch.setattr(adding, "insert", insert_and_act)


def test_all_of_them_once(job: ListJob, lister: User, other: Api) -> None:
    rows(other.user, 3)
    assert (work(job).state, job.files_done, job.files_total) == (ListJobState.COMPLETED, COUNT, COUNT)
    check_listed(lister, COUNT)
    again = work(order_state.again(job=job))
    assert (again.state, again.files_done) == (ListJobState.COMPLETED, 0)
    check_listed(lister, COUNT)


def test_many_workers_at_once(job: ListJob, lister: User) -> None:
    at_once([lambda: add_to_list(str(job.pk))] * 4)
    job.refresh_from_db()
    assert (job.state, job.lease_epoch) == (ListJobState.COMPLETED, 1)
    check_listed(lister, COUNT)


def test_who_is_killed_leaves_nothing_half(job: ListJob, lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        amid(patched, die)
        with pytest.raises(KeyboardInterrupt):
            add_to_list(str(job.pk))
    check_listed(lister, 0)
    ListJob.objects.update(lease_expires_at=in_seconds(-1))
    assert work(job).state == ListJobState.COMPLETED
    check_listed(lister, COUNT)


def test_who_lost_the_lease_adds_nothing(job: ListJob, lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    amid(monkeypatch, lambda: ListJob.objects.update(lease_owner="another"))
    add_to_list(str(job.pk))
    check_listed(lister, 0)
    job.refresh_from_db()
    assert job.state == ListJobState.RUNNING


def test_a_stop_beforehand(job: ListJob, lister: User) -> None:
    assert orders.stop(job=job).state == ListJobState.STOPPED
    assert work(job).state == ListJobState.STOPPED
    check_listed(lister, 0)


def test_what_nobody_foresaw_ends_it_after_some_attempts(
    job: ListJob, lister: User, monkeypatch: pytest.MonkeyPatch, counted: Counted
) -> None:
    def fail() -> None:
        raise ValueError("nobody foresaw it")

    amid(monkeypatch, fail)
    for number in range(adding.MAX_ATTEMPTS):
        assert (job.state, job.fruitless_attempts) == (ListJobState.QUEUED, number)
        ListJob.objects.update(next_attempt_at=Now())
        work(job)
    assert (job.state, job.error_code) == (ListJobState.FAILED, "transfer_failed")
    assert "foresaw" not in job.error
    assert counted("retries", "list") == {"transfer_failed": adding.MAX_ATTEMPTS - 1}
    assert counted("failures", "list") == {"transfer_failed": 1}
    check_listed(lister, 0)


def test_a_database_that_is_away_for_a_moment(job: ListJob, lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OperationalError("the server closed the connection")

    with monkeypatch.context() as patched:
        amid(patched, fail)
        assert work(job).state == ListJobState.QUEUED
    ListJob.objects.update(next_attempt_at=Now())
    assert work(job).state == ListJobState.COMPLETED
    check_listed(lister, COUNT)


def test_one_that_is_not_done_is_not_begun_again(job: ListJob) -> None:
    with pytest.raises(JobEndedError):
        order_state.again(job=job)
