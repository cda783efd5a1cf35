"""`/api/cases/`: what one deployment asks of another."""

from __future__ import annotations

import functools
import json
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from config.settings.values import Cloud
from sync.models import Case, Job
from tests.integration.sync.rows import REGION, client_of, new_case
from tests.integration.transfers.rows import at_once, new_user, use

pytestmark = pytest.mark.django_db

URL = "/api/cases/"
CASE_ID = "77647eac-e413-438b-b3fe-b707e722cc88"
NOBODYS = "00000000-0000-0000-0000-000000000000"
CASE = {
    "ownerGroupId": "group",
    "labId": "lab",
    "pid": "P-0001",
    "projectname": "case",
    "projecttype": "TEST-PROJECT",
    "s3keypath": "userdata/group/lab/P-0001/case",
    "region": REGION,
}
SHOWN = {"_id", *CASE, "createdOn"}


@pytest.fixture(autouse=True)
def save_path(settings: Settings, tmp_path: Path) -> Path:
    """Where cases would lie; the cloud's folders lie beside it."""
    use(settings, sync_save_path=tmp_path / "cases")
    return tmp_path / "cases"


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def api(ann: User) -> Client:
    return client_of(ann)


def post(api: Client, path: str = URL, **words: Any) -> Any:
    body = {name: value for name, value in {**CASE, **words}.items() if value is not ...}
    return api.post(path, json.dumps(body), content_type="application/json")


def problem(answer: Any, status: int, code: str, *fields: str) -> None:
    told = answer.json()
    assert (answer.status_code, told["status"], told["code"]) == (status, status, code), told
    assert answer["Content-Type"] == "application/problem+json"
    assert set(told.get("errors", {})) == set(fields)
    assert told["detail"]


def test_a_case_is_made_and_shown_to_the_letter(api: Client, ann: User) -> None:
    answer = post(api)
    case = Case.objects.get()
    assert answer.status_code == 201
    told = dict(answer.json())
    assert datetime.fromisoformat(told.pop("createdOn")) == case.created_at
    assert told == {**CASE, "_id": str(case.uuid)}
    assert (case.user, case.api_url, case.copied_at) == (ann, "", None)
    shown = api.get(f"{URL}{case.uuid}/")
    assert (shown.status_code, shown.json()) == (200, answer.json())


def test_to_make_it_again_tells_what_was_there(api: Client) -> None:
    first, again = post(api), post(api)
    assert (again.status_code, again.json()) == (200, first.json())
    other = post(api, labId="other", projecttype="OTHER")
    assert (other.status_code, other.json()["_id"], other.json()["labId"]) == (200, first.json()["_id"], "other")
    slashes = post(api, s3keypath=f"/{CASE['s3keypath']}/")
    assert (slashes.status_code, slashes.json()["_id"]) == (200, first.json()["_id"])
    assert Case.objects.count() == 1


def test_a_case_that_had_no_name_yet_gets_one(api: Client, ann: User) -> None:
    names = {"owner_group_id": "group", "projectname": "case", "s3keypath": CASE["s3keypath"]}
    new_case(ann, uuid=None, **names)
    answer = post(api)
    assert (answer.status_code, answer.json()["_id"]) == (200, str(Case.objects.get().uuid))


def test_an_id_of_the_callers_own_is_kept(api: Client) -> None:
    assert post(api, _id=CASE_ID).json()["_id"] == CASE_ID
    assert post(api, _id=CASE_ID).status_code == 200
    problem(post(api, _id=NOBODYS), 409, "case_differs")


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_id_that_is_none_is_none(api: Client, nothing: object) -> None:
    assert post(api, _id=nothing).status_code == 201


@pytest.mark.parametrize("words", [{"s3keypath": "other"}, {"region": "us-east-1"}])
def test_a_case_that_is_known_otherwise(api: Client, words: dict[str, str]) -> None:
    post(api)
    problem(post(api, **words), 409, "case_differs")


@pytest.mark.parametrize("name", CASE)
@pytest.mark.parametrize("value", [..., None, "", "  ", 5, True, [], {}, "a\0b", "a\nb", "x" * 5000])
def test_a_field_that_is_wrong(api: Client, name: str, value: object) -> None:
    problem(post(api, **{name: value}), 400, "invalid_input", name)
    assert not Case.objects.exists()


@pytest.mark.parametrize("name", ["ownerGroupId", "pid", "projectname", "s3keypath"])
@pytest.mark.parametrize("value", ["..", ".", ".carryon", "a\\b", "한" * 86])
def test_a_name_that_no_folder_can_have(api: Client, name: str, value: str) -> None:
    problem(post(api, **{name: value}), 400, "invalid_input", name)
    assert not Case.objects.exists()


@pytest.mark.parametrize("value", ["x", 1, [], CASE_ID.replace("-", "")])
def test_an_id_that_is_no_uuid(api: Client, value: object) -> None:
    problem(post(api, _id=value), 400, "invalid_input", "_id")


def test_an_unknown_region(api: Client, settings: Settings, tmp_path: Path) -> None:
    use(settings, sync_regions={REGION: Cloud(folder=tmp_path / "cloud")})
    problem(post(api, region="mars-1"), 400, "unknown_region")


@pytest.mark.parametrize("theirs", [CASE["s3keypath"], f"{CASE['s3keypath']}/inner", "userdata"])
def test_a_prefix_in_or_around_anothers(api: Client, theirs: str) -> None:
    new_case(new_user("bob"), s3keypath=theirs)
    problem(post(api), 400, "invalid_input", "s3keypath")


def test_what_is_anothers_is_not_there(api: Client) -> None:
    theirs = new_case(new_user("bob"), owner_group_id="group", projectname="case", s3keypath=CASE["s3keypath"])
    missing = api.get(f"{URL}{NOBODYS}/")
    problem(missing, 404, "no_such_case")
    assert api.get(f"{URL}{theirs.uuid}/").json() == missing.json(), "ids leak nothing"
    problem(post(api), 404, "no_such_case")
    problem(post(api, _id=str(theirs.uuid), projectname="mine", s3keypath="mine"), 404, "no_such_case")
    assert Case.objects.get().user.username == "bob"
    staff = client_of(new_user("root", is_staff=True))
    assert staff.get(f"{URL}{theirs.uuid}").status_code == 200


@pytest.mark.parametrize("pk", ["x", "1", NOBODYS.replace("-", ""), f"{NOBODYS}0", "%00", "..%2f.."])
def test_what_is_no_id(api: Client, pk: str) -> None:
    assert api.get(f"{URL}{pk}").status_code == 404


def test_every_path_with_and_without_a_slash(api: Client) -> None:
    made = post(api, "/api/cases")
    assert made.status_code == 201
    for path in (URL, f"{URL}{made.json()['_id']}/"):
        assert api.get(path).json() == api.get(path.rstrip("/")).json()


def test_a_list_is_the_callers_own_newest_first_in_pages(api: Client, ann: User) -> None:
    ids = [str(new_case(ann).uuid) for _ in range(5)][::-1]
    new_case(new_user("bob"))
    whole = api.get(URL).json()
    assert (whole["count"], whole["next"], whole["previous"]) == (5, None, None)
    assert [case["_id"] for case in whole["results"]] == ids
    assert all(set(case) == SHOWN for case in whole["results"])
    last = api.get(f"{URL}?page_size=2&page=3").json()
    assert [case["_id"] for case in last["results"]] == ids[4:]
    staff = client_of(new_user("root", is_staff=True))
    assert staff.get(URL).json()["count"] == 6


def test_a_case_without_a_name_is_listed_without_one(api: Client, ann: User) -> None:
    new_case(ann, uuid=None)
    assert api.get(URL).json()["results"][0]["_id"] is None


@pytest.mark.parametrize("page", ["0", "-1", "9", "x", "9" * 5000, "%00"])
def test_a_page_that_is_not_there(api: Client, page: str) -> None:
    problem(api.get(f"{URL}?page={page}"), 404, "not_found")


@pytest.mark.parametrize("size", ["0", "-1", "501", "x", "", "9" * 5000, "%00"])
def test_a_page_size_that_cannot_be(api: Client, size: str) -> None:
    answer = api.get(f"{URL}?page_size={size}")
    problem(answer, 400, "invalid_input", "page_size")
    assert answer.json()["errors"]["page_size"] == ["must be a number from 1 to 500"]
    assert api.get(f"{URL}?page_size=500").status_code == 200


def test_a_list_costs_as_many_queries_for_many_as_for_one(api: Client, ann: User) -> None:
    counts = []
    for more in (1, 30):
        for _ in range(more):
            new_case(ann)
        with CaptureQueriesContext(connection) as queries:
            api.get(URL)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 4


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("words", [[{}], [{}, {"labId": "other"}]], ids=["alike", "with other labs"])
def test_of_many_that_make_it_at_once_one_makes_it(ann: User, words: list[dict[str, str]]) -> None:
    clients = [client_of(ann) for _ in range(8)]
    answers = at_once([functools.partial(post, api, **words[n % len(words)]) for n, api in enumerate(clients)])
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201], [a.content for a in answers]
    assert len({answer.json()["_id"] for answer in answers}) == 1
    assert Case.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_cases_that_would_lie_in_each_other_only_one_is_made(ann: User) -> None:
    clients = [client_of(ann) for _ in range(6)]
    prefixes = ["a", "a/b", "a/b/c", "a/b/c/d", "a/b/c/d/e", "a/b/c/d/e/f"]
    answers = at_once(
        [
            lambda api=api, prefix=prefix: post(api, s3keypath=prefix, projectname=prefix.replace("/", "-"))
            for api, prefix in zip(clients, prefixes, strict=True)
        ]
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 5
    assert Case.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_who_give_two_cases_one_id_only_one_has_it(ann: User) -> None:
    clients = [client_of(ann) for _ in range(4)]
    answers = at_once(
        [
            lambda api=api, name=f"case-{number}": post(api, _id=CASE_ID, projectname=name, s3keypath=name)
            for number, api in enumerate(clients)
        ]
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [404] * 3
    assert Case.objects.get().uuid == uuid.UUID(CASE_ID)


def test_old_clients_of_the_sync_change_nothing_here(api: Client, settings: Settings) -> None:
    use(settings, legacy_fail_status=200)
    problem(post(api, pid=...), 400, "invalid_input", "pid")


@pytest.mark.parametrize("method", ["put", "delete", "patch"])
def test_cases_are_for_ever(api: Client, ann: User, method: str) -> None:
    case = new_case(ann)
    assert getattr(api, method)(f"{URL}{case.uuid}/").status_code == 405
    assert Case.objects.exists()


def test_nobody_is_refused() -> None:
    problem(Client().get(URL), 401, "not_authenticated")
    problem(post(Client()), 401, "not_authenticated")
    assert not Job.objects.exists()
