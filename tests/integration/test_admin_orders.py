"""The admin of lists, orders and their jobs: what it shows, what it has done, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.integration.admin_pages import act, operate, page_of, text, words
from tests.integration.transfers.order_rows import new_job, new_list, new_order, new_zip
from transfers.admin.order_items import SHOWN
from transfers.admin.tables import ON_A_PAGE
from transfers.models import DownloadList, ListItem, ListJob, Order, StoredFile
from transfers.models.list_job import ListJobDesired, ListJobState
from transfers.models.selection import Folder

pytestmark = pytest.mark.django_db

ADMIN = "/admin/transfers/"
LISTS, ORDERS, JOBS = f"{ADMIN}downloadlist/", f"{ADMIN}order/", f"{ADMIN}listjob/"
HOSTILE = '<script>alert("x")</script>.zip'
STATES = ["queued", "running", "stopping", "completed", "failed", "stopped", "expired"]
MANY = 100_000
Row = DownloadList | Order | ListJob


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def staff(client: Client) -> Callable[..., Client]:
    """A client of a member of staff with these permissions, and no others."""

    def made(*codenames: str) -> Client:
        user = User.objects.create_user("clerk", is_staff=True)
        found = Permission.objects.filter(codename__in=codenames)
        assert found.count() == len(codenames)
        user.user_permissions.set(found)
        client.force_login(user)
        return client

    return made


def in_state(user: User, order: Order, state: str, **facts: Any) -> ListJob:
    if state == "stopping":
        return new_job(user, order, "running", desired=ListJobDesired.STOP, **facts)
    return new_zip(user, order, **facts) if state == "completed" else new_job(user, order, state, **facts)


def buttons(html: str) -> set[str]:
    """The operations that the page offers."""
    return set(re.findall(r"/operate/(\w+)/", html))


def queries_of(client: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        text(client.get(path))
    return len(queries)


# Lists of them ---------------------------------------------------------------------------------------------------


def test_lists_tell_whose_and_how_large(admin_client: Client, ann: User) -> None:
    new_list(ann, 1234)
    assert "ann 1,234 1.2 MiB" in words(text(admin_client.get(LISTS)))


def test_orders_tell_who_ordered_what_and_how_their_zips_stand(admin_client: Client, ann: User) -> None:
    order = new_order(ann, 3411)
    new_job(ann, order, "failed", error="no room")
    job = new_job(ann, order, "running", bytes_done=3 * 2**20, bytes_total=8 * 2**20)
    html = text(admin_client.get(ORDERS))
    assert "scans.zip ann 3,411 3.3 MiB running 3.0 MiB of 8.0 MiB · 37 %" in words(html)
    assert f'data-key="list-job-{job.pk}" data-live="state"' in html
    assert 'value="3145728" max="8388608"' in html


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"parentId": None}, "the files that lie in no folder"),
        ({"parentId": Folder(7, "CT scans").id}, "the files in the folder CT scans"),
        ({"parentId": "folder-nonsense"}, "the files in folder-nonsense"),
        ({"query": {}}, "files of every kind"),
        (
            {"query": {"text": "jaw", "content_type": "image/*", "folder": "CT", "min_size": 1024, "max_size": 9}},
            "files named like “jaw”, of type image/*, in the folder CT, of at least 1,024 bytes, of at most 9 bytes",
        ),
        (
            {"query": {"created_after": "2026-01-02T03:04:05+00:00", "created_before": "2026-02-02T03:04:05+00:00"}},
            "files stored after 2026-01-02T03:04:05+00:00, stored before 2026-02-02T03:04:05+00:00",
        ),
    ],
)
def test_jobs_tell_what_was_asked_to_be_added(
    admin_client: Client, ann: User, request_: dict[str, Any], expected: str
) -> None:
    job = new_job(ann, state="completed", request=request_, files_done=12)
    assert f"{expected} ann completed 12 files added" in words(text(admin_client.get(JOBS)))
    assert f"Asked for {expected}" in words(text(admin_client.get(page_of(job))))


@pytest.mark.parametrize("term", ["jaw", "berta", "id"])
def test_the_search_finds_orders_and_jobs(admin_client: Client, ann: User, term: str) -> None:
    berta = User.objects.create_user("berta")
    order, other = new_order(berta, zip_file_name="jaw.zip"), new_order(ann)
    job, other_job = new_job(berta, order), new_job(ann, other)
    for path, wanted, unwanted in ((ORDERS, order, other), (JOBS, job, other_job)):
        html = text(admin_client.get(path, {"q": str(wanted.pk) if term == "id" else term}))
        assert page_of(wanted) in html
        assert page_of(unwanted) not in html


@pytest.mark.parametrize("state", [*STATES, "none"])
def test_the_filter_finds_orders_by_their_last_jobs(admin_client: Client, ann: User, state: str) -> None:
    found = {name: new_order(ann) for name in [*STATES, "none"]}
    for name, order in found.items():
        if name != "none":
            new_job(ann, order, "stopped" if name != "stopped" else "failed")
            in_state(ann, order, name)
    html = text(admin_client.get(ORDERS, {"zip": "running" if state == "stopping" else state}))
    expected = {"running", "stopping"} if state in ("running", "stopping") else {state}
    assert {name for name, order in found.items() if page_of(order) in html} == expected


@pytest.mark.parametrize("path", [LISTS, ORDERS, JOBS])
def test_a_longer_list_takes_no_more_queries(admin_client: Client, path: str) -> None:
    def grow(prefix: str, count: int) -> None:
        for number in range(count):
            user = User.objects.create_user(f"{prefix}{number}")
            new_list(user, 1)
            order = new_order(user, 1)
            new_job(user, order, "failed")
            new_zip(user, order)
            new_job(user, state="completed", request={"query": {"text": "x"}})

    grow("few", 2)
    before = queries_of(admin_client, path)
    grow("many", 15)
    assert queries_of(admin_client, path) == before
    assert before <= 14


# Pages of one ----------------------------------------------------------------------------------------------------


def test_the_page_of_an_order_tells_its_files_and_failures(admin_client: Client, ann: User) -> None:
    order = new_order(ann, 150, failed=30)
    new_job(ann, order, "failed", error="The disk is full.", error_code="out_of_space")
    html = text(admin_client.get(page_of(order)))
    shown = words(html)
    assert "The disk is full. out_of_space" in shown
    assert "scans/0.bin 1000 B stored" in shown
    assert "scans/120.bin The file was deleted. NOT_FOUND" in shown
    assert html.count("scans/") == 2 * SHOWN
    assert "All 30" in shown
    assert "All 150" in shown


def test_a_hundred_thousand_files_do_not_break_the_pages(admin_client: Client, ann: User) -> None:
    order, found = new_order(ann, MANY, failed=MANY // 2), new_list(ann, MANY)
    last = f"?page={MANY // ON_A_PAGE}"
    for row, expected in ((order, f"scans/{MANY - 1}.bin"), (found, f"file {10**6 + MANY - 1}, deleted since")):
        whole = page_of(row).replace("change/", "items/")
        html = text(admin_client.get(whole + last))
        assert expected in html
        assert len(html) < 200_000
        assert "100,000 in all" in words(html)
        for path in (page_of(row), whole, whole + last):
            assert queries_of(admin_client, path) <= 14
    failures = text(admin_client.get(f"{ADMIN}order/{order.pk}/failures/?page={MANY // 2 // ON_A_PAGE}"))
    assert f"scans/{MANY - 1}.bin" in failures


def test_a_page_that_does_not_exist_is_the_last_one(admin_client: Client, ann: User) -> None:
    order = new_order(ann, ON_A_PAGE + 1)
    html = text(admin_client.get(f"{ADMIN}order/{order.pk}/items/?page=99"))
    assert re.findall(r"scans/\d+", html) == [f"scans/{ON_A_PAGE}"]


def test_the_page_of_a_list_leads_to_its_files(admin_client: Client, ann: User) -> None:
    file = StoredFile.objects.create(owner=ann, name="jaw.stl", folder="scans", path="/x/jaw", size=2048)
    found = new_list(ann, 1)
    ListItem.objects.create(download_list=found, file_id=file.pk, size=2048)
    DownloadList.objects.filter(pk=found.pk).update(files_count=2)
    html = text(admin_client.get(page_of(found)))
    assert f'href="{ADMIN}storedfile/{file.pk}/change/"' in html
    assert "jaw.stl 2.0 KiB scans" in words(html)
    assert "file 1000000, deleted since 1000 B" in words(html)


def test_the_page_of_a_job_leads_to_its_order_and_its_zip(admin_client: Client, ann: User) -> None:
    order = new_order(ann, 3, failed=1)
    job = new_zip(ann, order)
    html = text(admin_client.get(page_of(job)))
    assert f'href="{page_of(order)}"' in html
    assert f'href="{ADMIN}storedfile/{job.stored_file_id}/change/"' in html
    assert "scans/2.bin The file was deleted. NOT_FOUND" in words(html)


def test_names_are_shown_and_never_run(admin_client: Client, ann: User) -> None:
    order = new_order(ann, 1, zip_file_name=HOSTILE)
    order.items.update(entry_name=HOSTILE, failure_code="UNKNOWN_ERROR", failure_message=HOSTILE)
    job = new_job(ann, order, "running", message=HOSTILE)
    other = new_job(ann, state="failed", request={"query": {"text": HOSTILE}}, error=HOSTILE)
    for path in (ORDERS, JOBS, page_of(order), page_of(job), page_of(other), f"{ADMIN}order/{order.pk}/items/"):
        html = text(admin_client.get(path))
        assert "<script>alert" not in html, path
        assert "&lt;script&gt;alert" in html, path


@pytest.mark.parametrize("page", ["items", "failures"])
def test_unknown_ones_are_not_found(admin_client: Client, page: str) -> None:
    assert admin_client.get(f"{ORDERS}00000000-0000-0000-0000-000000000000/{page}/").status_code == 404
    assert admin_client.get(f"{LISTS}99999/items/").status_code == 404


# What can be had done --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "of_job", "of_order"),
    [
        ("queued", {"stop"}, {"stop"}),
        ("running", {"stop"}, {"stop"}),
        ("stopping", set(), set()),
        ("completed", {"expire"}, {"expire"}),
        ("failed", {"again"}, {"start"}),
        ("stopped", {"again"}, {"start"}),
        ("expired", {"again"}, {"start"}),
    ],
)
def test_buttons_are_those_that_the_state_allows(
    admin_client: Client, ann: User, state: str, of_job: set[str], of_order: set[str]
) -> None:
    order = new_order(ann)
    job = in_state(ann, order, state)
    assert buttons(text(admin_client.get(page_of(job)))) == of_job
    assert buttons(text(admin_client.get(page_of(order)))) == of_order


def test_an_order_that_nobody_started_can_be(admin_client: Client, ann: User) -> None:
    order = new_order(ann)
    assert buttons(text(admin_client.get(page_of(order)))) == {"start"}
    assert operate(admin_client, order, "start") == ["Started: scans.zip."]
    assert order.jobs.get().user == ann
    assert LogEntry.objects.get(object_id=str(order.pk)).change_message == "Started."


@pytest.mark.parametrize("of", ["job", "order"])
def test_a_job_is_stopped(admin_client: Client, ann: User, of: str) -> None:
    order = new_order(ann)
    job = new_job(ann, order, "running")
    assert operate(admin_client, order if of == "order" else job, "stop")[0].startswith("Stopped: ")
    job.refresh_from_db()
    assert job.desired == ListJobDesired.STOP
    assert "stopping" in words(text(admin_client.get(page_of(job))))


@pytest.mark.parametrize("of", ["job", "order"])
def test_a_zip_is_removed_before_its_time(admin_client: Client, ann: User, of: str) -> None:
    order = new_order(ann)
    job = new_zip(ann, order)
    assert operate(admin_client, order if of == "order" else job, "expire")[0].startswith("Zip to be removed: ")
    job.refresh_from_db()
    assert job.expires_at is not None
    assert job.expires_at <= timezone.now()


def test_adding_is_asked_for_again_for_the_same_user(admin_client: Client, ann: User) -> None:
    asked = {"query": {"text": "jaw", "min_size": 5}}
    job = new_job(ann, state="failed", request=asked)
    operate(admin_client, job, "again")
    fresh = ListJob.objects.exclude(pk=job.pk).get()
    assert (fresh.user, fresh.request, fresh.state) == (ann, asked, ListJobState.QUEUED)


@pytest.mark.parametrize(("state", "offered"), [("running", {"stop"}), ("completed", {"again"}), ("failed", {"again"})])
def test_adding_again_is_offered_once_it_has_ended(
    admin_client: Client, ann: User, state: str, offered: set[str]
) -> None:
    assert buttons(text(admin_client.get(page_of(new_job(ann, state=state))))) == offered


def test_an_order_is_zipped_again_by_its_job(admin_client: Client, ann: User) -> None:
    order = new_order(ann)
    job = new_job(ann, order, "stopped")
    operate(admin_client, job, "again")
    assert order.jobs.exclude(pk=job.pk).get().state == ListJobState.QUEUED


def test_actions_tell_what_became_of_each(admin_client: Client, ann: User) -> None:
    running, ended, never = (new_order(ann, zip_file_name=f"{name}.zip") for name in ("running", "ended", "never"))
    new_job(ann, running, "running")
    new_job(ann, ended, "failed")
    messages = act(admin_client, ORDERS, "stop", running, ended, never)
    assert messages[0] == "Stopped: running.zip."
    assert set(messages[1:]) == {
        "ended.zip: The job has ended already.",
        "never.zip: Its zip was never asked for.",
    }
    refused = act(admin_client, ORDERS, "expire", running)
    assert refused == ["running.zip: The job has no zip that could be removed."]


def test_an_order_over_the_limit_is_refused_with_its_size(admin_client: Client, ann: User) -> None:
    order = new_order(ann, 1, total_bytes=2**50)
    (message,) = operate(admin_client, order, "start")
    assert str(2**50) in message
    assert not order.jobs.exists()


@pytest.mark.parametrize("path", [LISTS, ORDERS, JOBS])
def test_rows_are_neither_made_nor_changed_nor_deleted_by_hand(admin_client: Client, ann: User, path: str) -> None:
    order = new_order(ann)
    row = {LISTS: new_list(ann, 1), ORDERS: order, JOBS: new_job(ann, order)}[path]
    assert admin_client.get(f"{path}add/").status_code == 403
    assert admin_client.post(page_of(row), {"files_count": 9}).status_code == 403
    assert admin_client.post(f"{path}{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_who_may_only_look_gets_no_buttons(staff: Callable[..., Client], ann: User) -> None:
    order = new_order(ann)
    job = new_job(ann, order, "running")
    client = staff("view_order", "view_listjob", "view_downloadlist")
    for row in (order, job):
        assert buttons(text(client.get(page_of(row)))) == set()
        assert client.post(f"{page_of(row).removesuffix('change/')}operate/stop/").status_code == 403
    job.refresh_from_db()
    assert job.desired == ListJobDesired.RUN


def test_who_may_not_look_sees_nothing(staff: Callable[..., Client], ann: User) -> None:
    order, found = new_order(ann), new_list(ann, 1)
    client = staff()
    for path in (
        LISTS,
        ORDERS,
        JOBS,
        f"{ORDERS}{order.pk}/items/",
        f"{ORDERS}{order.pk}/failures/",
        f"{LISTS}{found.pk}/items/",
    ):
        assert client.get(path).status_code == 403
