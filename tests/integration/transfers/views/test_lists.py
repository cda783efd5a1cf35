"""`/entity/children`, `/download/list/…`, `/async/…`: browse, pick, review, to the letter of the contract."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.integration.transfers.orders import Api, association, ready_file, rows, work
from transfers.models import DownloadList, ListItem, ListJob, StoredFile
from transfers.models.list_job import ListJobKind, ListJobState
from transfers.models.selection import Folder, plain_text

NOBODYS = "0cf00e65-535d-4d83-97de-cd658b3814bf"
"""The id of no order and of no job."""

pytest_plugins = ["tests.integration.transfers.order_fixtures"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]

MIB = 2**20


def new(owner: User, name: str, **facts: Any) -> StoredFile:
    return rows(owner, 1, **{"name": name, **facts})[0]


def ids(told: dict[str, Any]) -> list[int]:
    """What is on the list, whose form is checked and whose totals are counted anew."""
    assert set(told) == {"userId", "files", "numberOfFiles", "totalSizeMB", "updatedOn", "etag"}
    assert all(each == association(int(each["fileHandleId"])) for each in told["files"])
    found = [int(each["fileHandleId"]) for each in told["files"]]
    sizes = dict(StoredFile.objects.in_bulk(found).items())
    total = sum(sizes[pk].size for pk in found)
    assert (told["numberOfFiles"], told["totalSizeMB"]) == (len(found), -(-total // MIB))
    return found


# The phases of the source ---------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_phases_of_the_source(lister: User, client_of_lists: Api, other: Api) -> None:
    """Select, review, order, order review, download, history: as its table has them, with another user beside."""
    api, me = client_of_lists, lister.pk
    scans = [ready_file(lister, f"{n}.bin", bytes([n]) * 1000, folder="scans") for n in range(3)]
    single, text = ready_file(lister, "a.bin", b"a" * MIB), ready_file(lister, "b.bin", b"b", folder="texts")
    theirs = ready_file(other.user, "theirs.bin", folder="scans")
    root = api.told("POST", "/entity/children", {"parentId": None, "partMask": 3})
    assert [child["name"] for child in root["page"]] == ["scans", "texts", "a.bin"]
    started = api.told("PUT", f"/download/list/{me}/add/async/start", {"parentId": root["page"][0]["id"]})
    assert set(started) == {"jobId"}
    for path in (f"/async/get/{started['jobId']}", f"/download/list/{me}/add?jobId={started['jobId']}"):
        assert api.told("GET", path, status=202) == {
            "jobId": started["jobId"], "jobState": "PROCESSING", "progressCurrent": 0, "progressTotal": 0,
            "progressMessage": "0 of 0 files",
        }  # fmt: skip
        other.refused(404, "no_such_job", "GET", f"/async/get/{started['jobId']}")
    work(ListJob.objects.get())
    for path in (f"/async/get/{started['jobId']}", f"/download/list/{me}/add?jobId={started['jobId']}"):
        assert ids(api.told("GET", path)) == [file.pk for file in scans]
    for file in (single, text):
        told = api.told("POST", f"/download/list/{me}/add", association(file))
    assert ids(told) == [file.pk for file in (*scans, single, text)]
    api.refused(404, "no_such_file", "POST", f"/download/list/{me}/add", association(theirs))
    told = api.told("POST", f"/download/list/{me}/remove", [association(scans[0])])
    assert ids(told) == ids(api.listed()) == [file.pk for file in (*scans[1:], single, text)]

    order = api.told(
        "PUT", f"/download/list/{me}/order", {"zipFileName": "mine", "subSet": [association(f) for f in scans[1:]]}
    )
    assert set(order) == {"orderId", "files", "createdOn", "createdBy", "zipFileName", "totalSizeMB"}
    assert order["files"] == [association(f) for f in scans[1:]]
    assert (order["createdBy"], order["zipFileName"], order["totalSizeMB"]) == (str(me), "mine.zip", 1)
    assert datetime.fromisoformat(order["createdOn"]).tzinfo is not None
    assert ids(api.listed()) == [single.pk, text.pk]
    assert api.told("GET", f"/download/order/{order['orderId']}") == order
    job = api.told("POST", f"/download/order/{order['orderId']}/async/start")["jobId"]
    path = f"/download/order/{order['orderId']}/async/get/{job}"
    assert api.told("POST", path, status=202)["jobState"] == "PROCESSING"
    work(ListJob.objects.get(kind=ListJobKind.ZIP))
    result = api.told("POST", path)
    assert result == api.told("GET", path) == api.told("GET", f"/async/get/{job}")
    assert set(result) == {"resultZipFileHandleId", "userId", "fileSummary"}
    assert result["userId"] == str(me)
    assert result["fileSummary"] == [
        {**association(file), "zipEntryName": f"scans/{file.name}", "status": "SUCCESS"} for file in scans[1:]
    ]
    stored = StoredFile.objects.get(pk=result["resultZipFileHandleId"])
    assert (stored.owner, stored.name, stored.content_type) == (lister, "mine.zip", "application/zip")
    history = api.told("GET", f"/download/order/{me}/history")
    assert history == {
        "page": [
            {
                "orderId": order["orderId"], "createdOn": order["createdOn"], "zipFileName": "mine.zip",
                "numberOfFiles": 2, "totalSizeMB": 1,
            }
        ]
    }  # fmt: skip
    assert api.ask("DELETE", f"/download/list/{me}").status_code == 204
    assert ids(api.listed()) == []
    assert other.listed()["files"] == []
    assert other.told("GET", "/download/order/me/history") == {"page": []}


# Browse ---------------------------------------------------------------------------------------------------------------


def browse(api: Api, **asked: Any) -> dict[str, Any]:
    found: dict[str, Any] = api.told("POST", "/entity/children", asked)
    return found


def all_pages(api: Api, **asked: Any) -> list[dict[str, Any]]:
    """All children, page by page; each page but the last is full."""
    children, token = [], None
    while True:
        page = browse(api, **asked, **({"nextPageToken": token} if token else {}))
        children += page["page"]
        token = page.get("nextPageToken")
        if token is None:
            return children
        assert len(page["page"]) == asked.get("pageSize", 50)


def test_the_root(lister: User, client_of_lists: Api, other: Api) -> None:
    a, _, b = new(lister, "a", folder="scans"), new(lister, "b", folder="scans"), new(lister, "root.bin", size=7)
    new(other.user, "c", folder="others")
    told = browse(client_of_lists)
    folder = Folder(lister.pk, "scans")
    for child, file in zip(told["page"], (a, b), strict=True):
        assert datetime.fromisoformat(child.pop("createdOn")) == file.created_at
    assert told == {
        "page": [
            {"id": folder.id, "name": "scans", "type": "folder"},
            {"id": str(b.pk), "name": "root.bin", "type": "file", "fileHandleId": str(b.pk), "size": 7},
        ]
    }
    assert [each["name"] for each in browse(client_of_lists, parentId=folder.id)["page"]] == ["a", "b"]
    assert [each["name"] for each in browse(other)["page"]] == ["others"]


@pytest.mark.parametrize(
    ("mask", "totals"),
    [(0, {}), (1, {"count": 3}), (2, {"totalFileSizeMB": 2}), (3, {"count": 3, "totalFileSizeMB": 2}), (None, {})],
)
def test_totals_are_the_whole_folders(
    mask: int | None, totals: dict[str, int], lister: User, client_of_lists: Api
) -> None:
    for name, size in (("a", MIB), ("b", 1), ("c", 0)):
        new(lister, name, folder="scans", size=size)
        new(lister, name, folder="scans/deeper", size=9 * MIB)
    told = browse(client_of_lists, parentId=Folder(lister.pk, "scans").id, partMask=mask, pageSize=1)
    assert [each["name"] for each in told.pop("page")] == ["a"]
    assert told.pop("nextPageToken")
    assert told == totals


def test_totals_of_the_root_are_of_its_own_files(lister: User, client_of_lists: Api) -> None:
    new(lister, "a", folder="scans")
    assert browse(client_of_lists, partMask=3)["count"] == 0
    assert browse(client_of_lists, partMask=3)["totalFileSizeMB"] == 0


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 1000])
def test_pages_come_to_the_whole(size: int, lister: User, client_of_lists: Api) -> None:
    for name in ("b", "a", "ä", "A"):
        new(lister, "x", folder=name)
        new(lister, name)
        new(lister, "same")
    found = all_pages(client_of_lists, pageSize=size)
    assert [each["type"] for each in found] == ["folder"] * 4 + ["file"] * 8
    assert len({each["id"] for each in found}) == 12
    assert found == all_pages(client_of_lists)


def test_pages_behind_the_longest_and_strangest_names(lister: User, client_of_lists: Api) -> None:
    names = ["\U0001f600" * 255, "ä" * 255, '"' * 255, "\x01" * 255, "\\" * 255, "\u202e.exe", "</script>", " "]
    for name in names:
        new(lister, "x", folder=name)
        new(lister, name)
    found = all_pages(client_of_lists, pageSize=1)
    assert sorted(each["name"] for each in found) == sorted(names * 2)
    for folder in found[: len(names)]:
        assert [each["name"] for each in browse(client_of_lists, parentId=folder["id"])["page"]] == ["x"]


def test_deleted_files_are_in_no_folder(lister: User, client_of_lists: Api) -> None:
    new(lister, "a", folder="scans", deleted_at=datetime.now(UTC))
    assert browse(client_of_lists) == {"page": []}
    client_of_lists.refused(
        404, "no_such_folder", "POST", "/entity/children", {"parentId": Folder(lister.pk, "scans").id}
    )


def test_staff_see_everybodys_folders(lister: User, client_of_lists: Api, other: Api, staff: Api) -> None:
    for owner in (lister, other.user):
        new(owner, f"of {owner.username}", folder="scans")
    found = browse(staff)["page"]
    assert [each["id"] for each in found] == [Folder(owner.pk, "scans").id for owner in (lister, other.user)]
    assert [browse(staff, parentId=each["id"])["page"][0]["name"] for each in found] == ["of lister", "of other"]
    for path, body in (("/entity/children", {}), ("/download/list/me/add/async/start", {})):
        client_of_lists.refused(404, "no_such_folder", "POST", path, {**body, "parentId": found[1]["id"]})


@pytest.mark.parametrize(
    "parent_id",
    [
        "x",
        "folder-7-",
        "folder-0-c2NhbnM",
        "folder-" + "9" * 18 + "-c2NhbnM",
        "folder-1-" + "A" * 1400,
        "../..",
        "null",
    ],
)
@pytest.mark.parametrize("path", ["/entity/children", "/download/list/me/add/async/start"])
def test_an_id_that_is_no_folders(path: str, parent_id: str, client_of_lists: Api) -> None:
    client_of_lists.refused(404, "no_such_folder", "POST", path, {"parentId": parent_id})
    assert not ListJob.objects.exists()


def token(value: object) -> str:
    return plain_text(json.dumps(value).encode())


TOKENS = {
    "no-token": "x",
    "not-base64": "!!!!",
    "nothing": token(None),
    "a-number": token(1),
    "an-object": token({"a": 1, "b": 2, "c": 3}),
    "too-short": token(["file", "a"]),
    "another-kind": token(["link", "a", 1]),
    "a-kind-that-is-none": token([[], "a", 1]),
    "no-name": token(["file", 1, 1]),
    "a-nul": token(["file", "\0", 1]),
    "half-a-character": token(["file", "\ud800", 1]),
    "no-number": token(["file", "a", "1"]),
    "a-truth": token(["file", "a", True]),
    "a-fraction": token(["file", "a", 1.5]),
    "deep": plain_text(b"[" * 1500),
    "not-utf-8": plain_text(b"\xff\xfe["),
    "too-long": "A" * 3001,
    "with-a-control-character": "\x01",
}


@pytest.mark.parametrize("told", TOKENS.values(), ids=TOKENS)
def test_a_token_that_no_page_ended_with(told: str, lister: User, client_of_lists: Api) -> None:
    new(lister, "a")
    refused = client_of_lists.refused(400, "invalid_input", "POST", "/entity/children", {"nextPageToken": told})
    assert set(refused["errors"]) == {"nextPageToken"}


@pytest.mark.parametrize("number", [-(10**30), -1, 0, 2**63 - 1, 2**63, 10**30])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_token_with_a_number_of_any_size(kind: str, number: int, lister: User, client_of_lists: Api) -> None:
    new(lister, "b")
    new(lister, "x", folder="b")
    assert {each["name"] for each in browse(client_of_lists, nextPageToken=token([kind, "b", number]))["page"]} <= {"b"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("parentId", 7),
        ("parentId", []),
        ("parentId", ""),
        ("parentId", "a\0"),
        ("parentId", "x" * 1501),
        ("partMask", -1),
        ("partMask", 4),
        ("partMask", "x"),
        ("pageSize", 0),
        ("pageSize", 1001),
        ("pageSize", None),
        ("nextPageToken", 5),
        ("surprise", 1),
    ],
)
def test_browsing_refuses_by_name(field: str, value: object, client_of_lists: Api) -> None:
    refused = client_of_lists.refused(400, "invalid_input", "POST", "/entity/children", {field: value})
    assert set(refused["errors"]) == {field}


def test_browsing_costs_the_same_for_any_number_of_files(lister: User, client_of_lists: Api) -> None:
    rows(lister, 300, folder="scans")
    parent = Folder(lister.pk, "scans").id
    with CaptureQueriesContext(connection) as few:
        browse(client_of_lists, parentId=parent, partMask=3, pageSize=1)
    with CaptureQueriesContext(connection) as many:
        browse(client_of_lists, parentId=parent, partMask=3, pageSize=300)
    assert len(few) == len(many) <= 8


# The list -------------------------------------------------------------------------------------------------------------


def test_an_empty_list(lister: User, client_of_lists: Api) -> None:
    told = client_of_lists.listed()
    assert told == {
        "userId": str(lister.pk), "files": [], "numberOfFiles": 0, "totalSizeMB": 0,
        "updatedOn": told["updatedOn"], "etag": told["etag"],
    }  # fmt: skip
    assert datetime.fromisoformat(told["updatedOn"]).tzinfo is not None
    assert not DownloadList.objects.exists(), "looking makes nothing"


def test_adding_and_removing_are_idempotent(lister: User, client_of_lists: Api) -> None:
    api, (a, b) = client_of_lists, rows(lister, 2)
    empty = api.listed()
    first = api.told("POST", "/download/list/me/add", association(a))
    again = api.told("POST", "/download/list/me/add", association(a))
    assert first == again == api.listed()
    assert ids(first) == [a.pk]
    assert first["etag"] != empty["etag"]
    assert api.told("POST", "/download/list/me/remove", [association(b), association(987654)]) == first
    removed = api.told("POST", "/download/list/me/remove", [association(a)] * 3)
    assert ids(removed) == []
    assert len({empty["etag"], first["etag"], removed["etag"]}) == 3
    assert api.told("POST", "/download/list/me/remove", []) == removed
    for _ in range(2):
        assert api.ask("DELETE", "/download/list/me").status_code == 204
    assert api.listed() == removed


@pytest.mark.parametrize(
    "body",
    [
        {"fileHandleId": 1},
        {"fileHandleId": "1"},
        {"fileHandleId": "1", "associateObjectId": 1},
        {"fileHandleId": 1, "associateObjectType": "FileEntity"},
    ],
)
def test_ids_may_be_numbers_and_the_entity_left_out(
    body: dict[str, object], lister: User, client_of_lists: Api
) -> None:
    file = rows(lister, 1)[0]
    body = {name: type(value)(file.pk) if value in (1, "1") else value for name, value in body.items()}
    assert ids(client_of_lists.told("POST", "/download/list/me/add", body)) == [file.pk]


BODIES: dict[str, tuple[object, set[str]]] = {
    "nothing": ({}, {"fileHandleId"}),
    "no-number": ({"fileHandleId": "x"}, {"fileHandleId"}),
    "negative": ({"fileHandleId": -1}, {"fileHandleId"}),
    "a-fraction": ({"fileHandleId": 1.0}, {"fileHandleId"}),
    "a-truth": ({"fileHandleId": True}, {"fileHandleId"}),
    "nothing-at-all": ({"fileHandleId": None}, {"fileHandleId"}),
    "a-list": ({"fileHandleId": [1]}, {"fileHandleId"}),
    "twenty-digits": ({"fileHandleId": "1" * 20}, {"fileHandleId"}),
    "foreign-digits": ({"fileHandleId": "\u0661"}, {"fileHandleId"}),
    "another-entity": ({"fileHandleId": 1, "associateObjectId": 2}, {"associateObjectId"}),
    "another-type": ({"fileHandleId": 1, "associateObjectType": "TableEntity"}, {"associateObjectType"}),
}


@pytest.mark.parametrize(("body", "fields"), BODIES.values(), ids=BODIES)
def test_what_is_no_file_is_refused_by_name(body: object, fields: set[str], client_of_lists: Api) -> None:
    refused = client_of_lists.refused(400, "invalid_input", "POST", "/download/list/me/add", body)
    assert set(refused["errors"]) == fields
    assert not DownloadList.objects.exists(), "nothing was changed"
    client_of_lists.refused(400, "invalid_input", "POST", "/download/list/me/remove", [association(1), body])
    client_of_lists.refused(
        400, "invalid_input", "PUT", "/download/list/me/order", {"zipFileName": "z", "subSet": [body]}
    )


@pytest.mark.parametrize("body", [[], "x", 1, None, {"list": []}])
def test_a_body_of_the_wrong_form(body: object, client_of_lists: Api) -> None:
    wrong = body if body != [] else {"0": association(1)}
    client_of_lists.refused(400, "invalid_input", "POST", "/download/list/me/remove", wrong)
    if not isinstance(body, dict):
        client_of_lists.refused(400, "invalid_input", "POST", "/download/list/me/add", body)


@pytest.mark.parametrize("pk", [0, 987654, 2**63 - 1, 2**63, 10**19 - 1])
def test_a_file_that_is_not_there(pk: int, client_of_lists: Api) -> None:
    client_of_lists.refused(404, "no_such_file", "POST", "/download/list/me/add", association(pk))
    assert not DownloadList.objects.exists()


def test_a_deleted_file_cannot_be_added_but_stays_on_the_list(lister: User, client_of_lists: Api) -> None:
    file, gone = rows(lister, 2)
    client_of_lists.told("POST", "/download/list/me/add", association(file))
    StoredFile.objects.update(deleted_at=datetime.now(UTC))
    client_of_lists.refused(404, "no_such_file", "POST", "/download/list/me/add", association(gone))
    assert client_of_lists.listed()["numberOfFiles"] == 1


def test_a_list_that_has_not_changed_is_not_sent_again(lister: User, client_of_lists: Api) -> None:
    api, file = client_of_lists, rows(lister, 1)[0]
    for _ in range(2):  # an empty one, then one with a file
        response = api.ask("GET", "/download/list/me")
        assert response["ETag"] == f'"{response.json()["etag"]}"'
        again = api.ask("GET", "/download/list/me", If_None_Match=response["ETag"])
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", response["ETag"])
        api.told("POST", "/download/list/me/add", association(file))
        assert api.ask("GET", "/download/list/me", If_None_Match=response["ETag"]).status_code in (200, 304)
    changed = api.ask("GET", "/download/list/me", If_None_Match='"another"')
    assert (changed.status_code, changed["ETag"]) == (200, response["ETag"])
    api.ask("DELETE", "/download/list/me")
    assert api.ask("GET", "/download/list/me", If_None_Match=response["ETag"]).status_code == 200


@pytest.mark.parametrize("size", [1, 3, 7, 10])
def test_a_list_in_pages(size: int, lister: User, client_of_lists: Api) -> None:
    api, files = client_of_lists, rows(lister, 7, folder="scans")
    for file in reversed(files):
        api.told("POST", "/download/list/me/add", association(file))
    found: list[str] = []
    query = f"?pageSize={size}"
    while True:
        told = api.told("GET", "/download/list/me" + query)
        assert (told["numberOfFiles"], len(told["files"]) <= size) == (7, True)
        found += [each["fileHandleId"] for each in told["files"]]
        if "nextPageToken" not in told:
            break
        query = f"?pageSize={size}&nextPageToken={told['nextPageToken']}"
    assert found == [str(file.pk) for file in reversed(files)]


@pytest.mark.parametrize(
    "query",
    ["?nextPageToken=1", "?pageSize=2&nextPageToken=x", "?pageSize=0",
     "?pageSize=10001", "?pageSize=x", "?pageSize=2&nextPageToken=" + "1" * 65],
)  # fmt: skip
def test_a_page_that_is_none(query: str, client_of_lists: Api) -> None:
    client_of_lists.refused(400, "invalid_input", "GET", "/download/list/me" + query)


def test_a_body_that_is_too_large(client_of_lists: Api) -> None:
    body = [{**association(1), "x": "x" * 2**20}] * 33
    client_of_lists.refused(413, "too_large", "POST", "/download/list/me/remove", body)


# Whose ----------------------------------------------------------------------------------------------------------------


CALLS: dict[str, tuple[str, str, object]] = {
    "look": ("GET", "", None),
    "clear": ("DELETE", "", None),
    "add": ("POST", "/add", association(1)),
    "add-result": ("GET", f"/add?jobId={NOBODYS}", None),
    "start-adding": ("POST", "/add/async/start", {"parentId": None}),
    "remove": ("POST", "/remove", [association(1)]),
    "order": ("PUT", "/order", {"zipFileName": "z"}),
}


@pytest.mark.parametrize(("method", "path", "body"), CALLS.values(), ids=CALLS)
def test_anothers_list(method: str, path: str, body: object, client_of_lists: Api, other: Api) -> None:
    theirs = [other.user.pk, 987654, "0", "-1", "you", "\u0661", "9" * 40, f"0{client_of_lists.user.pk}"]
    for userid in theirs:
        client_of_lists.refused(404, "no_such_list", method, f"/download/list/{userid}{path}", body)
    assert not DownloadList.objects.exists()


def test_nobody_has_no_list(client_of_lists: Api) -> None:
    client_of_lists.client.defaults.clear()
    client_of_lists.client = type(client_of_lists.client)()
    for method, path, body in CALLS.values():
        assert client_of_lists.ask(method, f"/download/list/me{path}", body).status_code == 401


def test_staff_may_use_anothers_list_as_theirs(lister: User, other: Api, staff: Api) -> None:
    mine, theirs = rows(lister, 2), rows(other.user, 1)
    path = f"/download/list/{lister.pk}"
    assert ids(staff.told("POST", f"{path}/add", association(mine[0]))) == [mine[0].pk]
    staff.refused(404, "no_such_file", "POST", f"{path}/add", association(theirs[0]))
    job = staff.told("POST", f"{path}/add/async/start", {"query": {}})["jobId"]
    work(ListJob.objects.get(pk=job))
    assert ids(staff.told("GET", f"{path}/add?jobId={job}")) == [file.pk for file in mine]
    assert ids(staff.told("GET", f"/async/get/{job}")) == [file.pk for file in mine], "the user's list, not theirs"
    order = staff.told("PUT", f"{path}/order", {"zipFileName": "z"})
    assert order["createdBy"] == str(lister.pk)
    assert staff.told("GET", f"/download/order/{lister.pk}/history")["page"][0]["orderId"] == order["orderId"]
    assert staff.listed()["files"] == []


# Adding many ----------------------------------------------------------------------------------------------------------

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
QUERIES: dict[str, tuple[dict[str, object], list[str]]] = {
    "everything": ({}, ["Film.MOV", "pic.png", "big.jpg", "ФИЛЬМ.mov", "100%_(a).txt"]),
    "text": ({"text": "mov"}, ["Film.MOV", "ФИЛЬМ.mov"]),
    "text-in-another-case-and-script": ({"text": "фильм"}, ["ФИЛЬМ.mov"]),
    "text-that-would-be-a-pattern": ({"text": ".*"}, []),
    "text-that-would-be-another-pattern": ({"text": "%_("}, ["100%_(a).txt"]),
    "type": ({"contentType": "image/PNG"}, ["pic.png"]),
    "type-with-parameters-is-another": ({"contentType": "text/plain"}, ["100%_(a).txt"]),
    "types": ({"contentType": "Image/*"}, ["pic.png", "big.jpg"]),
    "types-are-no-pattern": ({"contentType": "imag_/*"}, []),
    "folder": ({"folder": "pictures"}, ["pic.png", "big.jpg"]),
    "folder-exactly": ({"folder": "Pictures"}, []),
    "no-folder": ({"folder": ""}, ["Film.MOV", "ФИЛЬМ.mov", "100%_(a).txt"]),
    "after": ({"createdAfter": NOW.isoformat()}, ["ФИЛЬМ.mov", "100%_(a).txt"]),
    "before": ({"createdBefore": NOW.isoformat()}, ["Film.MOV", "pic.png"]),
    "before-in-another-zone": ({"createdBefore": "2026-06-01T14:00:00+02:00"}, ["Film.MOV", "pic.png"]),
    "between": (
        {"createdAfter": "2026-05-31T12:00:00Z", "createdBefore": "2026-06-02T12:00:00Z"},
        ["big.jpg"],
    ),
    "least": ({"minSize": 30}, ["big.jpg", "ФИЛЬМ.mov", "100%_(a).txt"]),
    "most": ({"maxSize": 20}, ["Film.MOV", "pic.png"]),
    "none": ({"minSize": 31, "maxSize": 30}, []),
    "largest": ({"minSize": 2**63 - 1}, []),
    "up-to-the-largest": ({"maxSize": 2**63 - 1, "text": "pic"}, ["pic.png"]),
    "all-of-it": ({"text": "P", "contentType": "image/*", "folder": "pictures", "maxSize": 25}, ["pic.png"]),
}


@pytest.fixture
def varied(lister: User, other: Api) -> None:
    kinds = [
        ("Film.MOV", "video/quicktime", ""), ("pic.png", "image/png", "pictures"),
        ("big.jpg", "image/jpeg", "pictures"), ("ФИЛЬМ.mov", "video/quicktime", ""), ("100%_(a).txt", "text/plain", ""),
    ]  # fmt: skip
    for number, (name, content_type, folder) in enumerate(kinds):
        file = new(lister, name, content_type=content_type, folder=folder, size=10 * (number + 1))
        StoredFile.objects.filter(pk=file.pk).update(created_at=NOW + timedelta(days=number - 2))
    new(other.user, "Film.MOV", content_type="image/png", folder="pictures")
    new(lister, "gone.png", content_type="image/png", folder="pictures", deleted_at=NOW)


@pytest.mark.usefixtures("varied")
@pytest.mark.parametrize(("query", "names"), QUERIES.values(), ids=QUERIES)
def test_each_key_of_a_query(query: dict[str, object], names: list[str], client_of_lists: Api) -> None:
    job = client_of_lists.told("POST", "/download/list/me/add/async/start", {"query": query})["jobId"]
    done = work(ListJob.objects.get(pk=job))
    assert done.state == ListJobState.COMPLETED, done.error
    assert (done.files_done, done.files_total) == (len(names), len(names))
    found = ids(client_of_lists.told("GET", f"/async/get/{job}"))
    assert [StoredFile.objects.get(pk=pk).name for pk in found] == names


ADD_REQUESTS: dict[str, tuple[object, set[str]]] = {
    "neither": ({}, {"parentId"}),
    "no-query": ({"query": None}, {"parentId"}),
    "both": ({"parentId": "folder-1-c2NhbnM", "query": {}}, {"query"}),
    "unknown": ({"parentId": None, "recursive": True}, {"recursive"}),
    "unknown-key": ({"query": {"name": "x"}}, {"query.name"}),
    "unknown-key-among-others": ({"query": {"text": "x", "Text": "x"}}, {"query.Text"}),
    "a-query-that-is-none": ({"query": "select *"}, {"query.non_field_errors"}),
    "no-text": ({"query": {"text": ""}}, {"query.text"}),
    "long-text": ({"query": {"text": "x" * 256}}, {"query.text"}),
    "text-with-a-nul": ({"query": {"text": "a\0"}}, {"query.text"}),
    "no-type": ({"query": {"contentType": "*/*"}}, {"query.contentType"}),
    "type-among-words": ({"query": {"contentType": "not a type image/png !!"}}, {"query.contentType"}),
    "type-and-more": ({"query": {"contentType": "image/*x"}}, {"query.contentType"}),
    "type-with-a-pattern": ({"query": {"contentType": "image/%"}}, {"query.contentType"}),
    "no-date": ({"query": {"createdAfter": "yesterday"}}, {"query.createdAfter"}),
    "a-date-before-all-dates": ({"query": {"createdAfter": "0001-01-01T00:00:00+14:00"}}, {"query.createdAfter"}),
    "a-negative-size": ({"query": {"minSize": -1}}, {"query.minSize"}),
    "a-size-beyond": ({"query": {"maxSize": 2**63}}, {"query.maxSize"}),
    "no-size": ({"query": {"maxSize": "big"}}, {"query.maxSize"}),
}


@pytest.mark.parametrize(("body", "fields"), ADD_REQUESTS.values(), ids=ADD_REQUESTS)
def test_what_cannot_be_added_is_refused_by_name(body: object, fields: set[str], client_of_lists: Api) -> None:
    refused = client_of_lists.refused(400, "invalid_input", "POST", "/download/list/me/add/async/start", body)
    assert set(refused["errors"]) == fields
    assert not ListJob.objects.exists()


def test_a_folder_is_added_without_its_sub_folders_and_only_once(lister: User, client_of_lists: Api) -> None:
    inner = rows(lister, 3, folder="scans")
    rows(lister, 2, folder="scans/deeper")
    root = rows(lister, 2)
    for parent, expected in ((Folder(lister.pk, "scans").id, inner), (None, inner + root), (None, inner + root)):
        job = client_of_lists.told("POST", "/download/list/me/add/async/start", {"parentId": parent})["jobId"]
        work(ListJob.objects.get(pk=job))
        assert ids(client_of_lists.told("GET", f"/async/get/{job}")) == [file.pk for file in expected]
    assert ListJob.objects.get(pk=job).files_done == 0


def test_a_folder_that_has_gone_when_its_turn_comes(lister: User, client_of_lists: Api) -> None:
    rows(lister, 1, folder="scans")
    folder = Folder(lister.pk, "scans").id
    job = client_of_lists.told("POST", "/download/list/me/add/async/start", {"parentId": folder})["jobId"]
    StoredFile.objects.all().delete()
    work(ListJob.objects.get(pk=job))
    assert ids(client_of_lists.told("GET", f"/async/get/{job}")) == []


def test_a_job_that_failed(lister: User, client_of_lists: Api) -> None:
    job = ListJob.objects.create(user=lister, kind=ListJobKind.ADD, request={"parentId": "nonsense"})
    work(job)
    assert client_of_lists.told("GET", f"/async/get/{job.pk}") == {
        "jobId": str(job.pk), "jobState": "FAILED", "errorMessage": "There is no such folder.",
        "errorDetails": "no_such_folder",
    }  # fmt: skip


def test_a_job_that_is_stopped_before_its_turn(lister: User, client_of_lists: Api, other: Api) -> None:
    rows(lister, 3)
    job = client_of_lists.told("POST", "/download/list/me/add/async/start", {"parentId": None})["jobId"]
    other.refused(404, "no_such_job", "POST", f"/async/stop/{job}")
    stopped = {
        "jobId": job, "jobState": "FAILED", "errorMessage": "The job was stopped.", "errorDetails": "stopped",
    }  # fmt: skip
    assert client_of_lists.told("POST", f"/async/stop/{job}") == stopped
    client_of_lists.refused(409, "job_ended", "POST", f"/async/stop/{job}")
    assert work(ListJob.objects.get()).state == ListJobState.STOPPED
    assert client_of_lists.told("GET", f"/async/get/{job}") == stopped
    assert client_of_lists.listed()["files"] == []


@pytest.mark.parametrize("job_id", ["x", "0", NOBODYS, "%00", "..", NOBODYS + "x"])
def test_a_job_that_is_none(job_id: str, client_of_lists: Api) -> None:
    client_of_lists.refused(404, "no_such_job", "GET", f"/async/get/{job_id}")
    client_of_lists.refused(404, "no_such_job", "POST", f"/async/stop/{job_id}")
    client_of_lists.refused(404, "no_such_job", "GET", f"/download/list/me/add?jobId={job_id}")


def test_the_result_of_adding_needs_a_job(client_of_lists: Api) -> None:
    refused = client_of_lists.refused(400, "invalid_input", "GET", "/download/list/me/add")
    assert refused["errors"] == {"jobId": ["is missing"]}


# A hundred thousand ---------------------------------------------------------------------------------------------------

MANY = 100_000


def test_adding_a_hundred_thousand_files(lister: User, client_of_lists: Api) -> None:
    """One statement puts them there, whatever their number; and no page of them costs more than another."""
    api = client_of_lists
    rows(lister, MANY, folder="scans")
    few = [*rows(lister, 1, folder="first"), *rows(lister, 1, folder="few")]
    queries = {}
    for folder in ("first", "few", "scans"):  # the first time the list itself is made
        job = api.told("POST", "/download/list/me/add/async/start", {"parentId": Folder(lister.pk, folder).id})["jobId"]
        with CaptureQueriesContext(connection) as captured:
            work(ListJob.objects.get(pk=job))
        queries[folder] = len(captured)
    assert queries["scans"] == queries["few"] <= 30
    total = few[0].size + few[1].size + MANY * (MANY + 1) // 2
    row = DownloadList.objects.get()
    assert (row.files_count, row.total_bytes) == (MANY + 2, total)
    with CaptureQueriesContext(connection) as captured:
        told = api.listed()
    assert (len(told["files"]), told["numberOfFiles"], told["totalSizeMB"]) == (MANY + 2, MANY + 2, -(-total // MIB))
    assert len(captured) <= 8
    with CaptureQueriesContext(connection) as captured:
        page = api.told("GET", f"/download/list/me?pageSize=50&nextPageToken={ListItem.objects.order_by('-id')[25].pk}")
    assert (len(page["files"]), page["numberOfFiles"]) == (25, MANY + 2)
    assert len(captured) <= 8
    assert api.ask("DELETE", "/download/list/me").status_code == 204
    assert not ListItem.objects.exists()
