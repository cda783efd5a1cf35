"""The admin of uploads and stored files: what it shows, what it has removed, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.staticfiles.finders import find
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from tests.integration.admin_pages import choose, page_of, text, told, words
from tests.integration.transfers.files import new_file
from tests.integration.transfers.rows import new_download, use
from transfers.admin.outcome import TOLD
from transfers.admin.proof import WHERE, Proof
from transfers.admin.removal import MOST
from transfers.admin.upload_parts import TABLED
from transfers.engine.memory import MemorySource
from transfers.models import StoredFile, Upload
from transfers.models.upload import UploadState
from transfers.services import upload as uploads
from transfers.services.upload import IncomingPart, UploadRequest
from transfers.tasks.upload import collection

pytestmark = pytest.mark.django_db

LIST = "/admin/transfers/upload/"
FILES = "/admin/transfers/storedfile/"
MIB = 2**20
HOSTILE = '<script>alert("x")</script>'
COLLECTION_NAME = "the-stores-own-name-of-it"
MD5S = {"1": "a" * 32, "2": "b" * 32}
FACTS: dict[str, dict[str, Any]] = {
    "open": {},
    "completing": {"parts": MD5S},
    "completed": {"parts": MD5S},
    "removing": {},
}
"""What an upload of each state has in its row besides."""
NOW = timezone.now()


@pytest.fixture(autouse=True)
def files_root(settings: Settings, tmp_path: Path) -> Path:
    """Where files and parts lie, for this test alone: ids come again."""
    use(settings, files_root=tmp_path)
    return tmp_path


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def make(ann: User) -> Callable[..., Upload]:
    """Begin an upload as the service does, then bring its row to a state with these facts."""

    def made(name: str = "film.mov", state: str = "open", parts: Iterable[int] = (), **facts: Any) -> Upload:
        told = {key: facts.pop(key) for key in ("notes", "mode", "md5", "size") if key in facts}
        request = UploadRequest(catalog=facts.pop("catalog", "studio"), name=name, **told)
        owner = facts.pop("user", ann)
        upload = uploads.initiate(user=owner, request=request)
        for number in parts:
            content = bytes([number % 256]) * 1000
            part = IncomingPart(number=number, size=len(content))
            with MemorySource(content).open(0, None) as reader:
                uploads.store_part(user=owner, upload_id=upload.pk, part=part, reader=reader)
        Upload.objects.filter(pk=upload.pk).update(state=state, **{**FACTS[state], **facts})
        return Upload.objects.get(pk=upload.pk)

    return made


@pytest.fixture
def viewer(client: Client) -> Client:
    """A member of staff who may look at uploads and stored files, and no more."""
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_upload", "view_storedfile"]))
    client.force_login(user)
    return client


def answer(client: Client, path: str, action: str, *rows: Any) -> list[str]:
    """Say yes, and give what is told then."""
    chosen = {"action": action, "_selected_action": [str(row.pk) for row in rows], "post": "yes"}
    return told(client.post(path, chosen))


def hidden(html: str, name: str) -> list[str]:
    """The values of the question's hidden fields of this name."""
    return re.findall(rf'<input type="hidden" name="{name}" value="([^"]*)">', html)


# The list --------------------------------------------------------------------------------------------------------


def test_the_list_tells_who_what_how_far_and_until_when(admin_client: Client, make: Callable[..., Upload]) -> None:
    touched = NOW - timedelta(days=1, minutes=5)
    make(size=215 * 10**6, received=100 * MIB, touched_at=touched)
    html = text(admin_client.get(LIST))
    expected = "film.mov studio ann open 100.0 MiB of 205.0 MiB · 48 % ≈ 5 of 11 in 5 d 23 h"
    assert f"{expected} {touched:%Y-%m-%d %H:%M:%S}" in words(html)
    assert f'value="{100 * MIB}" max="215000000"' in html


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({}, "open 0 B 0 in"),
        ({"received": 37 * 20 * MIB}, "open 740.0 MiB ≈ 37 in"),
        ({"size": 0}, "open 0 B of 0 B 0 of 1 in"),
        ({"size": 5000, "received": 9000, "stride": 1000}, "open 4.9 KiB of 4.9 KiB · 100 % ≈ 5 of 5 in"),
        ({"size": 5 * 2**40, "part_size": 549_755_814, "stride": 1}, "open 0 B of 5.0 TiB · 0 % 0 of 10,000 in"),
        ({"state": "completing", "size": 5000, "received": 5000}, "completing 4.9 KiB of 4.9 KiB · 100 % 2 –"),  # noqa: RUF001 - the dash of an empty cell
        ({"state": "completed", "size": 5000, "parts": {}}, "completed 4.9 KiB – –"),  # noqa: RUF001 - as above
        ({"state": "removing", "size": 5000}, "removing 0 B of 4.9 KiB · 0 % 0 of 1 –"),  # noqa: RUF001 - as above
    ],
)
def test_the_list_promises_nothing_that_it_cannot_know(
    facts: dict[str, Any], shown: str, admin_client: Client, ann: User
) -> None:
    values = {"catalog": "studio", "name": "film.mov", "part_size": 20 * MIB, "received": 0, "parts": MD5S}
    Upload.objects.create(owner=ann, **{**values, **facts})
    assert f"film.mov studio ann {shown}" in words(text(admin_client.get(LIST)))


def test_the_list_asks_no_storage_and_reads_no_lists_of_parts(
    admin_client: Client, make: Callable[..., Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(upload: Upload) -> None:
        raise AssertionError(f"the storage was asked for {upload}")

    make()
    make("done.mov", state="completed", size=5000)
    monkeypatch.setattr("transfers.admin.upload_parts.collection", refuse)
    with CaptureQueriesContext(connection) as queries:
        assert "4.9 KiB 2" in words(text(admin_client.get(LIST)))
    read = [query["sql"].partition(" FROM ")[0] for query in queries if '"transfers_upload"."name"' in query["sql"]]
    assert read
    assert not [columns for columns in read if re.search(r'"transfers_upload"."parts"(?!\))', columns)]


@pytest.mark.parametrize("path", [LIST, FILES])
def test_a_longer_list_takes_no_more_queries(path: str, admin_client: Client, make: Callable[..., Upload]) -> None:
    def grow(first: int, last: int) -> None:
        for number in range(first, last):
            user = User.objects.create_user(f"user{number}")
            stored = StoredFile.objects.create(owner=user, name="x", path=f"/{number}", size=1)
            for state in FACTS:
                make(f"{number}.bin", user=user, state=state)
            for _ in range(2):
                make(f"{number}.bin", user=user, state="completed", stored_file=stored)

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            text(admin_client.get(path))
        return len(queries)

    grow(0, 2)
    before = count()
    grow(2, 8)
    assert count() == before
    assert before <= 12


@pytest.mark.parametrize("state", list(FACTS))
def test_the_states_lead_to_their_uploads(state: str, admin_client: Client, make: Callable[..., Upload]) -> None:
    for name in FACTS:
        make(f"{name}.bin", state=name)
    html = text(admin_client.get(LIST, {"state__exact": state}))
    assert {name for name in FACTS if f"{name}.bin" in html} == {state}
    assert "All 4 Open 1 Completing 1 Completed 1 Removing 1" in words(html)
    assert re.search(rf'<a href="\?state__exact={state}" aria-current="page">', html)


@pytest.mark.parametrize("term", ["wanted.m", "letters", "please", "berta", "id", "c" * 32, "letters berta"])
def test_the_search_finds_by(term: str, admin_client: Client, make: Callable[..., Upload]) -> None:
    make("other.mov", md5="d" * 32)
    berta = User.objects.create_user("berta")
    wanted = make("wanted.mov", user=berta, catalog="letters", notes="as soon as you can, please", md5="c" * 32)
    html = text(admin_client.get(LIST, {"q": str(wanted.pk) if term == "id" else term}))
    assert "wanted.mov" in html
    assert term == "id" or "other.mov" not in html


# The page of one -------------------------------------------------------------------------------------------------


def test_the_page_tells_what_the_storage_has(admin_client: Client, make: Callable[..., Upload]) -> None:
    facts = {"size": 7000, "mode": 31, "notes": f"see\n{HOSTILE}", "md5": "c" * 32}
    upload = make(parts=[1, 2, 3, 5], received=7, stride=1000, touched_at=NOW - timedelta(minutes=90), **facts)
    html = text(admin_client.get(page_of(upload)))
    shown = words(html)
    for expected in (
        "open 3.9 KiB of 6.8 KiB · 57 %",
        "Size 6.8 KiB (7,000 bytes)",
        "Bytes stored 3.9 KiB (4,000 bytes)",
        "Suggested part size 20.0 MiB (20,971,520 bytes)",
        "Mode 31",
        f"Expires (UTC) {upload.expires_at:%Y-%m-%d %H:%M:%S} (in 6 d 22 h)",
        f"MD5 of the whole file {'c' * 32}",
        "Here 4 of 7 Which 1–3, 5 Missing 4, 6–7",  # noqa: RUF001 - ranges
        f"3 1000 B {uploads.stored_parts(upload=upload)[3]} 4 missing 5 1000 B",
        "6–7 missing All 4 as text",  # noqa: RUF001 - a range
        str(collection(upload).stored_parts()[5].etag),
        upload.location,
    ):
        assert expected in shown, expected
    assert re.search(r'viewBox="0 0 7 1".*<rect x="0" width="3" height="1" class="full"/><rect x="4" width="1"', html)
    assert "see\n&lt;script&gt;" in html
    assert HOSTILE not in html


def test_looking_changes_nothing(admin_client: Client, make: Callable[..., Upload]) -> None:
    upload = make(parts=[1], received=7)
    text(admin_client.get(page_of(upload)))
    text(admin_client.get(LIST))
    again = Upload.objects.get(pk=upload.pk)
    assert (again.received, again.touched_at, again.state) == (7, upload.touched_at, "open")


def test_an_upload_of_unknown_size_shows_what_is_missing_in_between(
    admin_client: Client, make: Callable[..., Upload]
) -> None:
    shown = words(text(admin_client.get(page_of(make(parts=[2, 4])))))
    assert "Size not told Bytes stored 2.0 KiB (2,000 bytes)" in shown
    assert "Here 2 Which 2, 4 Missing 1, 3" in shown


def test_an_upload_that_nothing_came_of_says_so(admin_client: Client, make: Callable[..., Upload]) -> None:
    assert "None yet." in text(admin_client.get(page_of(make())))
    assert "Here 0 of 3 Which – Missing 1–3" in words(  # noqa: RUF001 - a dash and a range
        text(admin_client.get(page_of(make("told.mov", size=60 * MIB))))
    )


def test_ten_thousand_parts_stay_readable(
    admin_client: Client, make: Callable[..., Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {str(number): f"{number:032x}" for number in range(1, 10_001) if number not in {38, 5000}}
    upload = make(state="completing", parts=[], size=10_000)
    Upload.objects.filter(pk=upload.pk).update(parts=here)
    html = text(admin_client.get(page_of(upload)))
    shown = words(html)
    assert "Here 9,998 Which 1–37, 39–4999, 5001–10000 Missing 38, 5000" in shown  # noqa: RUF001 - ranges
    assert f"All 9,998 as text ; the table has the first {TABLED}" in shown
    assert html.count("<tr>") < 2 * TABLED
    assert len(html) < 150_000
    lines = text(admin_client.get(f"{LIST}{upload.pk}/parts/")).splitlines()
    assert lines[36:38] == [f"37\t-\t{37:032x}", f"39\t-\t{39:032x}"]
    assert len(lines) == 9_998


def test_every_other_of_ten_thousand_parts_stays_readable(admin_client: Client, make: Callable[..., Upload]) -> None:
    upload = make(state="completing", size=10_000)
    Upload.objects.filter(pk=upload.pk).update(parts={str(number): "a" * 32 for number in range(1, 10_001, 2)})
    html = text(admin_client.get(page_of(upload)))
    assert "77, 79, and 4,960 more in 4,960 runs Missing 2, 4," in words(html)
    assert len(html) < 150_000


def test_the_parts_are_told_as_text(admin_client: Client, make: Callable[..., Upload]) -> None:
    upload = make(parts=[2, 1])
    response = admin_client.get(f"{LIST}{upload.pk}/parts/")
    stored = uploads.stored_parts(upload=upload)
    assert text(response) == f"1\t1000\t{stored[1]}\n2\t1000\t{stored[2]}\n"
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["X-Content-Type-Options"] == "nosniff"


def test_a_storage_that_is_away_is_told(admin_client: Client, make: Callable[..., Upload], files_root: Path) -> None:
    upload = make(size=7000, received=2000)
    journal = files_root / ".uploads" / str(upload.pk) / "journal"
    journal.unlink(missing_ok=True)
    journal.mkdir()
    shown = words(text(admin_client.get(page_of(upload))))
    assert "The storage cannot be asked: " in shown
    assert "Bytes stored 2.0 KiB (2,000 bytes)" in shown
    assert admin_client.get(f"{LIST}{upload.pk}/parts/").status_code == 503


@pytest.mark.parametrize(
    ("deleted", "shown"), [(False, "film.mov (still to be taken)"), (True, "deleted since"), (None, "deleted since")]
)
def test_a_completed_one_leads_to_its_file(  # noqa: PLR0917 - fixtures
    deleted: bool | None,  # noqa: FBT001 - None: even its row is gone
    shown: str,
    admin_client: Client,
    make: Callable[..., Upload],
    ann: User,
    tmp_path: Path,
) -> None:
    stored = new_file(ann, tmp_path / "film.mov", deleted_at=NOW if deleted else None)
    upload = make(state="completed", size=5, stored_file=None if deleted is None else stored)
    html = text(admin_client.get(page_of(upload)))
    assert f"Stored file {shown}" in words(html)
    assert (page_of(stored) in html) is (deleted is False)
    assert "Expires" not in html
    assert f"Here 2 Which 1–2 MD5s Part MD5 1 {'a' * 32} 2 {'b' * 32}" in words(html)  # noqa: RUF001 - a range


def test_an_instant_one_says_that_nothing_was_sent(admin_client: Client, make: Callable[..., Upload]) -> None:
    upload = make(state="completed", size=5)
    Upload.objects.update(parts={})
    html = text(admin_client.get(page_of(upload)))
    assert "None: the owner's file of these bytes was here already." in html


@pytest.mark.parametrize("state", ["open", "removing", "completing", "completed"])
def test_only_open_ones_offer_removal(state: str, admin_client: Client, make: Callable[..., Upload]) -> None:
    html = text(admin_client.get(page_of(make(state=state, size=2))))
    assert ("Remove…" in html) is (state == "open")
    assert f'data-state="{state}"' in html


@pytest.mark.parametrize("number", ["77", "9" * 30])
def test_an_unknown_id_leads_back_to_the_index(number: str, admin_client: Client) -> None:
    response = admin_client.get(f"{LIST}{number}/change/")
    assert (response.status_code, response["Location"]) == (302, "/admin/")
    assert admin_client.get(f"{LIST}{number}/parts/").status_code == 404
    assert "0 results" in words(text(admin_client.get(LIST, {"q": number})))


def test_hostile_names_are_only_text(admin_client: Client, make: Callable[..., Upload], ann: User) -> None:
    upload = make(HOSTILE, catalog=HOSTILE, notes=HOSTILE, parts=[1], location=f"/{HOSTILE}")
    stored = StoredFile.objects.create(
        owner=ann, name=HOSTILE, folder=HOSTILE, path=f"/{HOSTILE}", size=1, checksum_error=HOSTILE
    )
    make("done", state="completed", stored_file=stored, size=1)
    pages = [text(admin_client.get(path)) for path in (LIST, page_of(upload), FILES, page_of(stored))]
    pages += [
        text(choose(admin_client, LIST, "remove", upload)),
        text(choose(admin_client, FILES, "delete", stored)),
    ]
    for html in pages:
        assert "&lt;script&gt;alert(" in html
        assert "<script>alert(" not in html


def test_the_pages_run_no_script_of_their_own_and_tell_no_secrets(
    admin_client: Client, make: Callable[..., Upload]
) -> None:
    upload = make(collection_name=COLLECTION_NAME)
    assert find("transfers/admin-upload.js")
    for path in (LIST, page_of(upload)):
        html = text(admin_client.get(path))
        assert '<script src="/static/transfers/admin-upload.js" defer></script>' in html
        assert '<link href="/static/transfers/admin.css"' in html
        assert not re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", html)
        ours = html[html.index("data-live") : html.rindex("data-live")]
        assert not re.findall(r"\s(?:style|on[a-z]+)=", ours)
        assert COLLECTION_NAME not in html


# Removal ---------------------------------------------------------------------------------------------------------


def test_an_upload_goes_only_after_a_question(
    admin_client: Client,
    admin_user: User,
    make: Callable[..., Upload],
    files_root: Path,
    django_capture_on_commit_callbacks: Any,
) -> None:
    upload, other = make(parts=[1, 2]), make("other.mov", parts=[1])
    folder = files_root / ".uploads" / str(upload.pk)
    assert folder.is_dir()
    question = text(choose(admin_client, LIST, "remove", upload))
    assert "Remove for good?" in question
    assert "film.mov of ann, studio, 2.0 KiB" in words(question)
    assert "other.mov" not in question
    assert hidden(question, "_selected_action") == [str(upload.pk)]
    assert (hidden(question, "action"), hidden(question, "post")) == (["remove"], ["yes"])
    assert Upload.objects.count() == 2

    with django_capture_on_commit_callbacks(execute=True):
        assert answer(admin_client, LIST, "remove", upload) == ["Removed: film.mov."]
    assert list(Upload.objects.all()) == [other]
    assert not folder.exists()
    assert (files_root / ".uploads" / str(other.pk)).is_dir()
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id, entry.action_flag) == (admin_user, str(upload.pk), DELETION)


def test_the_button_on_the_page_leads_to_the_question(admin_client: Client, make: Callable[..., Upload]) -> None:
    upload = make()
    html = text(admin_client.get(page_of(upload)))
    form = html[html.index(f'action="{LIST}"') : html.index("Remove…")]
    fields = {"action": hidden(form, "action")[0], "_selected_action": hidden(form, "_selected_action")[0]}
    assert "Remove for good?" in text(admin_client.post(LIST, fields))
    assert Upload.objects.filter(pk=upload.pk).exists()


@pytest.mark.parametrize("state", ["completing", "completed", "removing"])
def test_what_is_not_open_stays(state: str, admin_client: Client, make: Callable[..., Upload]) -> None:
    upload = make(state=state, size=2)
    refused = [f"film.mov: not removed, it is {state}."]
    assert told(choose(admin_client, LIST, "remove", upload)) == refused
    assert answer(admin_client, LIST, "remove", upload) == refused
    assert Upload.objects.get(pk=upload.pk).state == state
    assert {entry.change_message for entry in LogEntry.objects.all()} == {f"Refused: Remove (it is {state})."}


def test_what_ends_between_question_and_answer_is_told(admin_client: Client, make: Callable[..., Upload]) -> None:
    ending, gone, open_one = make("a.bin"), make("b.bin"), make("c.bin")
    text(choose(admin_client, LIST, "remove", ending, gone, open_one))
    Upload.objects.filter(pk=ending.pk).update(state="completing")
    Upload.objects.filter(pk=gone.pk).delete()
    gone.pk = 10**6
    assert answer(admin_client, LIST, "remove", ending, gone, open_one) == [
        "Removed: c.bin.",
        "a.bin: not removed, it is completing.",
        "1 of them cannot be found here any more.",
    ]


def test_what_the_service_refuses_is_told(
    admin_client: Client, make: Callable[..., Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = make()
    monkeypatch.setattr(Upload, "mark_removing", lambda _: False)
    assert answer(admin_client, LIST, "remove", upload) == [
        "film.mov: not removed, The upload is complete, or is being completed."
    ]
    assert Upload.objects.filter(pk=upload.pk, state=UploadState.OPEN).exists()


def test_many_are_counted(admin_client: Client, make: Callable[..., Upload]) -> None:
    rows = [make(f"{number}.bin") for number in range(TOLD + 3)]
    assert "and 3 more" in text(choose(admin_client, LIST, "remove", *rows))
    assert answer(admin_client, LIST, "remove", *rows) == [f"Removed: {TOLD + 3} uploads."]


def test_too_many_are_left_alone(admin_client: Client, ann: User) -> None:
    Upload.objects.bulk_create(Upload(owner=ann, catalog="x", name="x", part_size=1) for _ in range(MOST + 1))
    chosen = {"action": "remove", "select_across": "1", "_selected_action": ["1"]}
    assert told(admin_client.post(LIST, chosen)) == [f"At most {MOST} uploads go at once."]
    assert told(admin_client.post(LIST, {**chosen, "post": "yes"})) == [f"At most {MOST} uploads go at once."]
    assert Upload.objects.count() == MOST + 1


# Who may do what -------------------------------------------------------------------------------------------------


def test_who_may_only_look_removes_nothing(viewer: Client, make: Callable[..., Upload], ann: User) -> None:
    stored = StoredFile.objects.create(owner=ann, name="x", path="/x", size=1)
    upload = make(parts=[1])
    assert "Here 1" in words(text(viewer.get(page_of(upload))))
    assert text(viewer.get(f"{LIST}{upload.pk}/parts/"))
    for path, action, row in ((LIST, "remove", upload), (FILES, "delete", stored)):
        assert 'name="action"' not in text(viewer.get(page_of(row)))
        assert 'name="action"' not in text(viewer.get(path))
        viewer.post(path, {"action": action, "_selected_action": [str(row.pk)], "post": "yes"})
        row.refresh_from_db()
    assert (upload.state, stored.deleted_at) == ("open", None)


def test_who_may_look_at_other_things_sees_none_of_it(client: Client, make: Callable[..., Upload]) -> None:
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_download"))
    client.force_login(user)
    upload = make(parts=[1])
    for path in (LIST, page_of(upload), f"{LIST}{upload.pk}/parts/", FILES):
        assert client.get(path).status_code == 403


def test_only_staff_gets_in(client: Client, ann: User, make: Callable[..., Upload]) -> None:
    upload = make(parts=[1])
    client.force_login(ann)
    for path in (LIST, page_of(upload), f"{LIST}{upload.pk}/parts/", FILES):
        response = client.get(path)
        assert (response.status_code, response["Location"].split("?")[0]) == (302, "/admin/login/")
    choose(client, LIST, "remove", upload)
    client.post(LIST, {"action": "remove", "_selected_action": [str(upload.pk)], "post": "yes"})
    assert Upload.objects.filter(pk=upload.pk, state="open").exists()


def test_another_site_cannot_say_yes(admin_user: User, make: Callable[..., Upload]) -> None:
    upload = make()
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    chosen = {"action": "remove", "_selected_action": [str(upload.pk)], "post": "yes"}
    assert client.post(LIST, chosen).status_code == 403
    assert Upload.objects.filter(pk=upload.pk, state="open").exists()


@pytest.mark.parametrize("verb", ["add", "change", "delete"])
def test_nothing_can_be_written(verb: str, admin_client: Client, make: Callable[..., Upload]) -> None:
    upload = make()
    path = f"{LIST}add/" if verb == "add" else f"{LIST}{upload.pk}/{verb}/"
    assert admin_client.post(path, {"post": "yes"}).status_code == 403
    upload.refresh_from_db()


@pytest.mark.parametrize(
    "path",
    [f"{LIST}?q=%00", f"{LIST}?state__exact=%00", f"{LIST}%00/change/", f"{FILES}?checksum=%00", f"{FILES}?q=%00"],
)
def test_a_null_character_is_not_the_services_fault(admin_client: Client, path: str) -> None:
    """PostgreSQL cannot even look for it."""
    admin_client.raise_request_exception = False
    assert admin_client.get(path).status_code < 500


# Stored files ----------------------------------------------------------------------------------------------------

PROOFS: dict[Proof, dict[str, Any]] = {
    Proof.VERIFIED: {"verified": True, "sha256": "b" * 64},
    Proof.MISMATCH: {"verified": False, "sha256": "b" * 64},
    Proof.NOT_PROMISED: {"sha256": "b" * 64},
    Proof.AWAITED: {"promised_md5": "a" * 32},
    Proof.UNREADABLE: {"checksum_error": "cannot be read: Input/output error"},
}
"""What a file's row has for each."""


@pytest.fixture
def proved(ann: User) -> dict[Proof, StoredFile]:
    """A file of each proof."""
    return {
        proof: StoredFile.objects.create(owner=ann, name=f"{proof.name}.bin", path=f"/{proof.name}", size=1, **facts)
        for proof, facts in PROOFS.items()
    }


@pytest.mark.parametrize("proof", list(PROOFS))
def test_files_are_found_by_how_their_checksums_stand(
    proof: Proof, admin_client: Client, proved: dict[Proof, StoredFile]
) -> None:
    html = text(admin_client.get(FILES, {"checksum": proof.name.lower()}))
    assert {other for other in PROOFS if f"{other.name}.bin" in html} == {proof}
    assert f"{proof.name}.bin ann - 1 B {proof.value} " in words(html)
    page = words(text(admin_client.get(page_of(proved[proof]))))
    assert f"Checksum {proof.value}" in page
    for fact in PROOFS[proof].values():
        assert isinstance(fact, bool) or fact in page


def test_every_file_is_of_one_proof(proved: dict[Proof, StoredFile]) -> None:
    for stored in proved.values():
        found = [proof for proof, where in WHERE.items() if StoredFile.objects.filter(where, pk=stored.pk).exists()]
        assert found == [Proof.of(stored)]


def test_an_unknown_proof_narrows_nothing(admin_client: Client, proved: dict[Proof, StoredFile]) -> None:
    html = text(admin_client.get(FILES, {"checksum": "nonsense"}))
    assert {proof for proof in PROOFS if f"{proof.name}.bin" in html} == set(PROOFS)


def test_a_file_leads_to_its_bytes_and_to_what_brought_it(
    admin_client: Client, make: Callable[..., Upload], ann: User, tmp_path: Path
) -> None:
    stored = new_file(ann, tmp_path / "film.mov", folder="studio")
    first, twin = (make(name, state="completed", size=5, stored_file=stored) for name in ("film.mov", "twin.mov"))
    html = text(admin_client.get(FILES))
    assert f'<a href="{page_of(twin)}" class="transfer-link">upload {twin.pk}</a>' in html
    html = text(admin_client.get(page_of(stored)))
    assert f"Downloads – Uploads upload {twin.pk} twin.mov" in words(html)  # noqa: RUF001 - the dash of an empty cell
    assert f'<a href="{page_of(first)}" class="transfer-link">upload {first.pk}</a> film.mov' in html
    assert f'href="/files/{stored.pk}/content"' in html
    assert "At its place unchanged" in words(html)
    download = new_download(stored_file=stored)
    html = text(admin_client.get(FILES))
    assert f'<a href="/admin/transfers/download/{download.pk}/change/" class="transfer-link">media.example</a>' in html


def test_a_file_found_here_again_and_again_tells_the_latest(
    admin_client: Client, make: Callable[..., Upload], ann: User
) -> None:
    stored = StoredFile.objects.create(owner=ann, name="x", path="/x", size=1)
    made = [make(state="completed", size=1, stored_file=stored) for _ in range(12)]
    html = text(admin_client.get(page_of(stored)))
    assert [upload.pk for upload in made if f">upload {upload.pk}<" in html] == [upload.pk for upload in made[2:]]


def test_a_file_in_a_bucket_is_not_looked_for_on_disk(admin_client: Client, ann: User) -> None:
    stored = StoredFile.objects.create(owner=ann, name="x", path="s3://bucket/1/2/x", size=1)
    shown = words(text(admin_client.get(page_of(stored))))
    assert "At its place in the bucket, not looked at" in shown
    assert "s3://bucket/1/2/x" in shown


def test_deleted_files_are_gone(admin_client: Client, ann: User) -> None:
    stored = StoredFile.objects.create(owner=ann, name="deleted.bin", path="/x", size=1, deleted_at=NOW)
    assert "deleted.bin" not in text(admin_client.get(FILES))
    assert admin_client.get(page_of(stored)).status_code == 302


def test_a_file_goes_only_after_a_question(
    admin_client: Client,
    admin_user: User,
    ann: User,
    tmp_path: Path,
    django_capture_on_commit_callbacks: Any,
) -> None:
    stored, other = new_file(ann, tmp_path / "film.mov", folder="studio"), new_file(ann, tmp_path / "other.mov")
    assert "Delete…" in text(admin_client.get(page_of(stored)))
    question = text(choose(admin_client, FILES, "delete", stored))
    assert "film.mov of ann, studio, 5 B" in words(question)
    assert hidden(question, "_selected_action") == [str(stored.pk)]
    assert StoredFile.objects.kept().count() == 2

    with django_capture_on_commit_callbacks() as rung:
        assert answer(admin_client, FILES, "delete", stored) == ["Deleted: film.mov."]
    assert len(rung) == 1
    assert list(StoredFile.objects.kept()) == [other]
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_repr, entry.action_flag) == (admin_user, "film.mov", DELETION)
    assert answer(admin_client, FILES, "delete", stored) == ["1 of them cannot be found here any more."]


def test_a_file_that_somebody_else_deletes_meanwhile_is_told(
    admin_client: Client, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = StoredFile.objects.create(owner=ann, name="film.mov", path="/x", size=1)
    monkeypatch.setattr("transfers.services.stored_file.delete", lambda **_: False)
    assert answer(admin_client, FILES, "delete", stored) == ["film.mov: not deleted, it is deleted already"]
    assert LogEntry.objects.get().change_message == "Refused: Delete (it is deleted already)."
