"""What callers may send, see and list; and nothing that they send is more than a refusal."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks_api.models import DownloadTask, PrivateUpload, PublicUpload, Report, Source, Task
from tasks_api.services import download as downloads
from tasks_api.services import task as tasks
from tasks_api.services.task import Filters
from tests.integration.tasks_api.document import differences
from tests.integration.tasks_api.rows import (
    CID,
    CID_V1,
    KINDS,
    LISTS,
    PATHS,
    client_of,
    grant,
    new_download,
    new_source,
    new_task,
)
from tests.integration.transfers.rows import new_user

pytestmark = pytest.mark.django_db

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
NEW = {"series_id": 5, "uuid": "u", "source_name": "film.mov"}
UPLOADS, DOWNLOADS = PATHS[PublicUpload], PATHS[DownloadTask]


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def api(ann: User) -> Client:
    return client_of(ann)


def refused(answer: Any, *fields: str, status: int = 400) -> None:
    """It is an answer in the failures' envelope that names these fields."""
    told = answer.json()
    assert (answer.status_code, set(told), told["data"]) == (status, {"data", "message", "errors"}, None), told
    assert told["message"]
    assert set(told["errors"]) == set(fields), told


# Ways to say it -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alias", ["pbulic", "public"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_forms_json_aliases_and_slashes(alias: str, slash: str, api: Client) -> None:
    path = f"/api/v1/tasks/upload/{alias}"
    made = [
        api.post(path + slash, NEW),
        api.post(path + slash, NEW, content_type=JSON),
        api.post(path + slash, "series_id=5&uuid=u&source_name=film.mov", content_type=FORM),
    ]
    ids = {answer.json()["data"]["id"] for answer in made}
    assert ([answer.status_code for answer in made], len(ids)) == ([200] * 3, 1)
    [pk] = ids
    parts = encode_multipart(BOUNDARY, {"status": "1", "percent": "5"})
    for body, kind in (
        (parts, MULTIPART_CONTENT),
        ("status=1&percent=6", FORM),
        ('{"status":1.0,"percent":"7.0"}', JSON),
    ):
        answer = api.patch(f"{path}/{pk}{slash}", body, content_type=kind)
        assert answer.status_code == 200, answer.content
    assert answer.json() == api.get(f"{path}/{pk}{slash}").json()
    assert answer.json()["data"]["percent"] == 7
    assert differences("POST /api/v1/tasks/upload/pbulic/", answer.json()) is None


def test_a_download_is_named_in_the_query_or_in_a_body_of_get_or_post(api: Client, ann: User) -> None:
    pk = new_source(ann).pk
    parts = encode_multipart(BOUNDARY, {"source_id": str(pk)})
    asked = [
        api.get(f"{DOWNLOADS}?source_id={pk}"),
        api.get(f"{DOWNLOADS.rstrip('/')}?source_id={pk}"),
        api.generic("GET", DOWNLOADS, f"source_id={pk}", FORM),
        api.generic("GET", DOWNLOADS, parts, MULTIPART_CONTENT),
        api.generic("GET", DOWNLOADS, f'{{"source_id": {pk}}}', JSON),
        api.post(DOWNLOADS, {"source_id": pk}),
        api.post(DOWNLOADS, {"source_id": str(pk)}, content_type=JSON),
    ]
    assert [answer.status_code for answer in asked] == [200] * 7, [answer.content for answer in asked]
    assert len({answer.json()["data"]["id"] for answer in asked}) == 1
    assert {answer["Cache-Control"] for answer in asked} == {"no-store"}
    refused(api.get(DOWNLOADS), "source_id")
    assert api.head(f"{DOWNLOADS}?source_id={new_source(ann).pk}").status_code == 405
    assert DownloadTask.objects.count() == 1


def test_what_is_sent_empty_stays_as_it_was(api: Client, ann: User) -> None:
    told = {"name": "n ", "file": " f", "hash": CID_V1, "size": "102400.0", "ip": "/ip4/1.2.3.4/tcp/4001"}
    task = new_task(PublicUpload, ann)
    first = api.patch(f"{UPLOADS}{task.pk}", {"status": 3, **told}, content_type=JSON).json()["data"]
    assert {name: first[name] for name in told} == {**told, "size": 102400}, "and as it was sent"
    for empty in ("", None):
        answer = api.patch(f"{UPLOADS}{task.pk}", {"status": 3, **dict.fromkeys(told, empty)}, content_type=JSON)
        assert answer.json()["data"] == first


def test_of_a_repeated_form_field_the_last_counts(api: Client, ann: User) -> None:
    task = new_task(PublicUpload, ann)
    answer = api.patch(f"{UPLOADS}{task.pk}", "status=9&status=2&percent=abc&percent=5", content_type=FORM)
    assert (answer.json()["data"]["status"], answer.json()["data"]["percent"]) == (2, 5)


# Hostile values -------------------------------------------------------------------------------------------------------

NO_NUMBERS = [
    *(
        "x",
        "-1",
        "1.5",
        "NaN",
        "inf",
        "-Infinity",
        "1e999",
        "1e-3",
        str(2**63),
        "9" * 5000,
        "0x1",
        "1_0",
        "\uff11\uff12",
        "1,0",
    ),
    *("1\0", "true", "1 2", "[]", "1e99999999", "--1"),
]
NO_JSON_NUMBERS = [-1, 1.5, 1e300, 2**63, 10**400, True, False, [], [1], {}, {"a": 1}]
TEXTS = ["a\0b", "\0", "a\nb", "\x1b[31m", "a\x7f", "x" * 100_000, "   "]
NO_JSON_TEXTS = [[], ["a"], {}, {"a": 1}, True, False]


@pytest.mark.parametrize("name", ["status", "percent", "size"])
def test_numbers_that_are_none(name: str, api: Client, ann: User) -> None:
    task = new_task(PublicUpload, ann, status=1, percent=1)
    for value in (*NO_NUMBERS, *NO_JSON_NUMBERS):
        answer = api.patch(f"{UPLOADS}{task.pk}", {"status": 1, name: value}, content_type=JSON)
        refused(answer, name)
    for value in NO_NUMBERS:
        refused(
            api.patch(f"{UPLOADS}{task.pk}", encode_multipart(BOUNDARY, {"status": 1, name: value}), MULTIPART_CONTENT),
            name,
        )
    task.refresh_from_db()
    assert (task.status, task.percent, task.size, task.revision) == (1, 1, 0, 0)


@pytest.mark.parametrize("name", ["name", "file", "ip", "hash"])
def test_texts_that_are_none(name: str, api: Client, ann: User) -> None:
    task = new_task(PublicUpload, ann, status=1)
    for value in (*TEXTS, *NO_JSON_TEXTS):
        refused(api.patch(f"{UPLOADS}{task.pk}", {"status": 1, name: value}, content_type=JSON), name)
    for value in TEXTS:
        refused(
            api.patch(f"{UPLOADS}{task.pk}", encode_multipart(BOUNDARY, {"status": 1, name: value}), MULTIPART_CONTENT),
            name,
        )
    file = encode_multipart(BOUNDARY, {"status": "1"})[: -len(f"--{BOUNDARY}--\r\n")]
    head = f'Content-Disposition: form-data; name="{name}"; filename="x"'
    file += f"--{BOUNDARY}\r\n{head}\r\n\r\nabc\r\n--{BOUNDARY}--\r\n".encode()
    refused(api.patch(f"{UPLOADS}{task.pk}", file, MULTIPART_CONTENT), name)


@pytest.mark.parametrize(
    "cid",
    [
        "Qm",
        CID[:-1],
        CID + "x",
        CID.lower(),
        f" {CID}",
        f"{CID} ",
        f"/ipfs/{CID}",
        CID_V1.upper() + "é",
        CID_V1[:-1],
        "0" * 46,
    ],
)
def test_hashes_that_are_none(cid: str, api: Client, ann: User) -> None:
    task = new_task(PublicUpload, ann, status=3)
    refused(api.patch(f"{UPLOADS}{task.pk}", {"status": 3, "hash": cid}, content_type=JSON), "hash")


@pytest.mark.parametrize("name", NEW)
def test_what_a_new_upload_cannot_be(name: str, api: Client) -> None:
    wrong = [*NO_NUMBERS, *NO_JSON_NUMBERS, 0] if name == "series_id" else [*TEXTS, *NO_JSON_TEXTS]
    for value in (*wrong, "", None):
        refused(api.post(UPLOADS, {**NEW, name: value}, content_type=JSON), name)
    refused(api.post(UPLOADS, {key: value for key, value in NEW.items() if key != name}), name)
    assert not Source.objects.exists()


def test_what_a_new_download_cannot_be(api: Client) -> None:
    for value in (*NO_NUMBERS, *NO_JSON_NUMBERS, "", None):
        refused(api.post(DOWNLOADS, {"source_id": value}, content_type=JSON), "source_id")
    for value in NO_NUMBERS:
        refused(api.get(DOWNLOADS, {"source_id": value}), "source_id")
    for value in (0, 1, 2**63 - 1):
        refused(api.post(DOWNLOADS, {"source_id": value}, content_type=JSON), status=404)


def test_bodies_that_are_no_object(api: Client, ann: User) -> None:
    task = new_task(PublicUpload, ann)
    for body in ("[]", "1", '"status"', "null", '[{"status": 1}]'):
        answer = api.patch(f"{UPLOADS}{task.pk}", body, content_type=JSON)
        assert answer.status_code == 400
        assert set(answer.json()) == {"data", "message", "errors"}


IDS = [
    "0",
    "9223372036854775807",
    "9223372036854775808",
    "9" * 19,
    "1" * 20,
    "1" * 4000,
    "x",
    "-1",
    "1.0",
    "%00",
    "\uff11",
]


@pytest.mark.parametrize("pk", IDS, ids=[pk[:25] for pk in IDS])
def test_ids_that_nothing_has(pk: str, api: Client) -> None:
    for path in PATHS.values():
        refused(api.get(f"{path}{pk}/"), status=404)
        refused(api.patch(f"{path}{pk}", {"status": 1}, content_type=JSON), status=404)


# Who may --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_what_is_not_yours_is_not_there(kind: type[Task], api: Client, ann: User) -> None:
    theirs = new_task(kind, new_user("bob"))
    staff = client_of(new_user("root", is_staff=True))
    answers = [api.get(f"{PATHS[kind]}{pk}") for pk in (theirs.pk, theirs.pk + 10**6)]
    refused(answers[0], status=404)
    assert answers[0].content == answers[1].content
    refused(api.patch(f"{PATHS[kind]}{theirs.pk}", {"status": 9}, content_type=JSON), status=404)
    assert api.get(LISTS[kind]).json()["data"] == []
    of_staff = [task["id"] for task in staff.get(LISTS[kind]).json()["data"]]
    assert of_staff == ([] if kind is PrivateUpload else [theirs.pk]), "what is to do is its owner's alone"
    assert staff.get(f"{PATHS[kind]}{theirs.pk}").status_code == 200
    assert staff.patch(f"{PATHS[kind]}{theirs.pk}", {"status": 9}, content_type=JSON).status_code == 200


def test_the_owner_of_a_source_looks_at_its_downloads_and_leaves_them_alone(api: Client, ann: User) -> None:
    download = new_download(new_source(ann), new_user("bob"))
    assert api.get(f"{DOWNLOADS}{download.pk}").json()["data"]["id"] == download.pk
    refused(api.patch(f"{DOWNLOADS}{download.pk}", {"status": 9}, content_type=JSON), status=403)


def test_who_may_download(api: Client, ann: User) -> None:
    bob = new_user("bob")
    source, unfinished = new_source(bob), new_source(bob, public=3)
    staff = client_of(new_user("root", is_staff=True))
    for each in (source, unfinished):
        refused(api.get(DOWNLOADS, {"source_id": each.pk}), status=403)
        grant(each, ann)
    texts = {api.get(DOWNLOADS, {"source_id": pk}).json()["message"] for pk in (source.pk, unfinished.pk, 10**9)}
    assert len(texts) == 3, "and is told why not"
    for client in (api, client_of(bob), staff):
        assert client.get(DOWNLOADS, {"source_id": source.pk}).status_code == 200
        refused(client.get(DOWNLOADS, {"source_id": unfinished.pk}), status=409)


OTHER_SITES = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
]
OWN_SITE: list[dict[str, str]] = [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}]


@pytest.mark.parametrize("headers", OTHER_SITES, ids=str)
def test_no_other_site_begins_a_download_with_a_session(headers: dict[str, str], ann: User) -> None:
    source = new_source(ann)
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(ann)
    refused(browser.get(DOWNLOADS, {"source_id": source.pk}, headers=headers), status=403)
    refused(browser.post(DOWNLOADS, {"source_id": source.pk}, headers=headers), status=403)
    assert not DownloadTask.objects.exists()
    assert client_of(ann).get(DOWNLOADS, {"source_id": source.pk}, headers=headers).status_code == 200, "with a token"


@pytest.mark.parametrize("headers", OWN_SITE, ids=str)
def test_a_page_of_ours_begins_a_download_with_a_session(headers: dict[str, str], ann: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(ann)
    assert browser.get(DOWNLOADS, {"source_id": new_source(ann).pk}, headers=headers).status_code == 200


# Lists ----------------------------------------------------------------------------------------------------------------


def listed(api: Client, path: str, **query: Any) -> list[int]:
    answer = api.get(path, query)
    assert answer.status_code == 200, answer.content
    told = answer.json()
    assert set(told["meta"]) == {"count", "page", "page_size", "status_choices"}
    return [task["id"] for task in told["data"]]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_lists_are_narrowed_and_paged(kind: type[Task], api: Client, ann: User) -> None:
    path = LISTS[kind]
    tasks = [new_task(kind, ann, status=status) for status in (0, 9, 9, 0)]
    done = new_task(kind, ann, status=8)
    newest_first = [task.pk for task in reversed(tasks)]
    everything = newest_first if kind is PrivateUpload else [done.pk, *newest_first]
    assert listed(api, path) == everything
    assert listed(api, path, status=9) == [tasks[2].pk, tasks[1].pk]
    assert listed(api, path, status=8) == [done.pk]
    assert listed(api, path, series_id=7) == everything
    assert listed(api, path, series_id=8) == []
    assert listed(api, path, page_size=2, page=2) == everything[2:4]
    assert listed(api, path, page=10**9, page_size=200) == []
    meta = api.get(path, {"page_size": 2, "page": 2}).json()["meta"]
    assert (meta["count"], meta["page"], meta["page_size"]) == (len(everything), 2, 2)
    assert [choice["code"] for choice in meta["status_choices"]] == [status.value for status in kind.statuses()]
    moment = timezone.now() + timedelta(hours=1)
    kind._default_manager.filter(pk=tasks[0].pk).update(**{kind.shown_since: moment})
    for since in (moment.isoformat(), f"{moment:%Y-%m-%d %H:%M:%S}", f"{moment:%Y-%m-%dT%H:%M}Z"):
        assert listed(api, path, updated_since=since) == [tasks[0].pk]
    assert api.get(f"{path}?updated_since={moment.isoformat()}").json()["meta"]["count"] == 1, "with + as it is"
    changed_last_first = sorted(everything, key=lambda pk: (pk == tasks[0].pk, pk), reverse=True)
    assert listed(api, path, updated_since="2018-05-06T12:00:00+08:00") == changed_last_first
    assert listed(api, path, updated_since="0001-01-01T00:00:00+14:00") == changed_last_first
    assert listed(api, path, updated_since="9999-12-31T23:59:59-14:00") == []


@pytest.mark.parametrize("kind", [PublicUpload, DownloadTask], ids=lambda kind: kind.kind)
def test_staff_list_everybodys_with_the_same_filters(kind: type[Task], ann: User) -> None:
    api, bob = client_of(new_user("root", is_staff=True)), new_user("bob")
    made = [new_task(kind, user, status=status) for status in (0, 9) for user in (ann, bob)]
    made_ids = [task.pk for task in reversed(made)]
    if kind is PublicUpload:
        assert listed(api, LISTS[kind], status=8) == []
    assert listed(api, LISTS[kind]) == made_ids
    assert listed(api, LISTS[kind], status=9) == made_ids[:2]
    assert listed(api, LISTS[kind], series_id=7) == made_ids
    assert listed(api, LISTS[kind], page=2, page_size=1) == [made_ids[1]]
    kind._default_manager.filter(pk=made[0].pk).update(**{kind.shown_since: timezone.now() + timedelta(hours=1)})
    assert listed(api, LISTS[kind], updated_since=timezone.now().isoformat()) == [made[0].pk]


@pytest.mark.parametrize("staff", [False, True], ids=["own", "staff"])
@pytest.mark.parametrize(
    "narrowed",
    [{}, {"statuses": (0,)}, {"series_id": 7}, {"updated_since": timezone.now()}],
    ids=lambda narrowed: next(iter(narrowed), "all"),
)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_no_list_is_sorted_or_searched_row_by_row(
    kind: type[Task],
    narrowed: dict[str, Any],
    staff: bool,  # noqa: FBT001 - a table
) -> None:
    rows = tasks.listed(kind, user=new_user("ann", is_staff=staff), filters=Filters(**narrowed))[:50]
    table = kind._meta.db_table
    if connection.vendor == "sqlite":
        plan = rows.explain()
        assert "TEMP B-TREE" not in plan
        [step] = [line for line in plan.splitlines() if re.search(rf"\b{table}\b", line)]
        assert "USING INDEX" in step or not narrowed, plan
    else:
        with connection.cursor() as cursor:  # a table of nothing is sooner read than its index
            for means in ("seqscan", "sort", "bitmapscan"):
                cursor.execute(f"SET LOCAL enable_{means} = off")
        plan = rows.explain()
        assert "Sort" not in plan
        assert re.search(rf"Index (Only )?Scan (Backward )?using \S+ on {table}\b", plan), plan


def test_what_is_shown_of_a_download_has_changed_with_its_private_block_and_its_grant(api: Client, ann: User) -> None:
    source = new_source(new_user("bob"))
    ended, live = (new_download(source, ann, status=status) for status in (9, 5))
    owner = source.owner

    def changed(act: Callable[[], object]) -> list[int]:
        moment = timezone.now()
        time.sleep(0.002)  # longer than the database's clock takes for a step
        act()
        return listed(api, LISTS[DownloadTask], updated_since=moment.isoformat())

    def report(status: int, **block: Any) -> Callable[[], object]:
        told = Report(status=status, percent=100 if status == 8 else block.pop("percent", 0), block=block)
        return partial(tasks.report, PrivateUpload, user=owner, task_id=source.private_upload.pk, told=told)

    both = [live.pk, ended.pk]
    assert changed(report(3)) == both
    assert changed(report(3, percent=50)) == [], "which downloads do not show"
    assert changed(report(8, hash=CID, size=9)) == both
    assert changed(partial(tasks.reopen, upload=source.private_upload)) == both
    assert changed(partial(downloads.revoke, source=source, user=ann)) == both
    assert changed(partial(downloads.revoke, source=source, user=ann)) == []
    assert changed(partial(downloads.grant, source=source, user=ann, granted_by=owner)) == both
    assert changed(partial(downloads.grant, source=source, user=ann, granted_by=owner)) == []
    other = partial(tasks.report, DownloadTask, user=ann, task_id=live.pk, told=Report(status=7))
    assert changed(other) == [live.pk]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_filters_that_are_none(kind: type[Task], api: Client) -> None:
    other = {PublicUpload: 4, PrivateUpload: 1, DownloadTask: 3}[kind]
    moments = ["x", "2018-13-01", "0000-01-01T00:00:00Z", "\0", "1" * 5000, "NaN"]
    wrong: dict[str, list[Any]] = {
        "status": [*NO_NUMBERS, other, 10],
        "series_id": [*NO_NUMBERS, 0],
        "page": [*NO_NUMBERS, 0, 10**9 + 1],
        "page_size": [*NO_NUMBERS, 0, 201],
        "updated_since": moments,
    }
    for name, values in wrong.items():
        for value in values:
            refused(api.get(LISTS[kind], {name: value}), name)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_lists_take_the_same_number_of_queries_whatever_their_length(kind: type[Task], api: Client, ann: User) -> None:
    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert api.get(path).status_code == 200
        return len(captured)

    new_task(kind, ann)
    few = queries(LISTS[kind])
    for number in range(30):
        new_task(kind, ann)
        new_download(new_source(new_user(f"owner{number}")), ann, granted=bool(number % 2))
    PrivateUpload.objects.exclude(source__owner=ann).update(status=8, percent=100, hash=CID, size=9)
    assert queries(LISTS[kind]) == few <= 3, "whose token it is, the count, and the page"
    assert queries("/api/v1/series/7/sources/") <= 3
    latest = kind._default_manager.filter(user=ann).latest("id")
    assert queries(f"{PATHS[kind]}{latest.pk}") == 2 + (kind is DownloadTask), "with a key, whether it is granted"
    latest.source.private_upload.mark_reopened()
    assert queries(f"{PATHS[kind]}{latest.pk}") == 2


def test_the_sources_of_a_series_are_those_that_can_be_downloaded(api: Client, ann: User) -> None:
    bob = new_user("bob")
    mine, granted, theirs = new_source(ann), new_source(bob), new_source(bob)
    unfinished, elsewhere = new_source(ann, public=3), new_source(ann, series_id=8)
    grant(granted, ann)
    answer = api.get("/api/v1/series/7/sources/").json()
    assert [source["source_id"] for source in answer["data"]] == [granted.pk, mine.pk]
    assert {source["hash"] for source in answer["data"]} == {CID}
    download = api.get(DOWNLOADS, {"source_id": granted.pk}).json()["data"]
    same = {name: value for name, value in download.items() if name not in ("id", "status", "percent", "created_at")}
    assert answer["data"][0].items() >= same.items()
    assert api.get("/api/v1/series/99/sources").json()["data"] == []
    staff = client_of(new_user("root", is_staff=True))
    assert [source["source_id"] for source in staff.get("/api/v1/series/7/sources/").json()["data"]] == [
        theirs.pk,
        granted.pk,
        mine.pk,
    ]
    assert unfinished.pk != elsewhere.pk
    refused(api.get(f"/api/v1/series/{2**63}/sources"), status=404)


def test_the_signed_in_user(api: Client, ann: User) -> None:
    told = {
        "id": ann.pk,
        "username": "ann",
        "first_name": "",
        "last_name": "",
        "email": "",
        "is_staff": False,
        "name": "ann",
    }
    assert api.get("/api/v1/users/me/").json() == {"data": told, "message": ""}


# ETags ----------------------------------------------------------------------------------------------------------------


def test_who_has_the_answer_is_told_so_until_it_changes(api: Client, ann: User) -> None:
    task = new_task(DownloadTask, ann)
    for path in (f"{DOWNLOADS}{task.pk}", LISTS[DownloadTask], "/api/v1/users/me", "/api/v1/series/7/sources"):
        first = api.get(path)
        etag = first["ETag"]
        assert (etag[0], first["Cache-Control"]) == ('"', "private, no-cache")
        assert {"Accept-Language", "Authorization", "Cookie"} <= set(first["Vary"].split(", "))
        same = api.get(path, headers={"If-None-Match": f'"x", {etag}'})
        assert (same.status_code, same.content, same["ETag"]) == (304, b"", etag)
        assert api.get(path, headers={"If-None-Match": '"x"'}).status_code == 200
    path = f"{DOWNLOADS}{task.pk}"
    etag = api.get(path)["ETag"]
    assert api.head(path)["ETag"] == etag
    PrivateUpload.objects.filter(source=task.source_id).update(status=8, percent=100, hash=CID, size=1)
    changed = api.get(path, headers={"If-None-Match": etag})
    assert (changed.status_code, changed.json()["data"]["private_hash"]) == (200, CID)
