"""`/files/`: what is listed, told, and deleted, and for whom."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from knox.models import AuthToken

from tests.integration.transfers.files import new_file
from tests.integration.transfers.rows import in_seconds, new_download, new_user
from transfers.models import StoredFile

pytestmark = pytest.mark.django_db

PROBLEM = "application/problem+json"


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def api(ann: User) -> Client:
    """A client of ann's."""
    return client_of(ann)


def client_of(user: User) -> Client:
    _, token = AuthToken.objects.create(user)  # type: ignore[no-untyped-call]
    return Client(headers={"Authorization": f"Token {token}"})


def row(owner: User, name: str, **facts: Any) -> StoredFile:
    return StoredFile.objects.create(**{"owner": owner, "name": name, "path": f"/nowhere/{name}", "size": 1, **facts})


def listed(api: Client, query: str = "") -> list[str]:
    response = api.get(f"/files/{query}")
    assert response.status_code == 200, response.content
    return [each["name"] for each in response.json()["results"]]


def test_everything_that_is_told_of_a_file(api: Client, ann: User) -> None:
    stored = row(
        ann, "film.mov", size=9, content_type="video/quicktime", folder="other-doc",
        md5="m", sha256="s", crc32="c", verified=True,
    )  # fmt: skip
    for path in (f"/files/{stored.pk}", f"/files/{stored.pk}/"):
        told = api.get(path).json()
        created = datetime.fromisoformat(told.pop("createdOn"))
        assert (created, created.utcoffset() is not None) == (stored.created_at, True)
        assert told == {
            "id": stored.pk, "name": "film.mov", "size": 9, "contentType": "video/quicktime", "folder": "other-doc",
            "md5": "m", "sha256": "s", "crc32": "c", "verified": True,
            "url": f"http://testserver/files/{stored.pk}/content",
        }  # fmt: skip
    assert api.get("/files").json()["results"] == [{**told, "createdOn": api.get(path).json()["createdOn"]}]


def test_the_address_is_the_one_that_the_client_uses(api: Client, ann: User) -> None:
    stored = row(ann, "film.mov")
    told = api.get(f"/files/{stored.pk}", headers={"Host": "localhost:1234"}).json()
    assert told["url"] == f"http://localhost:1234/files/{stored.pk}/content"


def test_pages_have_the_newest_first(api: Client, ann: User) -> None:
    names = [row(ann, f"{number:02}").name for number in range(52)]
    first = api.get("/files/").json()
    assert (first["count"], first["previous"]) == (52, None)
    second = api.get(first["next"]).json()
    assert [each["name"] for page in (first, second) for each in page["results"]] == names[::-1]
    assert (len(first["results"]), second["next"]) == (50, None)
    assert len(listed(api, "?page_size=7")) == 7
    with CaptureQueriesContext(connection) as queries:
        api.get("/files/")
    assert len(queries) <= 3


@pytest.mark.parametrize("page", ["3", "0", "-1", "x", "9" * 5000, "1.5"])
def test_a_page_that_is_not_there(page: str, api: Client, ann: User) -> None:
    row(ann, "film.mov")
    response = api.get("/files/", {"page": page})
    assert (response.status_code, response["Content-Type"]) == (404, PROBLEM)


@pytest.mark.parametrize("size", ["0", "501", "x", "9" * 5000])
def test_a_page_size_that_cannot_be(size: str, api: Client, ann: User) -> None:
    row(ann, "film.mov")
    response = api.get("/files/", {"page_size": size})
    assert (response.status_code, response["Content-Type"]) == (400, PROBLEM)
    assert response.json()["errors"] == {"page_size": ["must be a number from 1 to 500"]}
    assert len(listed(api, "?page_size=500")) == 1


FILTERS = {
    "folder": ("?folder=studio", ["b.MOV", "a.mov"]),
    "folder-exactly": ("?folder=Studio", []),
    "no-folder": ("?folder=", ["100%_(a).txt"]),
    "text": ("?text=mov", ["ФИЛЬМ.mov", "b.MOV", "a.mov"]),
    "text-in-another-case": ("?text=A.M", ["a.mov"]),
    "text-in-another-case-and-script": ("?text=фильм", ["ФИЛЬМ.mov"]),
    "text-that-would-be-a-pattern": ("?text=.*", []),
    "text-that-would-be-another-pattern": ("?text=%25_(", ["100%_(a).txt"]),
    "text-that-would-be-no-pattern": ("?text=(", ["100%_(a).txt"]),
    "no-text": ("?text=", ["100%_(a).txt", "ФИЛЬМ.mov", "b.MOV", "a.mov"]),
    "both": ("?folder=studio&text=b", ["b.MOV"]),
}


@pytest.mark.parametrize(("query", "names"), FILTERS.values(), ids=FILTERS)
def test_filters(query: str, names: list[str], api: Client, ann: User) -> None:
    row(ann, "a.mov", folder="studio")
    row(ann, "b.MOV", folder="studio")
    row(ann, "ФИЛЬМ.mov", folder="студия")
    row(ann, "100%_(a).txt")
    assert listed(api, query) == names


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_finds_the_name_it_is_in(text: str, api: Client, ann: User) -> None:
    StoredFile.objects.all().delete()
    name = f"a{text[:200]}b"
    row(ann, name)
    response = api.get("/files/", {"text": text, "folder": ""})
    assert [each["name"] for each in response.json()["results"]] == ([name] if text == text[:200] else [])
    assert api.get("/files/", {"folder": text}).status_code == 200


def test_files_are_told_by_their_ids(api: Client, ann: User) -> None:
    first, second, third = (row(ann, name) for name in "abc")
    foreign = row(new_user("berta"), "d")
    assert listed(api, f"?id={first.pk},{third.pk},{foreign.pk},{2**63}") == ["c", "a"]
    assert listed(api, f"?id={second.pk}") == ["b"]
    assert listed(api, "?id=") == []


@pytest.mark.parametrize("ids", ["x", "1,", "-1", "1,,2", "9" * 20, ",".join(map(str, range(501)))])
def test_what_are_no_ids_is_refused(api: Client, ids: str) -> None:
    response = api.get("/files/", {"id": ids})
    assert response.status_code == 400
    assert response.json()["errors"] == {"id": ["must be up to 500 numbers, separated by commas"]}


@pytest.mark.parametrize("name", ["folder", "text"])
def test_null_characters_are_refused(name: str, api: Client) -> None:
    response = api.get("/files/", {name: "a\0b"})
    assert (response.status_code, response["Content-Type"], list(response.json()["errors"])) == (400, PROBLEM, [name])


IDS = ["0", "1", "9223372036854775807", "9223372036854775808", "9999999999999999999", "1" * 20, "1" * 2**20, "x", "-1"]


@pytest.mark.parametrize("pk", IDS, ids=[pk[:25] for pk in IDS])
def test_ids_that_nothing_has(pk: str, api: Client) -> None:
    for path in (f"/files/{pk}", f"/files/{pk}/", f"/files/{pk}/content"):
        for ask in (api.get, api.head, *([] if path.endswith("content") else [api.delete])):
            response = ask(path)
            assert (response.status_code, response["Content-Type"]) == (404, PROBLEM)


def test_what_is_not_yours_is_not_there(api: Client, ann: User, tmp_path: Path) -> None:
    theirs = new_file(new_user("bob"), tmp_path / "theirs")
    nobodys = theirs.pk + 1
    assert listed(api) == []
    for path in ("", "/content"):
        answers = [api.get(f"/files/{pk}{path}") for pk in (theirs.pk, nobodys)]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].content == answers[1].content
    assert api.delete(f"/files/{theirs.pk}").status_code == 404
    assert StoredFile.objects.kept().filter(pk=theirs.pk).exists()


def test_staff_see_everything(tmp_path: Path) -> None:
    theirs = new_file(new_user("bob"), tmp_path / "theirs")
    staff = client_of(new_user("root", is_staff=True))
    assert listed(staff) == ["theirs"]
    assert b"".join(staff.get(f"/files/{theirs.pk}/content").streaming_content) == b"bytes"
    assert staff.delete(f"/files/{theirs.pk}").status_code == 204


@pytest.mark.parametrize("path", ["/files/", "/files/1", "/files/1/content"])
def test_strangers_are_asked_who_they_are(path: str) -> None:
    response = Client().get(path)
    assert (response.status_code, response["WWW-Authenticate"]) == (401, 'Bearer realm="carryon"')


def test_a_page_of_another_site_deletes_nothing(ann: User) -> None:
    stored = row(ann, "film.mov")
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(ann)
    assert browser.delete(f"/files/{stored.pk}").status_code == 403
    assert StoredFile.objects.kept().exists()


def test_methods_that_there_are_not(api: Client, ann: User) -> None:
    stored = row(ann, "film.mov")
    assert api.post(f"/files/{stored.pk}/content").status_code == 405
    assert api.delete(f"/files/{stored.pk}/content").status_code == 405
    assert api.put(f"/files/{stored.pk}").status_code == 405


# Deleting -------------------------------------------------------------------------------------------------------------


def test_nobody_sees_a_deleted_file(api: Client, ann: User, tmp_path: Path) -> None:
    stored = new_file(ann, tmp_path / "file", lease_owner="a:1:b", lease_expires_at=in_seconds(60), lease_epoch=3)
    download = new_download(ann, state="completed", stored_file=stored, save_path=stored.path)
    response = api.delete(f"/files/{stored.pk}")
    assert (response.status_code, response.content) == (204, b"")
    assert listed(api) == []
    assert [api.get(f"/files/{stored.pk}{path}").status_code for path in ("", "/content")] == [404, 404]
    assert api.delete(f"/files/{stored.pk}").status_code == 404
    download.refresh_from_db()
    assert download.stored_file is None
    stored.refresh_from_db()
    assert stored.deleted_at is not None
    assert (stored.lease_owner, stored.lease_expires_at, stored.lease_epoch) == ("", None, 4)


def test_deleting_rings_for_a_worker_after_the_commit(
    api: Client, ann: User, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[object] = []
    monkeypatch.setattr("transfers.services.stored_file.ring", lambda _, pk: rung.append(pk))
    stored = row(ann, "film.mov")
    with django_capture_on_commit_callbacks() as callbacks:
        assert api.delete(f"/files/{stored.pk}").status_code == 204
    assert not rung
    for callback in callbacks:
        callback()
    assert rung == [stored.pk]


def test_the_description_has_all_of_it(api: Client) -> None:
    paths = api.get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"}).json()["paths"]
    described = {path: set(methods) for path, methods in paths.items() if path.startswith("/files")}
    assert described == {
        "/files/": {"get"},
        "/files/usage/": {"get"},
        "/files/{id}/": {"get", "delete"},
        "/files/{id}/content/": {"get"},
    }
