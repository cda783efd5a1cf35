"""The admin, page by page: what it shows, what it has done, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.staticfiles.finders import find
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from knox.models import AuthToken

from tests.integration.admin_pages import act, choose, operate, page_of, text, words
from transfers.admin.outcome import TOLD
from transfers.models import Download, DownloadAttempt, StoredFile
from transfers.models.download import Desired, DownloadState
from transfers.models.download_attempt import AttemptOutcome
from transfers.services import download as downloads

pytestmark = pytest.mark.django_db

LIST = "/admin/transfers/download/"
FILES = "/admin/transfers/storedfile/"
TOKENS = "/admin/knox/authtoken/"
USERS = "/admin/auth/user/"
SECRET = "the-pass-word"
NOBODYS = "00000000-0000-0000-0000-000000000000"
NOW = timezone.now()
FACTS: dict[str, dict[str, Any]] = {
    "queued": {},
    "running": {"lease_epoch": 1, "lease_owner": "host:1:abc", "lease_expires_at": NOW + timedelta(hours=1)},
    "stopping": {"desired": Desired.STOP},
    "stopped": {"ended_at": NOW},
    "failed": {"ended_at": NOW, "error": "it answered 404", "error_code": "source_refused"},
    "completed": {"ended_at": NOW},
}
"""What a download of each state has in its row besides; a stopping one is a running one."""


LABELS = {"stop": "Stop", "resume": "Resume", "retry": "Retry", "fetch_again": "Fetch again"}


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def make(ann: User) -> Callable[..., Download]:
    """Make a download as the service does, then bring its row to a state with these facts."""

    def made(name: str = "film.mov", state: str = "queued", **facts: Any) -> Download:
        owner = facts.pop("user", ann)
        request = downloads.DownloadRequest(
            f"https://user:{SECRET}@media.example/films/{name}", "studio", f"key of {name}"
        )
        download = downloads.start(user=owner, request=request)
        stored_state = "running" if state == "stopping" else state
        facts = {**(FACTS["running"] if state == "stopping" else {}), **FACTS[state], **facts}
        Download.objects.filter(pk=download.pk).update(state=stored_state, **facts)
        return Download.objects.get(pk=download.pk)

    return made


def new_token(user: User, lifetime: timedelta | None = timedelta(days=1)) -> tuple[AuthToken, str]:
    made: tuple[AuthToken, str] = AuthToken.objects.create(user, lifetime)  # type: ignore[no-untyped-call]
    return made


# The list --------------------------------------------------------------------------------------------------------


def test_the_list_tells_who_what_and_how_far(admin_client: Client, make: Callable[..., Download]) -> None:
    make(state="running", bytes_done=30_169_257, size=165_051_921, bytes_per_second=12_500_000)
    html = text(admin_client.get(LIST))
    assert "film.mov media.example ann running 28.8 MiB of 157.4 MiB · 18 % 11.9 MiB/s 11 s" in words(html)
    assert 'value="30169257" max="165051921"' in html


def test_a_bar_without_a_known_size_promises_nothing(admin_client: Client, make: Callable[..., Download]) -> None:
    make(state="running", bytes_done=1024, size=None)
    html = text(admin_client.get(LIST))
    assert 'aria-label="Progress, of unknown size"' in html
    assert "1.0 KiB" in words(html)
    assert "max=" not in html


def test_an_empty_file_is_no_division_by_zero(admin_client: Client, make: Callable[..., Download]) -> None:
    make("empty", state="running", size=0)
    assert "0 B of 0 B" in words(text(admin_client.get(LIST)))


@pytest.mark.parametrize("path", [LIST, "page"])
def test_the_url_with_its_password_is_not_even_read(
    path: str, admin_client: Client, make: Callable[..., Download]
) -> None:
    download = make(state="failed")
    with CaptureQueriesContext(connection) as queries:
        html = text(admin_client.get(page_of(download) if path == "page" else path))
    assert SECRET not in html
    assert "media.example" in html
    assert not [query for query in queries if '"url_encrypted"' in query["sql"]]
    assert [query for query in queries if '"transfers_download"."url_shown"' in query["sql"]]


@pytest.mark.parametrize("state", ["queued", "running", "stopped", "failed", "completed"])
def test_the_states_lead_to_their_downloads(state: str, admin_client: Client, make: Callable[..., Download]) -> None:
    for name in FACTS:
        make(f"{name}.bin", state=name)
    html = text(admin_client.get(LIST, {"state__exact": state}))
    expected = {state, "stopping"} if state == "running" else {state}
    assert {name for name in FACTS if f"{name}.bin" in html} == expected
    assert "All 6 Queued 1 Running 2 Stopped 1 Failed 1 Completed 1" in words(html)
    assert re.search(rf'<a href="\?state__exact={state}" aria-current="page">', html)


@pytest.mark.parametrize("term", ["films/wanted", "wanted.mov", "key of wanted", "berta", "id", "studio wanted"])
def test_the_search_finds_by(term: str, admin_client: Client, make: Callable[..., Download]) -> None:
    make("other.mov")
    wanted = make("wanted.mov", user=User.objects.create_user("berta"))
    html = text(admin_client.get(LIST, {"q": str(wanted.pk) if term == "id" else term}))
    assert str(wanted.pk) in html
    assert "other.mov" not in html


@pytest.mark.parametrize("path", [LIST, FILES, TOKENS, USERS])
def test_a_longer_list_takes_no_more_queries(path: str, admin_client: Client, make: Callable[..., Download]) -> None:
    def grow(first: int, last: int) -> None:
        for number in range(first, last):
            user = User.objects.create_user(f"user{number}")
            new_token(user)
            stored = StoredFile.objects.create(owner=user, name="x", path=f"/{number}", size=1)
            make(f"{number}.bin", state="completed", user=user, stored_file=stored)

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            text(admin_client.get(path))
        return len(queries)

    grow(0, 2)
    before = count()
    grow(2, 20)
    assert count() == before
    assert before <= 12


# The page of one -------------------------------------------------------------------------------------------------


def test_the_page_tells_in_one_place_what_happened(admin_client: Client, make: Callable[..., Download]) -> None:
    requested = NOW - timedelta(seconds=123)
    stored = StoredFile.objects.create(owner_id=make().user_id, name="f", path="/f", size=2**30, sha256="5" * 64)
    download = make(
        "report.iso",
        state="completed",
        size=2**30,
        bytes_done=2**30,
        bytes_fetched=2**30 + 2**20,
        validator_kind="etag",
        validator_value='"abc"',
        requested_at=requested,
        stored_file=stored,
    )
    attempt = {"download": download, "began_at": requested, "ended_at": NOW}
    DownloadAttempt.objects.create(
        epoch=1, worker="alpha:7:f00", outcome=AttemptOutcome.LOST, bytes_fetched=2**20, **attempt
    )
    DownloadAttempt.objects.create(
        epoch=2, worker="beta:8:f00", outcome=AttemptOutcome.FAILED, error="reset by <peer>", error_code="oh", **attempt
    )
    html = text(admin_client.get(page_of(download)))
    told = words(html)
    for expected in (
        "Bytes fetched 1.0 GiB (1,074,790,400 bytes)",
        "Bytes fetched again 1.0 MiB (1,048,576 bytes)",
        "Attempts 2",
        "Duration 2 min 3 s",
        "Validator used etag: &quot;abc&quot;",
        f"SHA-256 {'5' * 64}",
        "worker lost – alpha:7",  # noqa: RUF001 - the dash of an empty cell
        "Failed reset by &lt;peer&gt; oh beta:8",
        "https://media.example/films/report.iso",
        "key of report.iso",
    ):
        assert expected in told
    assert f'href="{FILES}{stored.pk}/change/"' in html


def test_the_page_of_a_failed_one_begins_with_its_error(admin_client: Client, make: Callable[..., Download]) -> None:
    told = words(text(admin_client.get(page_of(make(state="failed")))))
    assert told.index("it answered 404 source_refused") < told.index("What happened")
    assert "Validator used –" in told  # noqa: RUF001 - the dash of an empty cell


def test_a_stream_without_a_validator_is_told_so(admin_client: Client, make: Callable[..., Download]) -> None:
    html = text(admin_client.get(page_of(make(state="stopped", stream_began_at=NOW))))
    assert "none: the source gave no strong one" in html


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        ("queued", ["stop"]),
        ("running", ["stop"]),
        ("stopping", ["resume"]),
        ("stopped", ["resume"]),
        ("failed", ["retry"]),
        ("completed", ["fetch_again"]),
    ],
)
def test_the_page_offers_what_can_be_done(
    state: str, offered: list[str], admin_client: Client, make: Callable[..., Download]
) -> None:
    html = text(admin_client.get(page_of(make(state=state))))
    assert re.findall(r"/operate/(\w+)/", html) == offered
    assert f'data-state="{state}"' in html


def test_an_unknown_id_leads_back_to_the_index(admin_client: Client) -> None:
    response = admin_client.get(f"{LIST}{NOBODYS}/change/")
    assert (response.status_code, response["Location"]) == (302, "/admin/")


def test_the_pages_run_no_script_of_their_own(admin_client: Client, make: Callable[..., Download]) -> None:
    download = make(state="running")
    assert find("transfers/admin-progress.js")
    assert find("transfers/admin.css")
    for path in (LIST, page_of(download)):
        html = text(admin_client.get(path))
        assert '<script src="/static/transfers/admin-progress.js" defer></script>' in html
        assert '<link href="/static/transfers/admin.css"' in html
        assert not re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", html)
        ours = html[html.index("data-live") : html.rindex("data-live")]
        assert not re.findall(r"\s(?:style|on[a-z]+)=", ours)


# What can be had done --------------------------------------------------------------------------------------------


def test_stop_ends_what_nobody_holds_at_once(
    admin_client: Client, admin_user: User, make: Callable[..., Download]
) -> None:
    download = make()
    assert operate(admin_client, download, "stop") == ["Stopped: film.mov."]
    download.refresh_from_db()
    assert download.state == DownloadState.STOPPED
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id, entry.change_message) == (admin_user, str(download.pk), "Stopped.")
    assert "Stopped." in words(text(admin_client.get(f"{LIST}{download.pk}/history/")))


def test_stop_asks_the_worker_that_holds_it(admin_client: Client, make: Callable[..., Download]) -> None:
    download = make(state="running")
    operate(admin_client, download, "stop")
    download.refresh_from_db()
    assert (download.state, download.desired) == (DownloadState.RUNNING, Desired.STOP)
    assert "stopping" in words(text(admin_client.get(page_of(download))))


@pytest.mark.parametrize(
    ("state", "name", "told"),
    [
        ("stopped", "resume", "Resumed: film.mov."),
        ("failed", "retry", "Retried: film.mov."),
        ("completed", "fetch_again", "Asked for again: film.mov."),
    ],
)
def test_what_ended_starts_again(  # noqa: PLR0917 - fixtures
    state: str,
    name: str,
    told: str,
    admin_client: Client,
    make: Callable[..., Download],
    django_capture_on_commit_callbacks: Any,
) -> None:
    download = make(state=state)
    with django_capture_on_commit_callbacks() as rung:
        assert operate(admin_client, download, name) == [told]
    download.refresh_from_db()
    assert (download.state, download.desired, download.error) == (DownloadState.QUEUED, Desired.RUN, "")
    assert SECRET in download.url
    assert len(rung) == 1
    assert LogEntry.objects.count() == 1


def test_resume_takes_back_a_stop_that_its_worker_has_not_seen(
    admin_client: Client, make: Callable[..., Download]
) -> None:
    download = make(state="stopping")
    operate(admin_client, download, "resume")
    download.refresh_from_db()
    assert (download.state, download.desired) == (DownloadState.RUNNING, Desired.RUN)


@pytest.mark.parametrize(
    ("state", "name", "told"),
    [
        ("completed", "stop", "film.mov: not stopped, it is completed."),
        ("running", "resume", "film.mov: not resumed, it is running."),
        ("stopped", "retry", "film.mov: not retried, it is stopped."),
        ("failed", "fetch_again", "film.mov: not asked for again, it is failed."),
    ],
)
def test_what_cannot_be_done_is_told(
    state: str, name: str, told: str, admin_client: Client, make: Callable[..., Download]
) -> None:
    download = make(state=state)
    assert operate(admin_client, download, name) == [told]
    assert LogEntry.objects.get().change_message == f"Refused: {LABELS[name]} (it is {state})."
    assert Download.objects.get(pk=download.pk).state == state


def test_another_writer_of_the_file_is_told_and_no_fault_of_ours(
    admin_client: Client, make: Callable[..., Download]
) -> None:
    download = make(state="stopped")
    make("other.mov", save_path=download.save_path)
    told = operate(admin_client, download, "resume")
    assert told == ["film.mov: not resumed: another download is writing that file."]
    assert LogEntry.objects.get().change_message == "Refused: Resume (already_downloading)."


def test_a_folder_that_may_be_used_no_longer_is_told(admin_client: Client, make: Callable[..., Download]) -> None:
    download = make(state="failed", output_folder="/etc")
    assert operate(admin_client, download, "retry") == [
        "film.mov: not retried: outputFolder: lies outside the download folder."
    ]


def test_a_url_that_cannot_be_read_any_more_is_told(admin_client: Client, make: Callable[..., Download]) -> None:
    download = make(state="failed", url_encrypted="written under another secret key")
    assert operate(admin_client, download, "retry") == [
        "film.mov: not retried: it was encrypted under another secret key."
    ]


def test_a_bulk_action_tells_what_became_of_each(
    admin_client: Client, admin_user: User, make: Callable[..., Download]
) -> None:
    first, second = make("a.bin"), make("b.bin", state="running")
    done = make("c.bin", state="completed")
    told = act(admin_client, LIST, "stop", first, second, done)
    assert sorted(told[0].removeprefix("Stopped: ").removesuffix(".").split(", ")) == ["a.bin", "b.bin"]
    assert told[1:] == ["c.bin: not stopped, it is completed."]
    entries = set(LogEntry.objects.filter(user=admin_user).values_list("object_id", "change_message"))
    refused = (str(done.pk), "Refused: Stop (it is completed).")
    assert entries == {(str(first.pk), "Stopped."), (str(second.pk), "Stopped."), refused}


def test_many_are_counted(admin_client: Client, make: Callable[..., Download]) -> None:
    rows = [make(f"{number}.bin") for number in range(TOLD + 3)]
    choose(admin_client, LIST, "stop", *rows)
    assert f"Stopped: {TOLD + 3} downloads." in text(admin_client.get(LIST))
    refused = act(admin_client, LIST, "stop", *rows)
    assert len(refused) == TOLD + 1
    assert refused[-1] == "And 3 more could not be acted upon."


# Who may do what -------------------------------------------------------------------------------------------------


@pytest.fixture
def viewer(client: Client) -> Client:
    """A member of staff who may look at downloads, and no more."""
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_download"))
    client.force_login(user)
    return client


def test_who_may_only_look_has_no_buttons(viewer: Client, make: Callable[..., Download]) -> None:
    download = make()
    assert "/operate/" not in text(viewer.get(page_of(download)))
    assert 'name="action"' not in text(viewer.get(LIST))
    assert viewer.post(f"{LIST}{download.pk}/operate/stop/").status_code == 403
    viewer.post(LIST, {"action": "stop", "_selected_action": [str(download.pk)]})
    assert Download.objects.get(pk=download.pk).live


def test_only_staff_gets_in(client: Client, ann: User, make: Callable[..., Download]) -> None:
    download = make()
    client.force_login(ann)
    for path in (LIST, page_of(download), FILES, TOKENS):
        response = client.get(path)
        assert (response.status_code, response["Location"].split("?")[0]) == (302, "/admin/login/")
    client.post(f"{LIST}{download.pk}/operate/stop/")
    assert Download.objects.get(pk=download.pk).live


def test_looking_changes_nothing(admin_client: Client, make: Callable[..., Download]) -> None:
    download = make()
    response = admin_client.get(f"{LIST}{download.pk}/operate/stop/")
    assert (response.status_code, response["Location"]) == (302, page_of(download))
    assert Download.objects.get(pk=download.pk).live


def test_another_site_cannot_press_the_buttons(admin_user: User, make: Callable[..., Download]) -> None:
    download = make()
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.post(f"{LIST}{download.pk}/operate/stop/").status_code == 403
    assert Download.objects.get(pk=download.pk).live


@pytest.mark.parametrize("path", ["{id}/operate/burn/", f"{NOBODYS}/operate/stop/"])
def test_what_does_not_exist_is_not_found(path: str, admin_client: Client, make: Callable[..., Download]) -> None:
    assert admin_client.post(LIST + path.format(id=make().pk)).status_code == 404


@pytest.mark.parametrize("verb", ["add", "change", "delete"])
def test_nothing_can_be_written(verb: str, admin_client: Client, make: Callable[..., Download], ann: User) -> None:
    stored = StoredFile.objects.create(owner=ann, name="x", path="/x", size=1)
    for prefix, row in ((LIST, make()), (FILES, stored)):
        path = f"{prefix}add/" if verb == "add" else f"{prefix}{row.pk}/{verb}/"
        assert admin_client.post(path, {"post": "yes"}).status_code == 403
        row.refresh_from_db()


# Stored files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verified", "told"), [(True, "verified"), (None, "not promised"), (False, "mismatch")])
def test_stored_files_tell_what_they_are_and_where_they_came_from(
    verified: bool | None,  # noqa: FBT001 - a column's three values
    told: str,
    admin_client: Client,
    ann: User,
    make: Callable[..., Download],
) -> None:
    facts = {"md5": "a" * 32, "sha256": "b" * 64, "crc32": "c" * 8, "verified": verified}
    stored = StoredFile.objects.create(
        owner=ann, name="film.mov", folder="studio", path="/gone", size=165_051_921, **facts
    )
    download = make(state="completed", stored_file=stored)
    html = text(admin_client.get(FILES))
    assert f"film.mov ann studio 157.4 MiB {told} {'b' * 12}… media.example" in words(html)
    assert page_of(download) in html
    html = text(admin_client.get(f"{FILES}{stored.pk}/change/"))
    for expected in ("a" * 32, "b" * 64, "c" * 8, told, "157.4 MiB (165,051,921 bytes)", "missing or changed", "/gone"):
        assert expected in html
    assert f'<a href="{page_of(download)}" class="transfer-link">https://media.example/films/film.mov</a>' in html
    assert SECRET not in html


# Tokens and users ------------------------------------------------------------------------------------------------


def read(html: str) -> str:
    """The page without the values of its check boxes, which name rows and are not shown."""
    return re.sub(r'value="[0-9a-f]{128}"', "", html)


def test_tokens_are_listed_without_their_digests(admin_client: Client, ann: User) -> None:
    valid, token = new_token(ann)
    new_token(ann, timedelta(days=-1))
    html = read(text(admin_client.get(TOKENS)))
    assert valid.digest not in html
    assert token not in html
    assert token[:8] in html
    assert re.search(rf"{token[:8]}… ann valid \S+ \S+ {valid.expiry:%Y-%m-%d %H:%M:%S}", words(html))
    assert "expired" in html
    assert "create_token" in html


def test_a_token_is_revoked_after_a_question(admin_client: Client, admin_user: User, ann: User) -> None:
    stored, token = new_token(ann)
    other, _ = new_token(ann)
    header = {"Authorization": f"Token {token}"}
    chosen = {"action": "delete_selected", "_selected_action": [stored.digest]}
    question = read(text(admin_client.post(TOKENS, chosen)))
    assert f"{token[:8]}… of ann" in question
    assert stored.digest not in question
    assert Client(headers=header).get("/api/file/download").status_code == 200
    response = admin_client.post(TOKENS, {**chosen, "post": "yes"}, follow=True)
    assert stored.digest not in text(response)
    assert list(AuthToken.objects.all()) == [other]
    assert Client(headers=header).get("/api/file/download").status_code == 401
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_repr) == (admin_user, f"{token[:8]}… of ann")


def test_tokens_are_neither_made_nor_changed_here(admin_client: Client, ann: User) -> None:
    stored, _ = new_token(ann)
    for path in ("add/", f"{stored.digest}/change/", f"{stored.digest}/delete/", f"{stored.digest}/history/"):
        assert admin_client.post(f"{TOKENS}{path}").status_code == 404
    assert AuthToken.objects.count() == 1


def test_a_user_goes_with_their_tokens_and_no_digest_is_shown(admin_client: Client, ann: User) -> None:
    stored, _ = new_token(ann)
    html = text(admin_client.get(f"{USERS}{ann.pk}/delete/"))
    assert stored.digest not in html
    assert f"{stored.digest[:8]}… : ann" in html
    assert admin_client.post(f"{USERS}{ann.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not User.objects.filter(username="ann").exists()


def test_a_user_with_downloads_is_kept(admin_client: Client, ann: User, make: Callable[..., Download]) -> None:
    make()
    html = text(admin_client.post(f"{USERS}{ann.pk}/delete/", {"post": "yes"}))
    assert "protected" in html
    assert User.objects.filter(username="ann").exists()


def test_users_and_groups_are_made_here(admin_client: Client) -> None:
    password = "a long enough pass phrase"
    form = {"username": "carl", "usable_password": "true", "password1": password, "password2": password}
    assert admin_client.post(f"{USERS}add/", form).status_code == 302
    carl = User.objects.get(username="carl")
    assert carl.check_password(password)
    assert admin_client.post("/admin/auth/group/add/", {"name": "operators"}).status_code == 302
    for path in (f"{USERS}{carl.pk}/change/", f"{USERS}{carl.pk}/password/", "/admin/auth/group/", "/admin/"):
        text(admin_client.get(path))


@pytest.mark.parametrize(
    "path",
    [
        "transfers/download/?state__exact=%00",
        "transfers/download/?q=%00",
        "auth/user/?username__exact=a%00",
        "auth/user/%00/change/",
        "knox/authtoken/a%00/change/",
    ],
)
def test_a_null_character_is_not_the_services_fault(admin_client: Client, path: str) -> None:
    """PostgreSQL cannot even look for it."""
    admin_client.raise_request_exception = False
    assert admin_client.get(f"/admin/{path}").status_code < 500
