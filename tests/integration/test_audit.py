"""The audit: whatever operators have done is written down with who, what, when and what came of it, and stays so."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db.models import Model
from django.test import Client, RequestFactory
from django.utils import timezone
from knox.models import AuthToken

from tasks_api.models import DownloadTask, PrivateUpload, PublicUpload, Status, Task
from tests.integration.sync.rows import client_of, new_case, new_job
from tests.integration.tasks_api.rows import CID, PATHS, grant, new_source, new_task
from tests.integration.transfers.rows import new_download, new_user
from transfers import audit
from transfers.models import Download, ListJob, Order, StoredFile, Upload
from transfers.models.download import DownloadState
from transfers.services import download_list as lists

pytestmark = pytest.mark.django_db

AUDIT = "/admin/admin/logentry/"
BOTH = 2


@dataclass(frozen=True)
class Scenario:
    """An action that an operator has done: with which row, and what is written down then."""

    make: Callable[[User], Model]
    told: str
    fields: dict[str, Any] = field(default_factory=dict)


def new_file(user: User) -> StoredFile:
    return StoredFile.objects.create(owner=user, name="film.mov", path="/x", size=1)


def new_upload(user: User) -> Upload:
    return Upload.objects.create(owner=user, catalog="studio", name="film.mov", part_size=2**20)


def new_order(user: User) -> Order:
    return Order.objects.create(user=user, zip_file_name="films.zip", files_count=1, total_bytes=1000)


def new_zip(user: User, state: str = "queued", **facts: Any) -> ListJob:
    ended = {} if state == "queued" else {"ended_at": timezone.now()}
    return ListJob.objects.create(user=user, kind="zip", order=new_order(user), state=state, **ended, **facts)


def zipped(user: User, state: str = "queued") -> Order:
    order = new_zip(user, state).order
    assert order is not None
    return order


def granted(user: User) -> Model:
    source = new_source(user)
    grant(source, User.objects.get(username="berta"))
    return source


def token_of(user: User) -> AuthToken:
    made: AuthToken = AuthToken.objects.create(user)[0]  # type: ignore[no-untyped-call]
    return made


def in_state(state: str) -> Callable[[User], Model]:
    return lambda user: new_download(user, state=state)


def at(kind: Any, status: Status) -> Callable[[User], Model]:
    return lambda user: new_task(kind, user, status=status, percent=100 if status == Status.COMPLETED else 40)


FAILED = "Marked failed. It was uploading, 40 %."
ANSWER = {"post": "yes"}
SCENARIOS: dict[tuple[str, str], Scenario] = {
    ("transfers.download", "stop"): Scenario(in_state("queued"), "Stopped."),
    ("transfers.download", "resume"): Scenario(in_state("stopped"), "Resumed."),
    ("transfers.download", "retry"): Scenario(in_state("failed"), "Retried."),
    ("transfers.download", "fetch_again"): Scenario(in_state("completed"), "Asked for again."),
    ("transfers.upload", "remove"): Scenario(new_upload, "Removed.", ANSWER),
    ("transfers.storedfile", "delete"): Scenario(new_file, "Deleted.", ANSWER),
    ("transfers.listjob", "stop"): Scenario(new_zip, "Stopped."),
    ("transfers.listjob", "again"): Scenario(lambda user: new_zip(user, "stopped"), "Started again."),
    ("transfers.listjob", "expire"): Scenario(lambda user: new_zip(user, "completed"), "Zip to be removed."),
    ("transfers.order", "start"): Scenario(new_order, "Started."),
    ("transfers.order", "stop"): Scenario(zipped, "Stopped."),
    ("transfers.order", "expire"): Scenario(lambda user: zipped(user, "completed"), "Zip to be removed."),
    ("sync.case", "sync_up"): Scenario(new_case, "Asked to sync up."),
    ("sync.case", "sync_down"): Scenario(new_case, "Asked to sync down."),
    ("sync.case", "dry_run_up"): Scenario(new_case, "Asked for a dry run up."),
    ("sync.case", "dry_run_down"): Scenario(new_case, "Asked for a dry run down."),
    ("sync.case", "stop"): Scenario(lambda user: new_job(new_case(user)).case, "Stopped."),
    ("sync.job", "stop"): Scenario(lambda user: new_job(new_case(user)), "Stopped."),
    ("sync.job", "again"): Scenario(lambda user: new_job(new_case(user), state="failed"), "Asked for again."),
    ("tasks_api.publicupload", "mark_failed"): Scenario(at(PublicUpload, Status.UPLOADING), FAILED),
    ("tasks_api.privateupload", "mark_failed"): Scenario(at(PrivateUpload, Status.UPLOADING), FAILED),
    ("tasks_api.privateupload", "reopen"): Scenario(at(PrivateUpload, Status.FAILED), "Reopened. It was failed, 40 %."),
    ("tasks_api.downloadtask", "mark_failed"): Scenario(
        at(DownloadTask, Status.DOWNLOADING), "Marked failed. It was downloading, 40 %."
    ),
    ("tasks_api.source", "grant"): Scenario(new_source, "Granted to berta.", ANSWER),
    ("tasks_api.source", "revoke"): Scenario(granted, "Revoked from berta.", ANSWER),
    ("axes.accessattempt", "unlock"): Scenario(
        lambda _: AccessAttempt.objects.create(username="carl", ip_address="203.0.113.7", failures_since_start=9),
        "Unlocked.",
    ),
    ("knox.authtoken", "delete_selected"): Scenario(token_of, "Revoked.", ANSWER),
    ("auth.user", "delete_selected"): Scenario(lambda _: new_user("carl"), "", ANSWER),
    ("auth.group", "delete_selected"): Scenario(lambda _: Group.objects.create(name="clerks"), "", ANSWER),
}
"""Every action of the admin."""


@pytest.fixture
def ann() -> User:
    return new_user()


@pytest.fixture(autouse=True)
def berta() -> User:
    return new_user("berta")


def registered(user: User) -> dict[tuple[str, str], Any]:
    """The actions that the admin offers this user, by kind and name, with their admins."""
    request = RequestFactory().get("/admin/")
    request.user = user
    return {
        (model._meta.label_lower, name): model_admin
        for model, model_admin in admin.site._registry.items()
        for name in model_admin.get_actions(request)
    }


def act(client: Client, row: Model, name: str, **fields: Any) -> None:
    meta = row._meta
    sent = {"action": name, "_selected_action": [str(row.pk)], **fields}
    assert client.post(f"/admin/{meta.app_label}/{meta.model_name}/", sent).status_code == 302


def shown(client: Client, query: str = "") -> int:
    response = client.get(f"{AUDIT}?{query}")
    assert response.status_code == 200, query
    count: int = response.context["cl"].result_count
    return count


# Whatever is done is written down --------------------------------------------------------------------------------


def test_every_action_of_the_admin_is_among_the_scenarios(admin_user: User) -> None:
    """An action that is new needs a scenario, which then has to write its row."""
    assert set(registered(admin_user)) == set(SCENARIOS)


def test_every_button_is_an_action(admin_user: User) -> None:
    actions = registered(admin_user)
    buttons = {
        (model._meta.label_lower, operation.name)
        for model, model_admin in admin.site._registry.items()
        for operation in getattr(model_admin, "operations", ())
    }
    assert buttons
    assert buttons <= set(actions)


@pytest.mark.parametrize(("kind", "name"), SCENARIOS, ids=lambda part: part.rpartition(".")[2])
def test_what_an_operator_has_done_is_written_down(
    kind: str, name: str, admin_client: Client, admin_user: User, ann: User
) -> None:
    scenario = SCENARIOS[kind, name]
    row = scenario.make(ann)
    key = None if isinstance(row, AuthToken) else str(row.pk)
    berta = User.objects.get(username="berta")
    act(admin_client, row, name, **scenario.fields, **({"user": berta.pk} if kind == "tasks_api.source" else {}))
    entry = LogEntry.objects.get()
    assert entry.user == admin_user
    assert entry.content_type == ContentType.objects.get_for_model(row)
    assert entry.object_id == key
    assert entry.change_message == scenario.told
    assert timezone.now() - entry.action_time < timedelta(minutes=1)
    assert (entry.action_flag == DELETION) == (name in {"remove", "delete", "delete_selected"})
    assert shown(admin_client, "outcome=done") == 1


def test_what_was_refused_is_written_down_too(admin_client: Client, ann: User) -> None:
    download = new_download(ann, state=DownloadState.COMPLETED)
    act(admin_client, download, "stop")
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.change_message) == (str(download.pk), "Refused: Stop (it is completed).")
    html = admin_client.get(AUDIT).content.decode()
    assert "Stop (it is completed)." in html
    assert (shown(admin_client, "outcome=refused"), shown(admin_client, "outcome=done")) == (1, 0)


def test_what_cannot_be_written_down_is_not_done(
    admin_client: Client, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    download = new_download(ann)

    def fail(**_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(audit, "record", fail)
    with pytest.raises(RuntimeError):
        act(admin_client, download, "stop")
    assert Download.objects.get().state == DownloadState.QUEUED


# By the API and the command line ---------------------------------------------------------------------------------


def deleted(client: Client, user: User) -> int:
    return client.delete(f"/files/{new_file(user).pk}").status_code


def aborted(client: Client, user: User) -> int:
    return client.delete(f"/ehealth-base/multipart/upload/{new_upload(user).pk}").status_code


def stopped(client: Client, user: User) -> int:
    return client.post(f"/async/stop/{new_zip(user).pk}").status_code


def started(client: Client, user: User) -> int:
    return client.post(f"/download/order/{new_order(user).pk}/async/start").status_code


def sync_stopped(client: Client, user: User) -> int:
    return client.post(f"/api/file/raylinksync/{new_job(new_case(user)).pk}/stop").status_code


def ordered(client: Client, user: User) -> int:
    file = StoredFile.objects.create(owner=user, name="film.mov", path=f"/{uuid.uuid4()}", size=1)
    lists.add(user=user, file_id=file.pk)
    sent = {"zipFileName": "films.zip"}
    return client.put(f"/download/list/{user.pk}/order", sent, content_type="application/json").status_code


def taken_off(client: Client, user: User) -> int:
    sent = [{"fileHandleId": "1"}]
    return client.post(f"/download/list/{user.pk}/remove", sent, content_type="application/json").status_code


def cleared(client: Client, user: User) -> int:
    return client.delete(f"/download/list/{user.pk}").status_code


def put_on(client: Client, user: User) -> int:
    sent = {"fileHandleId": str(new_file(user).pk)}
    return client.post(f"/download/list/{user.pk}/add", sent, content_type="application/json").status_code


def many_put_on(client: Client, user: User) -> int:
    path, sent = f"/download/list/{user.pk}/add/async/start", {"query": {"text": "film"}}
    return client.post(path, sent, content_type="application/json").status_code


def reported(kind: type[Task], **fields: Any) -> Callable[[Client, User], int]:
    def report(client: Client, user: User) -> int:
        task = new_task(kind, user, status=Status.NOT_STARTED)
        return client.patch(f"{PATHS[kind]}{task.pk}/", fields, content_type="application/json").status_code

    return report


@pytest.mark.parametrize(
    ("done", "told"),
    [
        (ordered, "Ordered. By the API."),
        (taken_off, "Took files off the list. By the API."),
        (cleared, "Took all files off the list. By the API."),
        (put_on, "Put a file on the list. By the API."),
        (many_put_on, "Asked for files to be put on the list. By the API."),
        (reported(PublicUpload, status=3, percent=7), "Reported uploading. By the API."),
        (
            reported(PrivateUpload, status=8, hash=CID, size=9, name="key"),
            "Reported completed, with hash, name, size. By the API.",
        ),
        (reported(DownloadTask, status=9), "Reported failed. By the API."),
        (deleted, "Deleted. By the API."),
        (aborted, "Removed. By the API."),
        (stopped, "Stopped. By the API."),
        (started, "Started. By the API."),
        (sync_stopped, "Stopped. By the API."),
    ],
)
def test_what_staff_does_with_anothers_by_the_api_is_written_down(
    done: Callable[[Client, User], int], told: str, admin_user: User, ann: User
) -> None:
    assert done(client_of(ann), ann) in (200, 202, 204)
    assert not LogEntry.objects.exists()
    Order.objects.all().delete()
    StoredFile.objects.all().delete()
    assert done(client_of(admin_user), ann) in (200, 202, 204)
    entry = LogEntry.objects.get()
    assert (entry.user, entry.change_message) == (admin_user, told)


def test_how_far_anothers_task_has_come_is_no_deed(admin_user: User, ann: User) -> None:
    task = new_task(PublicUpload, ann, status=Status.UPLOADING, percent=40)
    sent = {"status": 3, "percent": 41}
    path = f"{PATHS[PublicUpload]}{task.pk}/"
    assert client_of(admin_user).patch(path, sent, content_type="application/json").status_code == 200
    assert not LogEntry.objects.exists()


def test_what_the_api_refuses_is_not_written_down(admin_user: User, ann: User) -> None:
    job = new_zip(ann, "stopped")
    assert client_of(admin_user).post(f"/async/stop/{job.pk}").status_code == 409
    assert not LogEntry.objects.exists()


def test_a_token_that_is_made_on_the_command_line_is_written_down(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("create_token", "--user", "carl", "--staff")
    token = capsys.readouterr().out.split()[-1]
    made, given = LogEntry.objects.order_by("id")
    assert (made.object_repr, made.change_message) == ("carl", "Made staff and superuser. On the command line.")
    assert re.fullmatch(r"Made, good until [\d-]+\. On the command line\.", given.change_message)
    assert (given.object_id, given.object_repr) == (None, f"{token[:8]}… of carl")
    somebody = User.objects.get(username=audit.COMMAND_LINE)
    assert {made.user, given.user} == {somebody}
    assert not somebody.is_active
    assert not somebody.has_usable_password()


# It stays --------------------------------------------------------------------------------------------------------


@pytest.fixture
def entry(admin_client: Client, ann: User) -> LogEntry:
    act(admin_client, new_download(ann), "stop")
    return LogEntry.objects.get()


def test_nobody_changes_an_entry(admin_client: Client, entry: LogEntry) -> None:
    page = f"{AUDIT}{entry.pk}"
    html = admin_client.get(f"{page}/change/").content.decode()
    assert "Stopped." in html
    assert 'name="_save"' not in html
    assert admin_client.post(f"{page}/change/", {"change_message": "Nothing."}).status_code == 403
    assert admin_client.post(f"{page}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.get(f"{AUDIT}add/").status_code == 403
    sent = {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"}
    admin_client.post(AUDIT, sent)
    assert LogEntry.objects.get().change_message == "Stopped."


def test_who_has_done_something_stays_with_it(admin_client: Client, ann: User) -> None:
    other = User.objects.create_superuser("other")
    client = Client()
    client.force_login(other)
    act(client, new_download(ann), "stop")
    question = admin_client.post("/admin/auth/user/", {"action": "delete_selected", "_selected_action": [other.pk]})
    assert "1 entries of the audit by other: make the user inactive instead" in question.content.decode()
    act_again = {"action": "delete_selected", "_selected_action": [other.pk], "post": "yes"}
    admin_client.post("/admin/auth/user/", act_again)
    admin_client.post(f"/admin/auth/user/{other.pk}/delete/", {"post": "yes"})
    assert User.objects.filter(pk=other.pk).exists()
    assert LogEntry.objects.filter(user=other).count() == 1


def test_it_is_shown_to_who_may_see_it(client: Client, entry: LogEntry) -> None:
    clerk = new_user("clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_download"))
    client.force_login(clerk)
    assert client.get(AUDIT).status_code == 403
    assert client.get(f"{AUDIT}{entry.pk}/change/").status_code == 403
    assert (
        "All of it in the audit"
        not in client.get(f"/admin/transfers/download/{entry.object_id}/history/").content.decode()
    )


def test_it_is_filtered_by_user_kind_and_day(
    admin_client: Client, admin_user: User, entry: LogEntry, ann: User
) -> None:
    audit.record(by=ann, row=new_case(ann), what="Asked to sync up.")
    LogEntry.objects.filter(user=ann).update(action_time=timezone.now() - timedelta(days=40))
    kind = ContentType.objects.get_for_model(Download)
    since = quote(f"{timezone.now() - timedelta(days=1):%Y-%m-%d %H:%M:%S+00:00}")
    assert shown(admin_client) == BOTH
    assert shown(admin_client, f"user__id__exact={admin_user.pk}") == 1
    assert shown(admin_client, f"content_type__id__exact={kind.pk}") == 1
    assert shown(admin_client, f"action_time__gte={since}") == 1
    assert shown(admin_client, "q=sync") == 1
    html = admin_client.get(AUDIT).content.decode()
    assert f'href="/admin/transfers/download/{entry.object_id}/change/"' in html


def test_the_history_of_a_row_leads_to_all_of_it(admin_client: Client, entry: LogEntry, ann: User) -> None:
    act(admin_client, new_download(ann), "stop")
    html = admin_client.get(f"/admin/transfers/download/{entry.object_id}/history/").content.decode()
    [address] = re.findall(r'href="([^"]+)">All of it in the audit', html)
    assert shown(admin_client, address.partition("?")[2].replace("&amp;", "&")) == 1
