"""Where an order stands and what is not in its zip, as a page asks for it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.integration.transfers.order_rows import new_job, new_order, new_zip
from transfers.models import Order, StoredFile

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def ann(client: Client) -> User:
    user = User.objects.create_user("ann")
    client.force_login(user)
    return user


def state(client: Client, order: Order) -> dict[str, Any]:
    response = client.get(f"/download/order/{order.pk}/state")
    assert response.status_code == 200, response.content
    body: dict[str, Any] = response.json()
    return body


def test_an_order_that_nobody_started_has_no_job(client: Client, ann: User) -> None:
    order = new_order(ann, 3)
    assert state(client, order) == {
        "orderId": str(order.pk),
        "numberOfFiles": 3,
        "numberOfFailures": 0,
        "job": None,
        "resultZipFileHandleId": None,
        "zipSize": None,
        "expiresOn": None,
    }


def test_a_running_job_tells_its_bytes(client: Client, ann: User) -> None:
    order = new_order(ann)
    job = new_job(ann, order, "running", bytes_done=1000, bytes_total=3000)
    told = state(client, order)["job"]
    assert (told["jobId"], told["jobState"]) == (str(job.pk), "PROCESSING")
    assert (told["progressCurrent"], told["progressTotal"]) == (1000, 3000)


def test_a_zip_is_told_with_its_size_and_its_end(client: Client, ann: User) -> None:
    order = new_order(ann, 5, failed=2)
    job = new_zip(ann, order)
    told = state(client, order)
    assert (told["resultZipFileHandleId"], told["zipSize"]) == (str(job.stored_file_id), 4096)
    assert (told["job"]["jobState"], told["numberOfFailures"]) == ("COMPLETE", 2)
    assert told["expiresOn"]


def test_a_zip_that_was_deleted_is_not_told(client: Client, ann: User) -> None:
    order = new_order(ann)
    job = new_zip(ann, order)
    StoredFile.objects.filter(pk=job.stored_file_id).update(deleted_at=timezone.now())
    told = state(client, order)
    assert (told["zipSize"], told["resultZipFileHandleId"], told["expiresOn"]) == (None, None, None)


@pytest.mark.parametrize("end", ["stopped", "expired"])
def test_the_last_job_is_the_one_that_is_told(client: Client, ann: User, end: str) -> None:
    order = new_order(ann)
    new_job(ann, order, "failed", error="no room", error_code="out_of_space")
    new_job(ann, order, end)
    assert state(client, order)["job"]["errorDetails"] == end


def test_failures_come_in_pages(client: Client, ann: User) -> None:
    order = new_order(ann, 9, failed=5)
    names, token = [], None
    for _ in range(3):
        query = {"pageSize": 2, **({"nextPageToken": token} if token else {})}
        body = client.get(f"/download/order/{order.pk}/failures", query).json()
        names += [row["zipEntryName"] for row in body["page"]]
        token = body.get("nextPageToken")
    assert names == [f"scans/{number}.bin" for number in range(4, 9)]
    assert token is None
    assert (body["page"][0]["failureCode"], body["page"][0]["failureMessage"]) == ("NOT_FOUND", "The file was deleted.")


@pytest.mark.parametrize("token", ["x", "-1", "²"])
def test_a_token_that_no_page_ended_with_is_refused(client: Client, ann: User, token: str) -> None:
    response = client.get(f"/download/order/{new_order(ann).pk}/failures", {"nextPageToken": token})
    assert response.status_code == 400
    assert "nextPageToken" in response.json()["errors"]


def test_the_largest_token_is_no_error(client: Client, ann: User) -> None:
    response = client.get(f"/download/order/{new_order(ann, 2, failed=2).pk}/failures", {"nextPageToken": "9" * 40})
    assert (response.status_code, response.json()) == (200, {"page": []})


@pytest.mark.parametrize("what", ["state", "failures"])
def test_another_users_order_is_not_found(client: Client, ann: User, what: str) -> None:
    order = new_order(User.objects.create_user("berta"))
    assert client.get(f"/download/order/{order.pk}/{what}").status_code == 404
    User.objects.filter(pk=ann.pk).update(is_staff=True)
    assert client.get(f"/download/order/{order.pk}/{what}").status_code == 200


@pytest.mark.parametrize("what", ["state", "failures"])
def test_nobody_is_told_without_logging_in(client: Client, what: str) -> None:
    order = new_order(User.objects.create_user("berta"))
    assert client.get(f"/download/order/{order.pk}/{what}").status_code == 401


def test_a_larger_order_takes_no_more_queries(client: Client, ann: User) -> None:
    counts = []
    for size in (10, 1000):
        order = new_order(ann, size, failed=size)
        with CaptureQueriesContext(connection) as queries:
            state(client, order)
        counts.append(len(queries))
    assert counts[0] == counts[1]
