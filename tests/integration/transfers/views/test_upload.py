"""`/ehealth-base/multipart/upload` to the letter: what goes in, what comes out, and what is refused."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from knox.models import AuthToken
from pytest_django.fixtures import Settings

from tests.e2e.uploads import BOUNDARY, PATH, PROBLEM, Answer, File, Form, Uploads, md5, md5s, part_form
from tests.integration.transfers.rows import new_user, use
from transfers.models import StoredFile, Upload
from transfers.storage.local import UPLOADS

pytestmark = pytest.mark.django_db

PARTS = {1: b"a" * 100, 2: b"b" * 100, 3: b"c" * 7}
CONTENT = b"".join(PARTS.values())
NOBODYS = 2**62
MIB = 2**20


@dataclass
class Api(Uploads):
    """The same client, put in front of Django itself."""

    client: Client | None = None

    def ask(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, data: bytes = b"") -> Answer:
        """Send a request to the address, or below it; AssertionError for any failure but a problem of the client's."""
        assert self.client is not None
        told = {**self.headers, **(headers or {})}
        kind = told.pop("Content-Type", "application/octet-stream")
        reply = self.client.generic(method, PATH + path, data, content_type=kind, headers=told)
        answer = Answer(reply.status_code, reply.headers, reply.content)
        assert answer.status < 500, answer
        assert answer.status < 400 or answer.headers["Content-Type"] == PROBLEM
        return answer


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files come to rest; nothing is synced there, as nothing here is about power."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    folder = tmp_path.resolve() / "files"
    use(settings, files_root=folder)
    return folder


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def api(ann: User) -> Api:
    """A client of ann's."""
    return api_of(ann)


@pytest.fixture
def bobs() -> Api:
    """A client of bob's."""
    return api_of(new_user("bob"))


@pytest.fixture
def staffs() -> Api:
    """A client of somebody's who is staff."""
    return api_of(new_user("root", is_staff=True))


def api_of(user: User) -> Api:
    _, token = AuthToken.objects.create(user)  # type: ignore[no-untyped-call]
    return Api("http://testserver", token, client=Client())


def sent(api: Api, parts: Mapping[int, bytes] = PARTS, **fields: object) -> int:
    """A new upload of which these parts are stored."""
    upload = api.begin(**fields)  # type: ignore[arg-type]
    api.send(upload, parts)
    return upload


def file_of(root: Path) -> Path:
    """The one file that has come to rest; AssertionError when a finished upload has left anything beside it."""
    collecting = root / UPLOADS
    left = {int(path.name) for path in collecting.iterdir()}
    assert left == set(Upload.objects.unfinished().values_list("pk", flat=True))
    (found,) = [path for path in root.rglob("*") if path.is_file() and not path.is_relative_to(collecting)]
    return found


# The steps -----------------------------------------------------------------------------------------------------------


def test_an_upload_from_its_first_step_to_its_last(api: Api, ann: User, root: Path) -> None:
    begun = api.initiate("film.mov", "other-doc", mode=31, notes="of the heart")
    upload = begun.data["fileId"]
    assert begun.data == {"fileId": upload, "suggestedChunkSize": 20_971_520}
    assert isinstance(upload, int)
    assert api.resume(upload).data == {**begun.data, "parts": {}}
    for number, content in PARTS.items():
        answer = {"fileId": upload, "part": number, "md5string": md5(content)}
        assert api.part(upload, number, content).data == answer
    parts = {str(number): each for number, each in md5s(PARTS).items()}
    assert api.resume(upload).data == {**begun.data, "parts": parts}
    told = api.complete(upload, md5s(PARTS)).data
    stored = StoredFile.objects.get()
    assert told == {
        "fileId": upload,
        "id": stored.pk,
        "fileName": "film.mov",
        "size": len(CONTENT),
        "url": f"http://testserver/files/{stored.pk}/content",
        "parts": parts,
    }
    assert file_of(root).read_bytes() == CONTENT
    assert (stored.owner, stored.name, stored.folder, stored.size) == (ann, "film.mov", "other-doc", len(CONTENT))
    assert (stored.content_type, stored.verified) == ("video/quicktime", None)
    assert stored.untouched()
    row = Upload.objects.get()
    assert (row.mode, row.notes, row.state, row.stored_file) == (31, "of the heart", "completed", stored)


def test_everything_about_an_upload_on_its_way(api: Api) -> None:
    upload = sent(api, {2: PARTS[2]}, fileSize=207, md5=md5(CONTENT).upper(), mode=-7, notes="n")
    state = api.state(upload).data
    assert state.pop("createdOn") < state.pop("expiresOn")
    assert state == {
        "fileId": upload,
        "fileName": "film.mov",
        "contentType": "video/quicktime",
        "catalog": "other-doc",
        "mode": -7,
        "notes": "n",
        "size": 207,
        "md5": md5(CONTENT),
        "suggestedChunkSize": 20_971_520,
        "received": 100,
        "completed": False,
        "parts": {"2": md5(PARTS[2])},
    }


def test_everything_about_a_finished_one(api: Api) -> None:
    upload = sent(api)
    told = api.finished(upload, md5s(PARTS))
    state = api.state(upload).data
    assert state["completed"] is True
    assert state["expiresOn"] is None
    assert {name: state[name] for name in told} == told
    assert api.resume(upload).data == {
        **told,
        "suggestedChunkSize": 20_971_520,
        "completed": True,
    }


@pytest.mark.parametrize("size", [0, 1, 20_971_520, 5 * 2**40])
def test_the_suggested_size_is_frozen(api: Api, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=2**50, f_frsize=1))
    upload = api.initiate(fileSize=size).data
    assert upload["suggestedChunkSize"] * 10_000 >= size
    assert upload["suggestedChunkSize"] == max(20_971_520, -(-size // 10_000))
    assert api.resume(upload["fileId"]).data["suggestedChunkSize"] == upload["suggestedChunkSize"]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (3, 1, 1, 2, 3)], ids=str)
def test_parts_in_any_order_by_form_and_by_put(api: Api, root: Path, order: tuple[int, ...]) -> None:
    upload = api.begin()
    for turn, number in enumerate(order):
        send = (api.part, api.put)[turn % 2]
        assert send(upload, number, PARTS[number]).data["md5string"] == md5(PARTS[number])
    api.finished(upload, md5s(PARTS))
    assert file_of(root).read_bytes() == CONTENT


def test_a_part_sent_again_replaces_the_one_before(api: Api, root: Path) -> None:
    upload = sent(api, {1: b"first", 2: b"x" * 50})
    for content in (b"longer than the first", b"", PARTS[1]):
        api.part(upload, 1, content).data  # noqa: B018 - that it is one
        assert api.stored(upload)[1] == md5(content)
    api.put(upload, 2, PARTS[2])
    api.put(upload, 3, PARTS[3])
    api.finished(upload, md5s(PARTS))
    assert file_of(root).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [b"", b"x"])
def test_a_file_of_hardly_anything(api: Api, root: Path, content: bytes) -> None:
    assert api.upload(content, fileSize=len(content))["size"] == len(content)
    assert file_of(root).read_bytes() == content


def test_files_of_one_name_stand_beside_each_other(api: Api, bobs: Api, root: Path) -> None:
    for each in (api, api, bobs):
        assert each.upload(b"content of " + each.token.encode())["fileName"] == "film.mov"
    paths = [Path(stored.path) for stored in StoredFile.objects.order_by("id")]
    assert [path.name for path in paths] == ["film.mov", "film (1).mov", "film.mov"]
    assert paths[2].read_bytes() == b"content of " + bobs.token.encode()


def test_the_trailing_slash_is_optional(api: Api) -> None:
    upload = sent(api, {1: b"a"})
    for method, path, status in (
        ("POST", "", 400),
        ("GET", f"/{upload}", 200),
        ("PUT", f"/{upload}/parts/1", 200),
        ("POST", f"/{upload}/parts/1/url", 409),
        ("GET", "/99", 404),
    ):
        for form in (path, f"{path}/"):
            assert api.ask(method, form, headers={"Content-Type": Form([]).content_type}).status == status, form


# Whose uploads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([("catalog", "a"), ("file", b"content"), ("option", "initiate")], id="catalog ahead"),
        pytest.param([("file", b"content"), ("catalog", "a"), ("option", "initiate")], id="all behind"),
    ],
)
def test_the_option_may_follow_the_file(api: Api, root: Path, fields: list[tuple[str, object]]) -> None:
    form = [(name, File(value, "film.mov") if isinstance(value, bytes) else value) for name, value in fields]
    upload = api.post(Form(form)).data["fileId"]
    assert api.state(upload).data["fileName"] == "film.mov"
    assert api.stored(upload) == {}
    assert not any(path.stat().st_size for path in root.rglob("*") if path.is_file())


def test_a_part_has_no_catalog(api: Api) -> None:
    upload = api.begin()
    fields = [("catalog", "a"), ("file", File(b"content")), ("fileId", upload), ("part", 1)]
    assert list(api.post(Form(fields)).problem(400, "invalid_input")["errors"]) == ["option"]
    assert api.stored(upload) == {}


STEPS: dict[str, Callable[[Uploads, int], Answer]] = {
    "resume": lambda api, upload: api.resume(upload),
    "part": lambda api, upload: api.part(upload, 1, PARTS[1]),
    "part with its fields behind it": lambda api, upload: api.post(
        Form([("file", File(PARTS[1])), ("fileId", upload), ("part", 1)])
    ),
    "put": lambda api, upload: api.put(upload, 1, PARTS[1]),
    "complete": lambda api, upload: api.complete(upload, md5s({1: PARTS[1]})),
    "state": lambda api, upload: api.state(upload),
    "address": lambda api, upload: api.ask("POST", f"/{upload}/parts/1/url"),
    "abort": lambda api, upload: api.abort(upload),
    "delete": lambda api, upload: api.ask("DELETE", f"/{upload}"),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_what_is_not_yours_is_not_there(
    api: Api, bobs: Api, root: Path, step: Callable[[Uploads, int], Answer]
) -> None:
    upload = sent(api, {1: b"anns"})
    for unknown in (upload, upload + 1, NOBODYS, 9_999_999_999_999_999_999):
        step(bobs, unknown).problem(404, "no_such_upload")
    assert api.stored(upload) == {1: md5(b"anns")}
    api.finished(upload, md5s({1: b"anns"}))
    step(bobs, upload).problem(404, "no_such_upload")
    assert file_of(root).read_bytes() == b"anns"


def test_the_same_words_for_what_is_anothers_and_what_is_nobodys(api: Api, bobs: Api) -> None:
    upload = sent(api, {1: b"anns"})
    foreign, unknown = (bobs.state(number).content.decode() for number in (upload, upload + 1))
    assert foreign.replace(str(upload), "?") == unknown.replace(str(upload + 1), "?")


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_staff_may_do_everything(api: Api, staffs: Api, ann: User, step: Callable[[Uploads, int], Answer]) -> None:
    upload = sent(api, {1: PARTS[1]})
    assert step(staffs, upload).status in (200, 204, 409)
    assert step(staffs, upload).status != 403
    assert not StoredFile.objects.exclude(owner=ann).exists()


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_nobody_may_do_nothing(api: Api, step: Callable[[Uploads, int], Answer]) -> None:
    upload = sent(api, {1: b"anns"})
    nobody = Api("http://testserver", "", client=Client())
    answer = step(nobody, upload)
    answer.problem(401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="carryon"'
    nobody.initiate().problem(401, "not_authenticated")
    assert api.stored(upload) == {1: md5(b"anns")}


def test_a_session_needs_its_csrf_token(ann: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(ann)
    api = Api("http://testserver", "", client=browser)
    api.initiate().problem(403, "permission_denied")
    browser.get("/upload/")
    token = browser.cookies["csrftoken"].value
    api.initiate().problem(403, "permission_denied")
    by_field = api.post(
        Form([("csrfmiddlewaretoken", token), ("option", "initiate"), ("catalog", "a"), ("file", File(b""))])
    )
    by_header = Api("http://testserver", "", {"X-CSRFToken": token}, client=browser)
    upload = by_header.begin()
    assert upload == by_field.data["fileId"] + 1
    api.part(upload, 1, b"x").problem(403, "permission_denied")
    api.put(upload, 1, b"x").problem(403, "permission_denied")
    api.ask("DELETE", f"/{upload}").problem(403, "permission_denied")
    assert api.stored(upload) == {}
    by_header.finished(upload, by_header.send(upload, PARTS))


# Bad requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["initiat", "INITIATE", " ", "part", "0", "x" * 10_000])
def test_options_that_there_are_not(api: Api, option: str) -> None:
    problem = api.step(option, catalog="a", fileId=1).problem(400, "invalid_input")
    assert list(problem["errors"]) == ["option"]


@pytest.mark.parametrize(
    ("kind", "data", "status"),
    [
        pytest.param(Form([]).content_type, b"", 400, id="nothing at all"),
        pytest.param(Form([]).content_type, Form([]).encode(), 400, id="no fields"),
        pytest.param("multipart/form-data", Form([("option", "abort")]).encode(), 400, id="no boundary told"),
        pytest.param('multipart/form-data; boundary=""', b"--\r\n", 400, id="an empty boundary"),
        pytest.param("multipart/form-data; boundary=" + "x" * 9999, b"", 400, id="a long boundary"),
        pytest.param("multipart/mixed; boundary=a", b"--a--", 415, id="another multipart"),
        pytest.param("application/json", b'{"option":"initiate"}', 415, id="JSON"),
        pytest.param("application/x-www-form-urlencoded", b"option=initiate", 415, id="a form of another kind"),
        pytest.param("text/plain", b"x", 415, id="text"),
    ],
)
def test_bodies_that_are_no_form(api: Api, kind: str, data: bytes, status: int) -> None:
    assert api.ask("POST", "", headers={"Content-Type": kind}, data=data).status == status


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_methods_that_there_are_not(api: Api, method: str) -> None:
    assert api.ask(method, "").status == 405


BAD_NUMBERS = ["0", "-1", "10001", "one", "", "1.5", "None", "9" * MIB, "999999999"]


@pytest.mark.parametrize("number", BAD_NUMBERS, ids=lambda number: number[:9])
@pytest.mark.parametrize("behind", [False, True], ids=["file last", "file first"])
def test_parts_that_there_are_not(api: Api, root: Path, number: str, *, behind: bool) -> None:
    upload = api.begin()
    form = part_form(upload, number, b"bytes")
    if behind:
        form = Form([form.fields[-1], *form.fields[:-1]])
    answer = api.post(form)
    assert answer.status == 400
    if len(number) < MIB:
        assert list(answer.problem(400, "invalid_input")["errors"]) == ["part"]
    assert api.stored(upload) == {}
    assert not any(path.stat().st_size for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("number", ["0", "10001", "999999999"])
def test_parts_that_there_are_not_by_put(api: Api, number: str) -> None:
    upload = api.begin()
    assert list(api.put(upload, number, b"bytes").problem(400, "invalid_input")["errors"]) == ["part"]


@pytest.mark.parametrize("number", ["-1", "one", "1.5", "9" * 10, "9" * 10**4])
def test_paths_that_there_are_not(api: Api, number: str) -> None:
    upload = api.begin()
    api.put(upload, number, b"bytes").problem(404, "not_found")
    api.ask("GET", f"/{number if len(number) != 10 else '9' * 20}").problem(404, "not_found")


@pytest.mark.parametrize(
    ("missing", "errors"),
    [("fileId", ["fileId"]), ("part", ["part"]), ("file", ["file"])],
)
def test_a_part_of_which_something_is_missing(api: Api, missing: str, errors: list[str]) -> None:
    upload = api.begin()
    fields = [each for each in part_form(upload, 1, b"bytes").fields if each[0] != missing]
    assert list(api.post(Form(fields)).problem(400, "invalid_input")["errors"]) == errors
    assert api.stored(upload) == {}


@pytest.mark.parametrize("upload", ["0", "-1", "one", "1.5", "9" * MIB, "null"], ids=lambda upload: upload[:9])
@pytest.mark.parametrize("option", ["initiate", "complete", "abort", ""], ids=lambda option: option or "part")
def test_ids_that_there_are_not(api: Api, option: str, upload: str) -> None:
    fields = [("option", option), ("fileId", upload), ("part", 1), ("parts", "{}"), ("file", File(b"x"))]
    answer = api.post(Form(fields))
    assert answer.status == 400
    if len(upload) < MIB:
        assert list(answer.problem(400, "invalid_input")["errors"]) == ["fileId"]


# Names and catalogs --------------------------------------------------------------------------------------------------

NAMES = [
    "../../x",
    "..\\..\\x",
    "/etc/passwd",
    "C:\\fakepath\\film.mov",
    "\\\\server\\share\\film.mov",
    "a\u202egpj.exe",
    "\u2066\u200bfilm.mov",
    "日本語 🎬 Ünï.mov",
    "e\u0301.mov",
    "CON",
    "con.txt",
    "LPT1.pdf",
    "...",
    "..",
    ".",
    ". . .",
    ".htaccess",
    "film.mov.",
    "film.mov ",
    "film.part",
    "film.part.journal",
    "-rf",
    "a;b&c|d`e`$(f)",
    "%2e%2e%2fx",
    "%00",
    "a%22b%0D%0AX",
    "x" * 255,
    "🎬" * 63 + ".mov",
    "x" * 251 + ".mov",
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:20]))
def test_hostile_names_lead_nowhere_else(api: Api, ann: User, root: Path, name: str) -> None:
    told = api.upload(b"content", name)
    path = file_of(root)
    assert path.parent == root / str(ann.pk) / "other-doc"
    assert path.read_bytes() == b"content"
    assert len(path.name.encode()) <= 255
    assert path.name.strip(". ") == path.name.lstrip(".").strip() != ""
    shown = told["fileName"]
    assert not set(shown) & set("/\\\0\r\n\u202e\u2066\u200b")
    assert shown == StoredFile.objects.get().name


@pytest.mark.parametrize(
    "name",
    ["", "/", "\\", "\u202e", "x" * 256, "x" * 5_000, "🎬" * 5_000, "a\0b", "\0", "a/"],
    ids=lambda name: ascii(name[:9]),
)
@pytest.mark.parametrize("by", ["file", "fileName"])
def test_names_that_are_none(api: Api, root: Path, name: str, by: str) -> None:
    fields: list[tuple[str, object]] = [("option", "initiate"), ("catalog", "a")]
    fields.append(("file", File(b"", name)) if by == "file" else ("fileName", name))
    assert api.post(Form(fields)).status == 400
    assert not Upload.objects.exists()


def test_a_name_that_is_no_text(api: Api) -> None:
    form = Form([("option", "initiate"), ("catalog", "a"), ("file", File(b"", "?"))])
    headers = {"Content-Type": form.content_type}
    assert api.ask("POST", "", headers=headers, data=form.encode().replace(b"?", b"\xff")).status == 400


def test_a_name_is_needed_and_may_come_in_several_ways(api: Api) -> None:
    def begun(*fields: tuple[str, object]) -> Answer:
        return api.post(Form([("option", "initiate"), ("catalog", "a"), *fields]))

    for nameless in ([], [("file", File(b"", None))], [("file", File(b"", ""))], [("fileName", "")]):
        assert list(begun(*nameless).problem(400, "invalid_input")["errors"]) == ["file"]
    for named, name in (
        ([("fileName", "a.txt")], "a.txt"),
        ([("file", File(b"", "b.txt"))], "b.txt"),
        ([("fileName", "a.txt"), ("file", File(b"", "blob"))], "a.txt"),
        ([("file", File(b"", "blob")), ("fileName", "a.txt")], "a.txt"),
        ([("fileName", ""), ("file", File(b"", "b.txt"))], "b.txt"),
    ):
        assert api.state(begun(*named).data["fileId"]).data["fileName"] == name


@pytest.mark.parametrize(
    "catalog", ["病历", "other doc", "a.b", "x" * 100, "🎬" * 100, ".uploads", "CON", "-", "%2e%2e"]
)
def test_catalogs_are_folders(api: Api, ann: User, root: Path, catalog: str) -> None:
    api.upload(b"content", catalog=catalog)
    assert file_of(root).parent.parent == root / str(ann.pk)
    assert StoredFile.objects.get().folder == catalog


@pytest.mark.parametrize(
    "catalog", ["..", ".", "", " ", "a/b", "../x", "..\\x", "/", "a\0b", "a\r\nb", "\u202ea", "x" * 101], ids=ascii
)
def test_hostile_catalogs_are_refused(api: Api, root: Path, catalog: str) -> None:
    assert list(api.initiate(catalog=catalog).problem(400, "invalid_input")["errors"]) == ["catalog"]
    assert not root.exists()


# MD5s ----------------------------------------------------------------------------------------------------------------

WRONG = md5(b"something else")
CHECKED: dict[str, Callable[[Uploads, int, bytes, str], Answer]] = {
    "field": lambda api, upload, content, told: api.part(upload, 1, content, md5=told),
    "field behind the file": lambda api, upload, content, told: api.post(
        Form([*part_form(upload, 1, content).fields, ("md5", told)])
    ),
    "all fields behind the file": lambda api, upload, content, told: api.post(
        Form([("file", File(content)), ("md5", told), ("part", 1), ("fileId", upload)])
    ),
    "header": lambda api, upload, content, told: api.put(upload, 1, content, content_md5=told),
}


@pytest.mark.parametrize("send", CHECKED.values(), ids=CHECKED)
def test_a_part_of_another_md5_than_told_is_as_if_it_had_not_come(
    api: Api, root: Path, send: Callable[[Uploads, int, bytes, str], Answer]
) -> None:
    upload = api.begin()
    send(api, upload, b"content", WRONG).problem(422, "md5_mismatch")
    assert api.stored(upload) == {}
    assert send(api, upload, b"content", md5(b"content").upper()).data["md5string"] == md5(b"content")
    send(api, upload, b"newer content", WRONG).problem(422, "md5_mismatch")
    assert api.stored(upload) == {1: md5(b"content")}
    api.finished(upload, md5s({1: b"content"}))
    assert file_of(root).read_bytes() == b"content"


@pytest.mark.parametrize("header", ["x", "====", md5(b"a"), base64.b64encode(b"a" * 15).decode(), "é", "1B2M2Y8Asg"])
def test_headers_that_are_no_md5(api: Api, header: str) -> None:
    upload = api.begin()
    answer = api.ask("PUT", f"/{upload}/parts/1", headers={"Content-MD5": header}, data=b"a")
    assert list(answer.problem(400, "invalid_input")["errors"]) == ["Content-MD5"]
    assert api.stored(upload) == {}


@pytest.mark.parametrize("told", ["x", WRONG[:-1], "g" * 32])
def test_fields_that_are_no_md5(api: Api, told: str) -> None:
    upload = api.begin()
    assert list(api.part(upload, 1, b"a", md5=told).problem(400, "invalid_input")["errors"]) == ["md5"]
    assert list(api.initiate(md5=told).problem(400, "invalid_input")["errors"]) == ["md5"]


# The form itself -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", range(4), ids=lambda place: f"{place} before the file")
@pytest.mark.parametrize("size", [None, len(PARTS[1])], ids=["size not told", "size told"])
def test_the_fields_of_a_part_in_any_order(api: Api, root: Path, place: int, size: int | None) -> None:
    upload = api.begin(**({} if size is None else {"fileSize": size}))
    fields = [("fileId", upload), ("part", 1), ("md5", md5(PARTS[1]))]
    fields.insert(place, ("file", File(PARTS[1], "blob")))  # type: ignore[arg-type]
    assert api.post(Form(fields)).data == {"fileId": upload, "part": 1, "md5string": md5(PARTS[1])}
    api.finished(upload, md5s({1: PARTS[1]}))
    assert file_of(root).read_bytes() == PARTS[1]


@pytest.mark.parametrize(
    "form",
    [
        pytest.param({"end": b"--"}, id="without the last line break"),
        pytest.param({"preamble": b"This is a multi-part message.\r\n"}, id="with a preamble"),
        pytest.param({"end": b"--\r\nThe end.\r\n"}, id="with an epilogue"),
    ],
)
@pytest.mark.parametrize("content", [PARTS[1], b"x" * 2 * MIB], ids=len)
def test_forms_that_few_write(api: Api, root: Path, form: dict[str, Any], content: bytes) -> None:
    upload = api.begin(fileSize=len(content) * 2)
    for number in (1, 2):
        told = api.post(Form(part_form(upload, number, content).fields, **form)).data
        assert told["md5string"] == md5(content)
    api.finished(upload, md5s({1: content, 2: content}))
    assert file_of(root).read_bytes() == content * 2


@pytest.mark.parametrize("content", [PARTS[1], b"x" * 2 * MIB], ids=len)
@pytest.mark.parametrize(
    ("after", "end"),
    [
        pytest.param([("md5", None)], b"--\r\n", id="a field"),
        pytest.param([("md5", None), ("chunks", "1")], b"--\r\n", id="two fields"),
        pytest.param([], b"--\r\nThe end.\r\n", id="an epilogue"),
        pytest.param([], b"--", id="no line break"),
    ],
)
def test_what_follows_the_file_is_not_counted_as_the_file(
    api: Api, root: Path, content: bytes, after: list[tuple[str, Any]], end: bytes
) -> None:
    upload = api.begin(fileSize=len(content))
    told = [(name, value or md5(content)) for name, value in after]
    form = Form([*part_form(upload, 1, content).fields, *told], end=end)
    assert api.post(form).data["md5string"] == md5(content)
    api.finished(upload, md5s({1: content}))
    assert file_of(root).read_bytes() == content


def test_fields_of_a_name_that_nobody_knows_do_not_matter(api: Api) -> None:
    upload = api.begin(whatever="x", option2="y")
    assert api.part(upload, 1, b"a", chunk="1", chunks="3", name="blob").status == 200


def test_what_is_sent_at_the_beginning_is_dropped(api: Api, root: Path) -> None:
    fields = [("option", "initiate"), ("catalog", "a"), ("file", File(b"x" * 3 * MIB, "film.mov")), ("notes", "late")]
    upload = api.post(Form(fields)).data["fileId"]
    assert api.stored(upload) == {}
    assert api.state(upload).data["notes"] == "late"
    assert not any(path.stat().st_size for path in root.rglob("*") if path.is_file())


# Complete ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "at_odds"),
    [
        pytest.param({1: PARTS[1], 3: PARTS[3]}, {2: "is stored, but not listed"}, id="a gap in the list"),
        pytest.param({1: PARTS[1], 2: PARTS[2]}, {3: "is stored, but not listed"}, id="the last one left out"),
        pytest.param({**PARTS, 4: b"d"}, {4: "is missing"}, id="one that never came"),
        pytest.param({**PARTS, 6: b"d"}, {4: "is missing", 5: "is missing", 6: "is missing"}, id="with a gap"),
        pytest.param({**PARTS, 2: b"x"}, {2: "is stored with another MD5"}, id="another MD5"),
        pytest.param({}, dict.fromkeys(PARTS, "is stored, but not listed"), id="none"),
    ],
)
def test_other_parts_than_are_stored_are_named(
    api: Api, root: Path, listed: dict[int, bytes], at_odds: dict[int, str]
) -> None:
    upload = sent(api)
    problem = api.complete(upload, md5s(listed)).problem(409, "parts_differ")
    assert problem["errors"] == {f"parts.{number}": [what] for number, what in at_odds.items()}
    assert api.state(upload).data["completed"] is False
    api.part(upload, 1, b"changed").data  # noqa: B018 - it is open still
    api.finished(upload, md5s({**PARTS, 1: b"changed"}))
    assert file_of(root).read_bytes() == b"changed" + PARTS[2] + PARTS[3]


def test_gaps_in_what_is_stored(api: Api) -> None:
    upload = sent(api, {2: PARTS[2], 10_000: PARTS[3]})
    problem = api.complete(upload, md5s({2: PARTS[2], 10_000: PARTS[3]})).problem(409, "parts_differ")
    assert len(problem["errors"]) == 9998
    assert api.complete(api.begin(), {}).problem(409, "parts_differ")["errors"] == {"parts.1": ["is missing"]}


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(json.dumps, id="JSON.stringify"),
        pytest.param(str, id="the source's own form"),
        pytest.param(lambda parts: json.dumps({n: each.upper() for n, each in parts.items()}), id="uppercase"),
        pytest.param(lambda parts: json.dumps(dict(reversed(parts.items()))), id="in another order"),
    ],
)
def test_parts_as_they_are_written(api: Api, write: Callable[[dict[int, str]], str]) -> None:
    upload = sent(api)
    told = api.complete(upload, write(md5s(PARTS))).data
    assert told["parts"] == {str(number): each for number, each in md5s(PARTS).items()}
    assert list(told["parts"]) == ["1", "2", "3"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[object Object]",
        "{1: 'md51', 2: 'md52'}",
        json.dumps([md5(b"a")]),
        json.dumps({-1: md5(b"a")}),
        json.dumps({0: md5(b"a")}),
        json.dumps({10_001: md5(b"a")}),
        json.dumps({99_999: md5(b"a")}),
        f'{{"1":"{md5(b"a")}","1":"{md5(b"b")}"}}',
        "{" * 100_000,
        "\0",
        "{1:" * 100_000,
    ],
    ids=lambda text: text[:20],
)
def test_what_are_no_parts(api: Api, text: str) -> None:
    upload = sent(api)
    assert list(api.complete(upload, text).problem(400, "invalid_input")["errors"]) == ["parts"]
    assert api.stored(upload) == md5s(PARTS)


def test_an_answer_names_no_more_parts_than_there_may_be(api: Api) -> None:
    answer = api.complete(api.begin(), {10_000: md5(b"a")})
    assert len(answer.problem(409, "parts_differ")["errors"]) == 10_000
    assert len(answer.content) < 2 * MIB


def test_complete_may_be_repeated(api: Api, root: Path) -> None:
    upload = sent(api)
    first = api.complete(upload, md5s(PARTS))
    assert [api.complete(upload, md5s(PARTS)).data for _ in range(3)] == [first.data] * 3
    api.complete(upload, md5s({1: PARTS[1]})).problem(409, "parts_differ")
    api.complete(upload, {}).problem(409, "parts_differ")
    assert StoredFile.objects.count() == 1
    assert file_of(root).read_bytes() == CONTENT


def test_a_finished_upload_takes_nothing_more(api: Api, root: Path) -> None:
    upload = sent(api)
    told = api.finished(upload, md5s(PARTS))
    for step in ("part", "put", "abort", "delete", "address"):
        STEPS[step](api, upload).problem(409, "upload_ended")
    assert api.complete(upload, md5s(PARTS)).data == told
    assert file_of(root).read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1, 10**8], ids=["less", "more", "far more"])
def test_a_size_that_disagrees(api: Api, size: int) -> None:
    upload = sent(api, fileSize=size)
    api.complete(upload, md5s(PARTS)).problem(409, "size_differs")
    assert api.stored(upload) == md5s(PARTS)


def test_a_size_that_agrees_in_the_end(api: Api, root: Path) -> None:
    upload = sent(api, fileSize=len(CONTENT) + 1)
    api.complete(upload, md5s(PARTS)).problem(409, "size_differs")
    last = PARTS[3] + b"!"
    api.part(upload, 3, last).data  # noqa: B018 - that it is one
    api.finished(upload, md5s({**PARTS, 3: last}))
    assert file_of(root).read_bytes() == CONTENT + b"!"


# Abort ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["abort", "delete"])
def test_an_upload_that_is_ended_is_gone_with_its_parts(
    api: Api, root: Path, way: str, django_capture_on_commit_callbacks: Any
) -> None:
    upload, other = sent(api), sent(api)
    with django_capture_on_commit_callbacks(execute=True):
        answer = STEPS[way](api, upload)
    assert answer.status == (200 if way == "abort" else 204)
    if way == "abort":
        assert answer.body == {"fileId": upload, "aborted": True}
    for step in STEPS.values():
        step(api, upload).problem(404, "no_such_upload")
    assert [path.name for path in (root / UPLOADS).iterdir()] == [str(other)]
    api.finished(other, md5s(PARTS))


# Instant upload ------------------------------------------------------------------------------------------------------


def test_what_is_here_already_need_not_be_sent(api: Api, bobs: Api, staffs: Api) -> None:
    facts = {"fileSize": len(CONTENT), "md5": md5(CONTENT)}
    first = sent(api, **facts)
    told = api.finished(first, md5s(PARTS))
    assert "completed" not in api.initiate(**facts).data, "nobody has verified it yet"
    StoredFile.objects.update(verified=True, md5=md5(CONTENT))
    again = api.initiate("other.mov", "other-folder", **facts).data
    assert again == {
        "fileId": again["fileId"],
        "suggestedChunkSize": 20_971_520,
        "completed": True,
        "id": told["id"],
        "fileName": "other.mov",
        "size": len(CONTENT),
        "md5": md5(CONTENT),
        "url": told["url"],
        "parts": {},
    }
    assert again["fileId"] != first
    assert api.complete(again["fileId"], md5s(PARTS)).data["id"] == told["id"]
    api.part(again["fileId"], 1, b"x").problem(409, "upload_ended")
    for other in (bobs, staffs):  # knowing a hash is not owning a file
        assert "completed" not in other.initiate(**facts).data
    for differing in (
        {"fileSize": len(CONTENT)},
        {"md5": md5(CONTENT)},
        {**facts, "fileSize": 1},
        {**facts, "md5": WRONG},
    ):
        assert "completed" not in api.initiate(**differing).data


def test_what_is_not_here_any_more_has_to_be_sent(api: Api, root: Path) -> None:
    facts = {"fileSize": len(CONTENT), "md5": md5(CONTENT)}
    api.finished(sent(api, **facts), md5s(PARTS))
    StoredFile.objects.update(verified=True, md5=md5(CONTENT))
    file_of(root).write_bytes(b"touched")
    assert "completed" not in api.initiate(**facts).data
    file_of(root).unlink()
    assert "completed" not in api.initiate(**facts).data


@pytest.mark.parametrize("removed", [False, True], ids=["being removed", "removed"])
@pytest.mark.parametrize("instant", [False, True], ids=["sent", "here already"])
def test_an_upload_whose_file_was_deleted_is_begun_anew(api: Api, *, removed: bool, instant: bool) -> None:
    """A client that still remembers it must not take it for one that is there."""
    facts = {"fileSize": len(CONTENT), "md5": md5(CONTENT)}
    upload = sent(api, **facts)
    api.finished(upload, md5s(PARTS))
    if instant:
        StoredFile.objects.update(verified=True, md5=md5(CONTENT))
        upload = api.initiate(**facts).data["fileId"]
    StoredFile.objects.update(deleted_at="2026-01-01T00:00:00Z")
    if removed:
        StoredFile.objects.all().delete()
    for step in ("resume", "state", "part"):
        STEPS[step](api, upload).problem(404, "no_such_upload")
    api.complete(upload, md5s(PARTS)).problem(404, "no_such_upload")
    assert "completed" not in api.initiate(**facts).data


# Anything at all -----------------------------------------------------------------------------------------------------

words = st.sampled_from(
    ["", "initiate", "complete", "abort", "1", "2", "0", "-1", "a", "..", "{}", '{"1":"' + md5(b"a") + '"}', "\0", "é"]
) | st.text(max_size=20)
names = st.sampled_from(
    ["option", "fileId", "part", "parts", "catalog", "mode", "notes", "fileName", "fileSize", "md5", "contentType"]
)
pieces = st.tuples(names, words) | st.tuples(
    st.sampled_from(["file", "parts", "x"]),
    st.builds(File, st.binary(max_size=60), st.none() | st.text(max_size=20), st.none() | st.text(max_size=20)),
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.lists(pieces, max_size=9),
    own=st.booleans(),
    end=st.sampled_from([b"--\r\n", b"--", b"", b"\r\n", b"--\r\nx"]),
    boundary=st.sampled_from([BOUNDARY, "a", "0" * 70]),
)
def test_any_form_is_understood_or_refused(
    api: Api, fields: list[tuple[str, Any]], end: bytes, boundary: str, *, own: bool
) -> None:
    begun = [("fileId", api.begin())] if own else []
    try:
        form = Form([*begun, *fields], end=end, boundary=boundary)
        form.encode()
    except UnicodeEncodeError:
        return
    assert api.post(form).status < 500


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), kind=st.sampled_from([Form([]).content_type, "multipart/form-data; boundary=a"]))
def test_any_bytes_are_understood_or_refused(api: Api, data: bytes, kind: str) -> None:
    for body in (data, b"--a\r\n" + data, f"--{BOUNDARY}\r\n".encode() + data):
        assert api.ask("POST", "", headers={"Content-Type": kind}, data=body).status < 500


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tail=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="?#"), max_size=30),
    method=st.sampled_from(["GET", "PUT", "DELETE", "POST", "HEAD", "OPTIONS"]),
)
def test_any_path_is_understood_or_refused(api: Api, tail: str, method: str) -> None:
    assert api.client is not None
    assert api.client.generic(method, f"{PATH}/{tail}", headers=api.headers).status_code < 500
