"""What the API description says of lists and orders is what the service takes and answers."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from drf_spectacular.generators import SchemaGenerator
from pytest_django.fixtures import Settings

from tests.integration.sync.views.test_described import Described, faults, holds
from tests.integration.transfers.orders import Api, association, ordered, ready_file, work
from tests.integration.transfers.rows import use
from transfers.models import ListJob
from transfers.models.list_job import ListJobKind, ListJobState
from transfers.services import stored_file as files

pytest_plugins = ["tests.integration.transfers.order_fixtures"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

LIST, ORDER = "/download/list/{userid}/", "/download/order/{order_id}/"
OPERATIONS = {
    "/entity/children/": ["post"],
    LIST: ["get", "delete"],
    f"{LIST}add/": ["get", "post"],
    f"{LIST}add/async/start/": ["post", "put"],
    f"{LIST}remove/": ["post"],
    f"{LIST}order/": ["put"],
    "/async/get/{job_id}/": ["get"],
    "/async/stop/{job_id}/": ["post"],
    ORDER: ["get"],
    f"{ORDER}async/start/": ["post"],
    f"{ORDER}async/get/{{job_id}}/": ["get", "post"],
    f"{ORDER}zip/": ["get"],
    "/download/order/{userid}/history/": ["get"],
}


@pytest.fixture(scope="module")
def described() -> Described:
    schema: Described = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    return schema


class Asking:
    """Asks as the description has it, and holds each answer against it."""

    def __init__(self, described: Described, api: Api) -> None:
        self.described, self.api = described, api

    def __call__(
        self, method: str, path: str, body: object = None, query: str = "", *, status: int = 200, **names: object
    ) -> Any:
        response = self.api.ask(method.upper(), path.format(**names) + query, body)
        assert response.status_code == status, response.content[:500]
        holds(self.described, path, method, response)
        return response.json()


@pytest.fixture
def asks(described: Described, client_of_lists: Api) -> Asking:
    return Asking(described, client_of_lists)


@pytest.mark.parametrize(("path", "methods"), OPERATIONS.items())
def test_every_call_is_described_and_its_examples_hold(path: str, methods: list[str], described: Described) -> None:
    assert sorted(set(described["paths"][path]) - {"parameters"}) == sorted(methods)
    for method in methods:
        operation = described["paths"][path][method]
        told = [operation.get("requestBody", {"content": {}}), *operation["responses"].values()]
        for content in (content for each in told for content in each.get("content", {}).values()):
            for example in content.get("examples", {}).values():
                assert faults(described, content["schema"], example["value"]) == []


def test_answers_are_as_described(lister: User, asks: Asking, settings: Settings) -> None:
    kept, gone = ready_file(lister, "a.bin", folder="scans"), ready_file(lister, "b.bin", folder="scans")
    children = asks("post", "/entity/children/", {"partMask": 3, "pageSize": 1})
    parent = children["page"][0]["id"]
    asks("post", "/entity/children/", {"parentId": parent, "pageSize": 1})
    asks("post", "/entity/children/", {"parentId": "x"}, status=404)
    asks("post", "/entity/children/", {"x": "x"}, status=400)
    asks("get", LIST, userid="me")
    asks("get", LIST, userid="0", status=404)
    for method in ("post", "put"):
        job = asks(method, f"{LIST}add/async/start/", {"parentId": parent}, userid="me")["jobId"]
    asks("put", f"{LIST}add/async/start/", {}, userid="me", status=400)
    asks("get", f"{LIST}add/", userid="me", query=f"?jobId={job}", status=202)
    asks("get", "/async/get/{job_id}/", job_id=job, status=202)
    work(ListJob.objects.get(pk=job))
    asks("get", f"{LIST}add/", userid="me", query=f"?jobId={job}")
    asks("get", "/async/get/{job_id}/", job_id=job)
    failed = ListJob.objects.create(user=lister, kind=ListJobKind.ADD, state=ListJobState.FAILED, error="why")
    asks("get", f"{LIST}add/", userid="me", query=f"?jobId={failed.pk}")
    asks("get", "/async/get/{job_id}/", job_id=failed.pk)
    asks("post", f"{LIST}add/", association(kept), userid="me")
    asks("post", f"{LIST}add/", association(999999), userid="me", status=404)
    asks("get", LIST, userid="me", query="?pageSize=1")
    asks("post", f"{LIST}remove/", [association(999999)], userid="me")
    asks("post", f"{LIST}remove/", {}, userid="me", status=400)
    asks("put", f"{LIST}order/", {"zipFileName": "/"}, userid="me", status=400)
    order = asks("put", f"{LIST}order/", {"zipFileName": "z"}, userid="me")["orderId"]
    asks("get", ORDER, order_id=order)
    asks("get", ORDER, order_id="x", status=404)
    use(settings, order_max_bytes=1)
    asks("post", f"{ORDER}async/start/", order_id=order, status=413)
    use(settings, order_max_bytes=10**9)
    files.delete(user=lister, stored_file_id=gone.pk)
    job = asks("post", f"{ORDER}async/start/", order_id=order)["jobId"]
    result = f"{ORDER}async/get/{{job_id}}/"
    asks("get", result, order_id=order, job_id=job, status=202)
    work(ListJob.objects.get(pk=job))
    told = asks("post", result, order_id=order, job_id=job)
    assert [each["status"] for each in told["fileSummary"]] == ["SUCCESS", "FAILURE"]
    asks("get", "/async/get/{job_id}/", job_id=job)
    asks("get", result, order_id=order, job_id=uuid.uuid4(), status=404)
    asks("post", "/async/stop/{job_id}/", job_id=job, status=409)
    ListJob.objects.filter(pk=job).expire()
    asks("get", result, order_id=order, job_id=job)
    job = asks("post", f"{ORDER}async/start/", order_id=order)["jobId"]
    asks("post", "/async/stop/{job_id}/", job_id=job)
    ordered(lister, kept)
    asks("get", "/download/order/{userid}/history/", userid="me", query="?pageSize=1")
    asks("get", "/download/order/{userid}/history/", userid="me", query="?pageSize=0", status=400)
