"""`/download/list/{userid}/order` and `/download/order/…`: what is ordered stands, and is nobody else's."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from tests.integration.transfers.orders import Api, association, ordered, ready_file, rows, work
from tests.integration.transfers.rows import at_once, use
from transfers import history
from transfers.engine.local import MAX_NAME_BYTES
from transfers.errors import InvalidInputError
from transfers.models import ListJob, Order, OrderItem, StoredFile
from transfers.models.list_job import ListJobState
from transfers.serializers.lists import MAX_ASSOCIATIONS, MAX_REPEATS
from transfers.services import download_list as lists
from transfers.services import order as orders
from transfers.services.order import OrderRequest
from transfers.tasks import forget_history
from transfers.tasks.forgetting import DRAFT_AGE

NOBODYS = "0cf00e65-535d-4d83-97de-cd658b3814bf"
"""The id of no order and of no job."""

pytest_plugins = ["tests.integration.transfers.order_fixtures"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]

MIB = 2**20
LIST = "/download/list/me"


def put_on_list(user: User, count: int, **facts: Any) -> list[StoredFile]:
    files = rows(user, count, **facts)
    for file in files:
        lists.add(user=user, file_id=file.pk)
    return files


def pks(told: dict[str, Any]) -> list[int]:
    return [int(each["fileHandleId"]) for each in told["files"]]


def test_an_order_of_all(lister: User, client_of_lists: Api) -> None:
    files = put_on_list(lister, 3)
    for body in ({"zipFileName": "all.zip"}, {"zipFileName": "all.zip", "subSet": None}):
        told = client_of_lists.told("PUT", f"{LIST}/order", body)
        assert pks(told) == [file.pk for file in files]
        assert client_of_lists.listed()["files"] == []
        for file in files:
            lists.add(user=lister, file_id=file.pk)
    assert Order.objects.count() == 2


def test_an_order_of_some_in_their_order(lister: User, client_of_lists: Api) -> None:
    a, b, c, d = put_on_list(lister, 4)
    sub_set = [association(d), association(b)]
    told = client_of_lists.told("PUT", f"{LIST}/order", {"zipFileName": "some", "subSet": sub_set})
    assert told["files"] == sub_set
    assert pks(client_of_lists.listed()) == [a.pk, c.pk]


@pytest.mark.parametrize(("body", "field"), [({}, "files"), ({"subSet": None}, "files"), ({"subSet": []}, "subSet")])
def test_an_empty_order(body: dict[str, object], field: str, client_of_lists: Api, lister: User) -> None:
    if "subSet" in body and body["subSet"] == []:
        put_on_list(lister, 1)
    before = client_of_lists.listed()
    told = client_of_lists.refused(400, "invalid_input", "PUT", f"{LIST}/order", {"zipFileName": "z", **body})
    assert set(told["errors"]) == {field}
    assert (client_of_lists.listed(), Order.objects.exists()) == (before, False)


def test_an_order_of_what_is_not_on_the_list(lister: User, client_of_lists: Api) -> None:
    listed = put_on_list(lister, 2)
    missing = rows(lister, 7)
    before = client_of_lists.listed()
    sub_set = [association(file) for file in (*listed, *missing, *missing)]
    told = client_of_lists.refused(
        400, "invalid_input", "PUT", f"{LIST}/order", {"zipFileName": "z", "subSet": sub_set}
    )
    named = ", ".join(str(file.pk) for file in missing[:5])
    assert told["errors"] == {"subSet": [f"not on the download list: {named} and 2 more"]}
    assert (client_of_lists.listed(), Order.objects.exists()) == (before, False)


NAMES = {
    "suffix-added": ("files", "files.zip"),
    "suffix-there": ("files.zip", "files.zip"),
    "suffix-in-capitals": ("FILES.ZIP", "FILES.ZIP"),
    "other-suffix": ("files.tar", "files.tar.zip"),
    "spaces-inside": ("my files", "my files.zip"),
    "unicode": ("Bücher 书 📚", "Bücher 书 📚.zip"),
    "longest": ("x" * (MAX_NAME_BYTES - 4), "x" * (MAX_NAME_BYTES - 4) + ".zip"),
    "longest-in-bytes": ("x" + "ä" * ((MAX_NAME_BYTES - 5) // 2), "x" + "ä" * ((MAX_NAME_BYTES - 5) // 2) + ".zip"),
    "dots-inside": ("a..b", "a..b.zip"),
    "like-an-option": ("-rf", "-rf.zip"),
}


@pytest.mark.parametrize(("asked", "name"), NAMES.values(), ids=NAMES)
def test_names_that_a_zip_can_have(asked: str, name: str, lister: User, client_of_lists: Api) -> None:
    put_on_list(lister, 1)
    told = client_of_lists.told("PUT", f"{LIST}/order", {"zipFileName": asked})
    assert told["zipFileName"] == name


HOSTILE = {
    "missing": None,
    "empty": "",
    "blank": "   ",
    "a-number": 7,
    "a-list": ["a"],
    "a-path": "a/b",
    "above": "../a",
    "absolute": "/etc/passwd",
    "backslash": "a\\b",
    "drive": "C:\\a",
    "nul": "a\0b",
    "newline": "a\nb",
    "tab": "a\tb",
    "escape": "a\x1b[31mb",
    "header": 'a"\r\nSet-Cookie: x=1',
    "right-to-left": "gpj.\u202eexe",
    "zero-width": "a\u200bb",
    "line-separator": "a\u2028b",
    "only-the-suffix": ".zip",
    "only-dots": "...",
    "here": ".",
    "above-alone": "..",
    "dots-and-suffix": "...zip",
    "too-long": "x" * (MAX_NAME_BYTES - 3),
    "too-long-in-bytes": "ä" * (MAX_NAME_BYTES // 2),
    "far-too-long": "x" * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_names_that_no_zip_can_have(name: object, lister: User, client_of_lists: Api) -> None:
    put_on_list(lister, 1)
    body = {} if name is None else {"zipFileName": name}
    told = client_of_lists.refused(400, "invalid_input", "PUT", f"{LIST}/order", body)
    assert set(told["errors"]) == {"zipFileName"}
    assert client_of_lists.listed()["numberOfFiles"] == 1
    assert not Order.objects.exists()


@pytest.mark.parametrize(("field", "value"), [("surprise", 1), ("orderId", NOBODYS), ("subset", [])])
def test_an_order_refuses_unknown_fields(field: str, value: object, client_of_lists: Api) -> None:
    told = client_of_lists.refused(400, "invalid_input", "PUT", f"{LIST}/order", {"zipFileName": "z", field: value})
    assert set(told["errors"]) == {field}


def test_a_file_that_is_ordered_twice_is_in_the_zip_once(lister: User, client_of_lists: Api) -> None:
    a, b = put_on_list(lister, 2, size=3 * MIB)
    told = client_of_lists.told(
        "PUT", f"{LIST}/order", {"zipFileName": "z", "subSet": [association(f) for f in (a, b, a)]}
    )
    assert (pks(told), told["totalSizeMB"]) == ([a.pk, b.pk, a.pk], 6)
    assert list(OrderItem.objects.values_list("failure_code", flat=True)) == ["", "", "DUPLICATE"]
    assert client_of_lists.listed()["files"] == []


def test_an_order_stands_whatever_becomes_of_its_files(lister: User, client_of_lists: Api) -> None:
    file = put_on_list(lister, 1, size=3 * MIB)[0]
    told = client_of_lists.told("PUT", f"{LIST}/order", {"zipFileName": "z"})
    StoredFile.objects.filter(pk=file.pk).update(size=9 * MIB, name="another")
    assert client_of_lists.told("GET", f"/download/order/{told['orderId']}") == told
    StoredFile.objects.all().delete()
    assert client_of_lists.told("GET", f"/download/order/{told['orderId']}") == told


def test_an_order_of_a_file_that_is_gone(lister: User, client_of_lists: Api) -> None:
    gone, _ = put_on_list(lister, 2, size=MIB)
    StoredFile.objects.filter(pk=gone.pk).delete()
    told = client_of_lists.told("PUT", f"{LIST}/order", {"zipFileName": "z"})
    assert (len(told["files"]), told["totalSizeMB"]) == (2, 2)


def test_an_order_of_very_many_files_is_written_a_few_at_a_time(
    lister: User, client_of_lists: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And may be named in one body, though that is longer than others may be."""
    files = put_on_list(lister, 2_500, size=3)
    written: list[int] = []
    create = type(OrderItem.objects).bulk_create

    def bulk_create(self: Any, rows: Any, *rest: Any, **options: Any) -> Any:
        written.append(len(rows))
        return create(self, rows, *rest, **options)

    monkeypatch.setattr(type(OrderItem.objects), "bulk_create", bulk_create)
    sub_set = [{**association(file), "padding": "x" * 500} for file in files]
    told = client_of_lists.told("PUT", f"{LIST}/order", {"zipFileName": "z", "subSet": sub_set})
    assert (len(told["files"]), told["totalSizeMB"]) == (2_500, 1)
    assert [int(each["fileHandleId"]) for each in told["files"]] == [file.pk for file in files]
    assert (sum(written), max(written) <= orders.ROWS_AT_ONCE) == (2_500, True)
    assert Order.objects.get().total_bytes == 7_500


# Very many ------------------------------------------------------------------------------------------------------------


class Writing:
    """What happens between the transactions that write an order: `after` those of so many items it calls `then`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[int] = []
        self.between: dict[int, Callable[[], object]] = {}
        create = type(OrderItem.objects).bulk_create

        def bulk_create(manager: Any, rows: Any, *rest: Any, **options: Any) -> Any:
            made = create(manager, rows, *rest, **options)
            assert not connection.in_atomic_block, "what was written is not committed"
            self.written.append(len(rows))
            self.between.pop(len(self.written), lambda: None)()
            return made

        monkeypatch.setattr(type(OrderItem.objects), "bulk_create", bulk_create)


@pytest.fixture
def writing(monkeypatch: pytest.MonkeyPatch) -> Writing:
    monkeypatch.setattr(orders, "ROWS_AT_ONCE", 100)
    return Writing(monkeypatch)


@pytest.mark.django_db(transaction=True)
def test_while_a_large_order_is_written_others_write_and_nobody_sees_it(
    lister: User, client_of_lists: Api, writing: Writing, staff: Api, admin_client: Client
) -> None:
    files = put_on_list(lister, 250)
    before = client_of_lists.listed()

    def look() -> None:
        assert at_once([lambda: User.objects.filter(pk=lister.pk).update(first_name="Ann")]) == [1]
        assert client_of_lists.listed() == before
        draft = Order.drafts.get()
        assert not Order.objects.exists()
        assert client_of_lists.told("GET", "/download/order/me/history")["page"] == []
        for api in (client_of_lists, staff):
            api.refused(404, "no_such_order", "GET", f"/download/order/{draft.pk}")
            api.refused(404, "no_such_order", "POST", f"/download/order/{draft.pk}/async/start")
        page = reverse("admin:transfers_order_change", args=[draft.pk])
        assert page not in admin_client.get(reverse("admin:transfers_order_changelist")).content.decode()
        assert admin_client.get(page).status_code == 302

    writing.between = {1: look, 2: look}
    told = client_of_lists.told("PUT", f"{LIST}/order", {"zipFileName": "z"})
    assert (writing.written, writing.between) == ([100, 100, 50], {})
    assert pks(told) == [file.pk for file in files]
    assert [each["orderId"] for each in client_of_lists.told("GET", "/download/order/me/history")["page"]] == [
        told["orderId"]
    ]
    assert (client_of_lists.listed()["files"], Order.drafts.exists()) == ([], False)


@pytest.mark.django_db(transaction=True)
def test_an_order_that_nobody_wrote_to_its_end_is_swept_up(
    lister: User, client_of_lists: Api, writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_list(lister, 250)
    before = client_of_lists.listed()

    def die() -> None:
        raise KeyboardInterrupt

    writing.between = {2: die}
    with pytest.raises(KeyboardInterrupt):
        client_of_lists.told("PUT", f"{LIST}/order", {"zipFileName": "z"})
    assert (client_of_lists.listed(), Order.objects.exists()) == (before, False)
    forget_history()
    assert (Order.drafts.count(), OrderItem.objects.count()) == (1, 200)
    Order.drafts.update(created_at=timezone.now() - DRAFT_AGE)
    monkeypatch.setattr(history, "AT_ONCE", 70)
    with CaptureQueriesContext(connection) as queries:
        forget_history()
    assert (Order.drafts.count(), OrderItem.objects.count()) == (0, 0)
    assert sum("DELETE" in query["sql"] and "orderitem" in query["sql"] for query in queries) >= 3
    told = client_of_lists.told("PUT", f"{LIST}/order", {"zipFileName": "z"})
    assert told["files"] == before["files"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_whole", [True, False])
def test_what_leaves_the_list_while_it_is_ordered_is_not_ordered(
    lister: User, client_of_lists: Api, writing: Writing, *, is_whole: bool
) -> None:
    files = put_on_list(lister, 150)
    writing.between = {1: lambda: lists.remove(user=lister, file_ids=[files[7].pk, files[140].pk])}
    if is_whole:
        told = client_of_lists.told("PUT", f"{LIST}/order", {"zipFileName": "z"})
        assert pks(told) == [file.pk for file in files if file not in (files[7], files[140])]
    else:
        body = {"zipFileName": "z", "subSet": [association(file) for file in files]}
        told = client_of_lists.refused(400, "invalid_input", "PUT", f"{LIST}/order", body)
        assert told["errors"] == {"subSet": [f"not on the download list: {files[7].pk}, {files[140].pk}"]}
    assert OrderItem.objects.count() == (148 if is_whole else 0)
    assert client_of_lists.listed()["numberOfFiles"] == (0 if is_whole else 148)
    assert not Order.drafts.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_orders_of_the_same_files_one_has_them(lister: User) -> None:
    put_on_list(lister, 30)

    def make() -> Order | None:
        try:
            return orders.make(user=lister, request=OrderRequest(zip_file_name="z.zip"))
        except InvalidInputError:
            return None

    made = [order for order in at_once([make] * 4) if order is not None]
    assert [order.pk for order in made] == [Order.objects.get().pk]
    assert (OrderItem.objects.count(), lists.look(user=lister).files_count) == (30, 0)


def test_files_that_are_named_over_and_over(lister: User, client_of_lists: Api) -> None:
    files = put_on_list(lister, 2)
    before = client_of_lists.listed()
    sub_set = [association(files[0])] + [association(files[1])] * (MAX_REPEATS + 1)
    body = {"zipFileName": "z", "subSet": [*sub_set, association(files[1])]}
    told = client_of_lists.refused(400, "invalid_input", "PUT", f"{LIST}/order", body)
    assert told["errors"] == {"subSet": ["names files 1001 times more than once, the limit is 1000"]}
    assert (client_of_lists.listed(), Order.objects.exists(), Order.drafts.exists()) == (before, False, False)
    told = client_of_lists.told("PUT", f"{LIST}/order", {"zipFileName": "z", "subSet": sub_set})
    assert len(told["files"]) == len(sub_set)
    assert OrderItem.objects.filter(failure_code="DUPLICATE").count() == MAX_REPEATS


@pytest.mark.parametrize(("method", "path", "field"), [("PUT", "order", "subSet"), ("POST", "remove", "")])
def test_more_files_than_one_request_may_name(
    method: str, path: str, field: str, lister: User, client_of_lists: Api
) -> None:
    file = put_on_list(lister, 1)[0]
    named = [{"fileHandleId": file.pk}] * (MAX_ASSOCIATIONS + 1)
    told = client_of_lists.refused(
        400, "invalid_input", method, f"{LIST}/{path}", {"zipFileName": "z", field: named} if field else named
    )
    assert [(name.startswith(field), str(MAX_ASSOCIATIONS) in str(why)) for name, why in told["errors"].items()] == [
        (True, True)
    ]
    assert client_of_lists.listed()["numberOfFiles"] == 1


# The limit ------------------------------------------------------------------------------------------------------------


def test_over_the_limit_only_the_start_is_refused(lister: User, client_of_lists: Api, settings: Settings) -> None:
    use(settings, order_max_bytes=10 * MIB)
    files = put_on_list(lister, 3, size=5 * MIB)
    assert client_of_lists.listed()["totalSizeMB"] == 15
    order = client_of_lists.told("PUT", f"{LIST}/order", {"zipFileName": "z"})
    assert order["totalSizeMB"] == 15
    path = f"/download/order/{order['orderId']}"
    for method, what in (("POST", "/async/start"), ("GET", "/zip")):
        told = client_of_lists.refused(413, "order_too_large", method, path + what)
        assert (str(15 * MIB) in told["detail"], str(10 * MIB) in told["detail"]) == (True, True)
        assert (told["size"], told["limit"]) == (15 * MIB, 10 * MIB)
    assert not ListJob.objects.exists()
    assert client_of_lists.told("GET", path) == order
    for file in files:
        lists.add(user=lister, file_id=file.pk)
    fits = {"zipFileName": "z", "subSet": [association(file) for file in files[:2]]}
    order = client_of_lists.told("PUT", f"{LIST}/order", fits)
    client_of_lists.told("POST", f"/download/order/{order['orderId']}/async/start")


def test_the_limit_is_what_counts_when_it_starts(lister: User, client_of_lists: Api, settings: Settings) -> None:
    put_on_list(lister, 1, size=5 * MIB)
    order = client_of_lists.told("PUT", f"{LIST}/order", {"zipFileName": "z"})
    path = f"/download/order/{order['orderId']}/async/start"
    use(settings, order_max_bytes=5 * MIB - 1)
    client_of_lists.refused(413, "order_too_large", "POST", path)
    use(settings, order_max_bytes=5 * MIB)
    client_of_lists.told("POST", path)


# Whose ----------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_anothers_order_job_and_zip(lister: User, client_of_lists: Api, other: Api, staff: Api) -> None:
    order = ordered(lister, ready_file(lister, content=b"mine"))
    job = client_of_lists.told("POST", f"/download/order/{order.pk}/async/start")["jobId"]
    work(ListJob.objects.get())
    stored = StoredFile.objects.get(content_type="application/zip")
    calls = [
        ("GET", f"/download/order/{order.pk}", "no_such_order"),
        ("POST", f"/download/order/{order.pk}/async/start", "no_such_order"),
        ("GET", f"/download/order/{order.pk}/async/get/{job}", "no_such_order"),
        ("POST", f"/download/order/{order.pk}/async/get/{job}", "no_such_order"),
        ("GET", f"/download/order/{order.pk}/zip", "no_such_order"),
        ("GET", f"/async/get/{job}", "no_such_job"),
        ("POST", f"/async/stop/{job}", "no_such_job"),
        ("GET", f"/download/order/{lister.pk}/history", "no_such_list"),
    ]
    for method, path, code in calls:
        other.refused(404, code, method, path)
        response = staff.ask(method, path)
        response.close()
        assert response.status_code == (409 if "stop" in path else 200), path
    assert other.ask("GET", f"/files/{stored.pk}/content").status_code == 404
    response = staff.ask("GET", f"/files/{stored.pk}/content")
    assert (response.status_code, b"mine" in b"".join(response)) == (200, True)


def test_a_job_of_another_order(lister: User, client_of_lists: Api) -> None:
    first, second = (ordered(lister, ready_file(lister)) for _ in range(2))
    job = client_of_lists.told("POST", f"/download/order/{first.pk}/async/start")["jobId"]
    client_of_lists.refused(404, "no_such_job", "GET", f"/download/order/{second.pk}/async/get/{job}")
    client_of_lists.refused(404, "no_such_job", "GET", f"/download/list/me/add?jobId={job}")


@pytest.mark.parametrize("order_id", ["x", "1", NOBODYS, "..", "%00", "9" * 40])
@pytest.mark.parametrize("rest", ["", "/zip", "/async/start", f"/async/get/{NOBODYS}"])
def test_an_order_that_is_none(order_id: str, rest: str, client_of_lists: Api) -> None:
    method = "POST" if rest == "/async/start" else "GET"
    client_of_lists.refused(404, "no_such_order", method, f"/download/order/{order_id}{rest}")


# Start and history ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_an_order_that_is_started_twice_has_one_job(lister: User, client_of_lists: Api) -> None:
    order = ordered(lister, ready_file(lister))
    path = f"/download/order/{order.pk}/async/start"
    told = [client_of_lists.told("POST", path) for _ in range(2)]
    work(ListJob.objects.get())
    told += [client_of_lists.told("POST", path) for _ in range(2)]
    assert told == [told[0]] * 4
    assert ListJob.objects.get().state == ListJobState.COMPLETED


@pytest.mark.django_db(transaction=True)
def test_no_place_is_asked_within_a_transaction(
    lister: User, client_of_lists: Api, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that says nothing would keep everybody waiting for the database."""
    asked: list[bool] = []
    has_zip = orders.has_zip

    def noted(job: ListJob) -> bool:
        asked.append(connection.in_atomic_block)
        return has_zip(job)

    monkeypatch.setattr(orders, "has_zip", noted)
    order = ordered(lister, ready_file(lister))
    job = work(orders.start(order=order))
    client_of_lists.told("POST", f"/download/order/{order.pk}/async/start")
    client_of_lists.ask("GET", f"/download/order/{order.pk}/zip").close()
    for kind, row, name in (("order", order, "start"), ("listjob", job, "again")):
        page = reverse(f"admin:transfers_{kind}_operate", args=[row.pk, name])
        assert admin_client.post(page).status_code == 302
    assert asked == [False] * 4
    assert order.jobs.get() == job


def test_history_in_pages(lister: User, client_of_lists: Api, other: Api) -> None:
    ordered(other.user, ready_file(other.user))
    made = [str(ordered(lister, ready_file(lister), name=f"{n}.zip").pk) for n in range(7)]
    Order.objects.filter(pk__in=made[2:5]).update(created_at=Order.objects.get(pk=made[2]).created_at)
    for size in (1, 3, 7, 8):
        found: list[str] = []
        token = ""
        while True:
            path = f"/download/order/me/history?pageSize={size}" + (f"&nextPageToken={token}" if token else "")
            page = client_of_lists.told("GET", path)
            assert len(page["page"]) <= size
            found += [each["orderId"] for each in page["page"]]
            if (token := page.get("nextPageToken", "")) == "":
                break
        assert sorted(found) == sorted(made)
        assert (found[:2], found[-2:]) == ([made[6], made[5]], [made[1], made[0]])
    with CaptureQueriesContext(connection) as queries:
        client_of_lists.told("GET", f"/download/order/{lister.pk}/history")
    assert len(queries) <= 6
    theirs = other.told("GET", "/download/order/me/history")["page"][0]["orderId"]
    for token in ("x", str(uuid.uuid4()), theirs):
        client_of_lists.refused(400, "invalid_input", "GET", f"/download/order/me/history?nextPageToken={token}")


def test_a_large_order_costs_few_queries(lister: User, client_of_lists: Api) -> None:
    rows(lister, 3_000)
    job = client_of_lists.told("POST", f"{LIST}/add/async/start", {"parentId": None})["jobId"]
    work(ListJob.objects.get(pk=job))
    with CaptureQueriesContext(connection) as queries:
        order = client_of_lists.told("PUT", f"{LIST}/order", {"zipFileName": "z"})
    assert (len(order["files"]), client_of_lists.listed()["numberOfFiles"]) == (3_000, 0)
    assert len(queries) <= 60
