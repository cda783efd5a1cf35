"""The admin of cases: what it shows, what it has done, and what it refuses."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.staticfiles.finders import find
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from sync.admin.job import SHOWN
from sync.models import Case, Failure, Job, ManifestEntry
from sync.models.job import LIVE, Desired, JobState
from sync.services import case as cases
from tests.integration.admin_pages import act, operate, page_of, text, words
from tests.integration.sync.rows import new_case, new_failures, new_job, new_plan
from tests.integration.transfers.rows import use
from transfers.admin.outcome import TOLD
from transfers.admin.tables import ON_A_PAGE
from transfers.models import StoredFile

pytestmark = pytest.mark.django_db

CASES = "/admin/sync/case/"
JOBS = "/admin/sync/job/"
NOBODYS = "00000000-0000-0000-0000-000000000000"
HOSTILE = '<script>alert("x")</script>'
PATIENT = "P-7777-secret"
MIB = 2**20
STATES = {
    "queued": {},
    "running": {},
    "stopping": {"state": "running", "desired": Desired.STOP},
    "stopped": {},
    "completed": {},
    "completed_with_failures": {"failures_count": 2},
    "failed": {"error": "no answer", "error_code": "case_api_failed"},
}
"""What a job of each state has in its row besides; a stopping one is a running one."""


@pytest.fixture(autouse=True)
def folders(settings: Settings, tmp_path: Path) -> Path:
    """Cases and sources of this test's own."""
    use(settings, sync_save_path=tmp_path / "cases", sync_source_roots=[tmp_path / "sources"])
    return tmp_path


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def case(ann: User) -> Case:
    return new_case(ann, pid=PATIENT, projectname="jaw")


@pytest.fixture
def staff(client: Client) -> Callable[..., Client]:
    """A client of a member of staff with these permissions, and no others."""

    def made(*codenames: str) -> Client:
        user = User.objects.create_user("clerk", is_staff=True)
        found = Permission.objects.filter(codename__in=codenames)
        assert found.count() == len(codenames)
        user.user_permissions.set(found)
        client.force_login(user)
        return client

    return made


def in_state(case: Case, state: str, **facts: Any) -> Job:
    now = timezone.now()  # finer than SQLite's own clock, by which two jobs might be one as late as the other
    return new_job(case, **{"state": state, "requested_at": now, **STATES[state], **facts})


# The list of cases -----------------------------------------------------------------------------------------------


def test_the_list_tells_whose_cases_where_and_how_far(admin_client: Client, case: Case) -> None:
    in_state(case, "failed", files_total=1)
    numbers = {"files_done": 12, "files_total": 3411, "bytes_done": 3 * MIB, "bytes_total": 8 * MIB}
    job = in_state(case, "running", is_planned=True, **numbers)
    html = text(admin_client.get(CASES))
    shown = "jaw patient P-7777-secret group lab TEST-PROJECT ap-northeast-2 running sync up "
    assert shown + "12 of 3,411 files · 3.0 MiB of 8.0 MiB · 37 %" in words(html)
    assert 'value="3145728" max="8388608"' in html
    assert f'href="{page_of(job)}"' in html
    assert "failed" not in words(html[html.index("jaw") :])


def test_a_case_that_was_never_synced_is_listed(admin_client: Client, case: Case) -> None:
    assert "ap-northeast-2 – –" in words(text(admin_client.get(CASES)))  # noqa: RUF001 - dashes of empty cells
    assert "Never synced." in words(text(admin_client.get(page_of(case))))


@pytest.mark.parametrize("term", ["jaw", PATIENT, "clinic-9", "lab-9", "a/prefix", "berta", "uuid"])
def test_the_search_finds_cases_by(term: str, admin_client: Client, ann: User) -> None:
    facts = {"owner_group_id": "clinic-9", "lab_id": "lab-9", "s3keypath": "a/prefix"}
    wanted = new_case(User.objects.create_user("berta"), pid=PATIENT, projectname="jaw", **facts)
    other = new_case(ann)
    html = text(admin_client.get(CASES, {"q": str(wanted.uuid) if term == "uuid" else term}))
    assert page_of(wanted) in html
    assert page_of(other) not in html


@pytest.mark.parametrize("state", [*STATES, "none"])
def test_the_filter_finds_cases_by_their_last_jobs(state: str, admin_client: Client, ann: User) -> None:
    found = {name: new_case(ann) for name in [*STATES, "none"]}
    for name, case in found.items():
        if name != "none":
            in_state(case, "failed" if name != "failed" else "completed")
            in_state(case, name)
    html = text(admin_client.get(CASES, {"last": "running" if state == "stopping" else state}))
    expected = {"running", "stopping"} if state in ("running", "stopping") else {state}
    assert {name for name, case in found.items() if page_of(case) in html} == expected


@pytest.mark.parametrize("path", [CASES, JOBS])
def test_a_longer_list_takes_no_more_queries(path: str, admin_client: Client, ann: User) -> None:
    def grow(count: int) -> None:
        for _ in range(count):
            case = new_case(ann)
            in_state(case, "completed")
            in_state(case, "running")

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            text(admin_client.get(path))
        return len(queries)

    grow(2)
    before = count()
    grow(15)
    assert count() == before
    assert before <= 14


# The page of a case ----------------------------------------------------------------------------------------------


def test_the_page_tells_where_a_case_lies_and_how_its_syncs_went(
    admin_client: Client, case: Case, folders: Path
) -> None:
    in_state(case, "failed", error="no answer")
    job = in_state(case, "completed", up=False, files_done=3, files_total=3, bytes_done=MIB, bytes_total=MIB)
    entries = [ManifestEntry(case=case, path=b"a", size=MIB), ManifestEntry(case=case, path=b"b", size=MIB)]
    ManifestEntry.objects.note(entries)
    html = text(admin_client.get(page_of(case)))
    shown = words(html)
    for expected in (
        "completed sync down 3 files · 1.0 MiB",
        "sync up failed nothing was done 0",
        "All 2",
        str(case.uuid),
        "this service",
        f"{folders}/cases/group/{PATIENT}/jaw",
        f"cloud/ap-northeast-2/{case.s3keypath}",
        "2 files · 2.0 MiB",
    ):
        assert expected in shown
    assert f'href="{page_of(job)}"' in html
    assert f'href="{JOBS}?case__id__exact={case.pk}"' in html
    assert page_of(job) in text(admin_client.get(JOBS, {"case__id__exact": case.pk}))


def test_a_region_that_is_configured_no_more_is_told(admin_client: Client, settings: Settings, case: Case) -> None:
    use(settings, sync_regions={"eu-west-1": settings.ENVIRONMENT.folder_cloud("eu-west-1")})
    assert "No cloud is configured for the region" in words(text(admin_client.get(page_of(case))))


def test_the_error_of_the_last_job_stands_on_top(admin_client: Client, case: Case) -> None:
    in_state(case, "failed")
    shown = words(text(admin_client.get(page_of(case))))
    assert shown.index("no answer case_api_failed") < shown.index("Asked for State")


def test_the_stored_files_of_a_case_are_listed_without_telling_the_patient_to_proxies(
    admin_client: Client, case: Case, ann: User
) -> None:
    folder = cases.folder(case=case)
    facts = {"owner": ann, "folder": case.folder}
    names = [f"scans/{number:03}.stl" for number in range(ON_A_PAGE + 5)]
    rows = [StoredFile(name=name, path=str(folder / name), size=2048, **facts) for name in names]
    StoredFile.objects.bulk_create(rows)
    StoredFile.objects.create(name="x", path=f"{folder}-of-another/x", size=1, **facts)
    html = text(admin_client.get(page_of(case)))
    address = f"{CASES}{case.pk}/files/"
    assert f'<a href="{address}" class="transfer-link">{len(names)}</a>' in html
    first, second = (text(admin_client.get(address, {"page": page})) for page in (1, 2))
    assert f"{names[0]} 2.0 KiB" in words(first)
    assert f"{len(names)} in all" in words(first)
    assert names[-1] in second
    assert names[-1] not in first
    assert "of-another" not in first + second
    stored = StoredFile.objects.get(path=str(folder / names[0]))
    assert f'href="/admin/transfers/storedfile/{stored.pk}/change/"' in first
    assert not [link for link in re.findall(r'href="([^"]*)"', html + first) if PATIENT in link]


# Jobs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [state for state in STATES if state != "stopping"])
def test_the_states_lead_to_their_jobs(state: str, admin_client: Client, ann: User) -> None:
    made = {name: in_state(new_case(ann), name) for name in STATES}
    html = text(admin_client.get(JOBS, {"state__exact": state}))
    expected = {state, "stopping"} if state == "running" else {state}
    assert {name for name, job in made.items() if page_of(job) in html} == expected
    nav = "All 7 Queued 1 Running 2 Stopped 1 Completed 1 Completed with failures 1 Failed 1"
    assert nav in words(html)


def test_the_list_of_jobs_tells_how_fast_they_are(admin_client: Client, case: Case) -> None:
    numbers = {"files_done": 1, "files_total": 4, "bytes_done": MIB, "bytes_total": 4 * MIB, "failures_count": 3}
    new_job(case, state="running", up=False, delete_missing=True, bytes_per_second=MIB, **numbers)
    shown = words(text(admin_client.get(JOBS)))
    expected = "jaw patient P-7777-secret running sync down, deleting 1 of 4 files · 1.0 MiB of 4.0 MiB · 25 % "
    assert expected + "1.0 MiB/s 3 s 3" in shown


@pytest.mark.parametrize(
    ("state", "facts", "shown"),
    [
        ("queued", {}, "waits for a worker"),
        ("running", {}, "looks what there is to do"),
        ("completed", {}, "nothing was to be done"),
        ("completed", {"dry_run": True}, "its plan is ready"),
        ("stopped", {}, "nothing was done"),
        ("completed", {"files_done": 1, "files_total": 1}, "1 file · 0 B"),
        ("stopped", {"files_done": 1, "files_total": 2}, "1 of 2 files · 0 B of 0 B · 50 %"),
        ("running", {"files_total": 2, "bytes_done": 9, "bytes_total": 8}, "0 of 2 files · 9 B of 8 B · 100 %"),
    ],
)
def test_how_much_is_done_is_told_in_words(
    state: str, facts: dict[str, Any], shown: str, admin_client: Client, case: Case
) -> None:
    job = in_state(case, state, **facts)
    for path in (CASES, JOBS, page_of(job), page_of(case)):
        assert shown in words(text(admin_client.get(path)))


@pytest.mark.parametrize("term", ["jaw", PATIENT, "group-9", "berta", "case", "job"])
def test_the_search_finds_jobs_by(term: str, admin_client: Client, ann: User) -> None:
    berta = User.objects.create_user("berta")
    case = new_case(ann, pid=PATIENT, projectname="jaw", owner_group_id="group-9")
    wanted, other = in_state(case, "completed", user=berta), in_state(new_case(ann), "completed")
    term = {"case": str(case.uuid), "job": str(wanted.pk)}.get(term, term)
    html = text(admin_client.get(JOBS, {"q": term}))
    assert page_of(wanted) in html
    assert page_of(other) not in html


def test_the_page_tells_in_one_place_what_happened(admin_client: Client, case: Case) -> None:
    job = in_state(
        case,
        "running",
        lease_owner="alpha.1234:7:99-f00",
        source="/data/sources/jaw",
        current_files=["scans/upper jaw.stl", HOSTILE],
        fruitless_attempts=2,
    )
    html = text(admin_client.get(page_of(job)))
    for expected in ("Worker alpha.1234:7", "scans/upper jaw.stl", "Attempts in vain 2", "/data/sources/jaw", PATIENT):
        assert expected in words(html)
    assert HOSTILE not in html
    assert f'href="{page_of(case)}"' in html


def test_the_page_begins_the_list_of_failures_and_another_goes_on(admin_client: Client, case: Case) -> None:
    count = ON_A_PAGE + 7
    job = in_state(case, "completed_with_failures", failures_count=count)
    Failure.objects.create(job=job, path=f"scan/{HOSTILE}", code="skipped", reason="it is a link")
    new_failures(job, count - 1)
    html = text(admin_client.get(page_of(job)))
    assert "scan/&lt;script&gt;" in html
    assert "it is a link skipped" in words(html)
    assert (f"scan/{SHOWN - 2}<" in html, f"scan/{SHOWN - 1}<" in html) == (True, False)
    assert f"All {count}" in words(html)
    first, second = (text(admin_client.get(f"{JOBS}{job.pk}/failures/", {"page": page})) for page in (1, 2))
    assert f"reason {count - 2}" in second
    assert f"reason {count - 2}" not in first
    assert HOSTILE not in html + first
    assert f'href="{page_of(job)}"' in first


def test_the_plan_of_a_dry_run_is_counted_and_paged(admin_client: Client, case: Case) -> None:
    job = in_state(case, "completed", dry_run=True)
    actions = new_plan(job, 2 * ON_A_PAGE + 20)
    job.batches.create(stage=3, number=99, actions=[{"action": "delete", "path": "z", "size": MIB, "reason": "gone"}])
    shown = words(text(admin_client.get(page_of(job))))
    assert "upload 220 · 23.5 KiB delete 1 · 1.0 MiB" in shown
    assert "All 221" in shown
    address = f"{JOBS}{job.pk}/plan/"
    pages = [words(text(admin_client.get(address, {"page": page}))) for page in (1, 2, 3)]
    for number, page in enumerate(pages):
        here = actions[number * ON_A_PAGE : (number + 1) * ON_A_PAGE]
        assert all(f"upload {action['path']} " in page for action in here)
        assert sum(f"upload {action['path']} " in page for action in actions) == len(here)
    assert "delete z 1.0 MiB gone" in pages[2]
    assert words(text(admin_client.get(address, {"page": "99"}))) == pages[2]


def test_a_dry_run_that_found_nothing_says_so(admin_client: Client, case: Case) -> None:
    job = in_state(case, "completed", dry_run=True)
    for path in (page_of(job), f"{JOBS}{job.pk}/plan/"):
        assert "Both sides are the same: nothing would be done." in words(text(admin_client.get(path)))


@pytest.mark.parametrize(("state", "dry_run"), [("running", True), ("completed", False)])
def test_there_is_no_plan_before_a_dry_runs_end(
    state: str,
    dry_run: bool,  # noqa: FBT001 - a parameter
    admin_client: Client,
    case: Case,
) -> None:
    job = in_state(case, state, dry_run=dry_run)
    assert "/plan/" not in text(admin_client.get(page_of(job)))
    assert admin_client.get(f"{JOBS}{job.pk}/plan/").status_code == 404


def test_the_pages_run_no_script_of_their_own(admin_client: Client, case: Case) -> None:
    job = in_state(case, "running", current_files=[HOSTILE])
    assert find("sync/admin.js")
    assert find("sync/admin.css")
    assert find("transfers/upload/words.js")
    for path in (CASES, JOBS, page_of(case), page_of(job)):
        html = text(admin_client.get(path))
        assert '<script src="/static/sync/admin.js" type="module"></script>' in html
        assert '<link href="/static/sync/admin.css"' in html
        assert not re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", html)
        ours = html[html.index("data-live") : html.rindex("data-live")]
        assert not re.findall(r"\s(?:style|on[a-z]+)=", ours)


# What can be had done --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "up", "dry_run", "done"),
    [
        ("sync_up", True, False, "Asked to sync up"),
        ("sync_down", False, False, "Asked to sync down"),
        ("dry_run_up", True, True, "Asked for a dry run up"),
        ("dry_run_down", False, True, "Asked for a dry run down"),
    ],
)
def test_a_case_is_synced(  # noqa: PLR0917 - fixtures
    name: str,
    up: bool,  # noqa: FBT001 - a parameter
    dry_run: bool,  # noqa: FBT001 - a parameter
    done: str,
    admin_client: Client,
    admin_user: User,
    case: Case,
    django_capture_on_commit_callbacks: Any,
) -> None:
    in_state(case, "failed")
    with django_capture_on_commit_callbacks() as rung:
        assert operate(admin_client, case, name) == [f"{done}: case {case.uuid}."]
    job = Job.objects.live().get()
    assert (job.case, job.user, job.up, job.dry_run, job.delete_missing) == (case, admin_user, up, dry_run, False)
    assert len(rung) == 1
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id, entry.change_message) == (admin_user, str(case.pk), f"{done}.")


def test_a_case_is_not_synced_twice_at_once(admin_client: Client, case: Case) -> None:
    in_state(case, "running")
    assert operate(admin_client, case, "sync_up") == [f"case {case.uuid}: The case is being synced already."]
    assert Job.objects.count() == 1
    assert LogEntry.objects.get().change_message == "Refused: Sync up (already_syncing)."


@pytest.mark.parametrize("phase", ["copying", "syncing"])
def test_a_case_whose_first_copy_is_not_whole_is_copied_on(
    phase: str, admin_client: Client, case: Case, folders: Path
) -> None:
    """Not even if the rest of it was synced already: files may have failed in the copy."""
    source = folders / "sources" / "jaw"
    source.mkdir(parents=True)
    in_state(case, "stopped", source=str(source), phase=phase)
    in_state(case, "completed", source=str(source), dry_run=True, phase="syncing")
    operate(admin_client, case, "sync_up")
    assert Job.objects.live().get().source == str(source)


@pytest.mark.parametrize("why", ["the folder is gone", "the copy is whole"])
def test_a_case_is_not_copied_on_for_ever(why: str, admin_client: Client, case: Case, folders: Path) -> None:
    source = folders / "sources" / "jaw"
    source.mkdir(parents=True)
    in_state(case, "stopped", source=str(source), phase="copying")
    in_state(case, "completed", source=str(source), dry_run=True, phase="syncing")
    if why == "the folder is gone":
        source.rmdir()
    else:
        Case.objects.update(copied_at=timezone.now())
    operate(admin_client, case, "sync_up")
    assert not Job.objects.live().get().source


@pytest.mark.parametrize("row", ["case", "job"])
def test_stop_ends_what_nobody_holds_at_once(row: str, admin_client: Client, case: Case) -> None:
    job = in_state(case, "queued")
    assert operate(admin_client, case if row == "case" else job, "stop") == [
        f"Stopped: {case if row == 'case' else job}."
    ]
    job.refresh_from_db()
    assert job.state == JobState.STOPPED
    assert LogEntry.objects.count() == 1


def test_stop_asks_the_worker_that_holds_it(admin_client: Client, case: Case) -> None:
    job = in_state(case, "running")
    operate(admin_client, case, "stop")
    job.refresh_from_db()
    assert (job.state, job.desired) == (JobState.RUNNING, Desired.STOP)
    assert "stopping" in words(text(admin_client.get(page_of(case))))
    assert operate(admin_client, case, "stop") == [f"case {case.uuid}: The job is not running."]


def test_what_does_not_run_cannot_be_stopped(admin_client: Client, case: Case) -> None:
    job = in_state(case, "completed")
    assert operate(admin_client, case, "stop") == [f"case {case.uuid}: The case is not being synced."]
    assert operate(admin_client, job, "stop") == [f"sync {job.pk}: The job is not running."]


def test_a_job_is_asked_for_again(admin_client: Client, case: Case) -> None:
    job = in_state(case, "stopped", up=False, delete_missing=True, dry_run=True)
    assert operate(admin_client, job, "again") == [f"Asked for again: sync {job.pk}."]
    again = Job.objects.live().get()
    assert (again.case, again.up, again.delete_missing, again.dry_run) == (case, False, True, True)
    assert operate(admin_client, job, "again") == [f"sync {job.pk}: The case is being synced already."]


@pytest.mark.parametrize("state", STATES)
def test_the_pages_offer_what_can_be_done(state: str, admin_client: Client, case: Case) -> None:
    job = in_state(case, state)
    live = STATES[state].get("state", state) in LIVE
    stops = ["stop"] if live and state != "stopping" else []
    offered = {row: re.findall(r"/operate/(\w+)/", text(admin_client.get(page_of(row)))) for row in (case, job)}
    assert offered[case] == (stops if live else ["sync_up", "sync_down", "dry_run_up", "dry_run_down"])
    assert offered[job] == (stops if live else ["again"])


def test_bulk_actions_tell_what_became_of_each(admin_client: Client, ann: User) -> None:
    rows = [new_case(ann) for _ in range(TOLD + 2)]
    assert act(admin_client, CASES, "dry_run_down", *rows) == [f"Asked for a dry run down: {len(rows)} cases."]
    refused = act(admin_client, CASES, "sync_up", *rows[:2], new := new_case(ann))
    assert refused[0] == f"Asked to sync up: case {new.uuid}."
    assert {line.partition(": ")[2] for line in refused[1:]} == {"The case is being synced already."}
    jobs = list(Job.objects.live())
    assert act(admin_client, JOBS, "stop", *jobs) == [f"Stopped: {len(jobs)} jobs."]
    assert act(admin_client, JOBS, "again", jobs[0]) == [f"Asked for again: sync {jobs[0].pk}."]
    assert act(admin_client, CASES, "stop", jobs[0].case) == [f"Stopped: {jobs[0].case}."]


def test_no_patient_gets_into_logs_history_or_messages(
    admin_client: Client, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = operate(admin_client, case, "sync_up") + operate(admin_client, case, "stop")
    job = Job.objects.get()
    said += operate(admin_client, job, "again")
    said += [str(row) for row in (case, job)]
    said += [f"{entry} {entry.object_repr} {entry.change_message}" for entry in LogEntry.objects.all()]
    said += [record.getMessage() for record in caplog.records if record.name != "django.db.backends"]
    assert LogEntry.objects.count() == 3
    assert not [line for line in said if PATIENT in line or "jaw" in line]


# Who may do what -------------------------------------------------------------------------------------------------


def test_who_may_only_look_has_no_buttons(staff: Callable[..., Client], case: Case) -> None:
    job = in_state(case, "running")
    viewer = staff("view_case", "view_job")
    for row, path in ((case, CASES), (job, JOBS)):
        assert "/operate/" not in text(viewer.get(page_of(row)))
        assert 'name="action"' not in text(viewer.get(path))
        assert viewer.post(f"{path}{row.pk}/operate/stop/").status_code == 403
        viewer.post(path, {"action": "stop", "_selected_action": [str(row.pk)]})
    job.refresh_from_db()
    assert job.live


def test_who_may_look_at_cases_alone_sees_no_jobs(staff: Callable[..., Client], case: Case) -> None:
    job = in_state(case, "completed", dry_run=True)
    viewer = staff("view_case")
    for path in (JOBS, page_of(job), f"{JOBS}{job.pk}/plan/", f"{JOBS}{job.pk}/failures/"):
        assert viewer.get(path).status_code == 403
    assert text(viewer.get(f"{CASES}{case.pk}/files/"))


def test_only_staff_gets_in(client: Client, case: Case, ann: User) -> None:
    job = in_state(case, "queued", dry_run=True)
    client.force_login(ann)
    for path in (CASES, JOBS, page_of(case), page_of(job), f"{CASES}{case.pk}/files/", f"{JOBS}{job.pk}/plan/"):
        response = client.get(path)
        assert (response.status_code, response["Location"].split("?")[0]) == (302, "/admin/login/")
    client.post(f"{JOBS}{job.pk}/operate/stop/")
    job.refresh_from_db()
    assert job.live


def test_looking_changes_nothing(admin_client: Client, case: Case) -> None:
    job = in_state(case, "queued")
    response = admin_client.get(f"{JOBS}{job.pk}/operate/stop/")
    assert (response.status_code, response["Location"]) == (302, page_of(job))
    job.refresh_from_db()
    assert job.live


def test_another_site_cannot_press_the_buttons(admin_user: User, case: Case) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.post(f"{CASES}{case.pk}/operate/sync_up/").status_code == 403
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "path",
    [
        f"{CASES}999999/operate/stop/",
        f"{CASES}no-number/operate/stop/",
        f"{CASES}{{case}}/operate/burn/",
        f"{CASES}999999/files/",
        f"{JOBS}{NOBODYS}/operate/stop/",
        f"{JOBS}no-uuid/operate/stop/",
        f"{JOBS}{NOBODYS}/plan/",
        f"{JOBS}{NOBODYS}/failures/",
    ],
)
def test_what_does_not_exist_is_not_found(path: str, admin_client: Client, case: Case) -> None:
    assert admin_client.post(path.format(case=case.pk)).status_code == 404


@pytest.mark.parametrize("verb", ["add", "change", "delete"])
def test_nothing_can_be_written(verb: str, admin_client: Client, case: Case) -> None:
    job = in_state(case, "completed")
    for prefix, row in ((CASES, case), (JOBS, job)):
        path = f"{prefix}add/" if verb == "add" else f"{prefix}{row.pk}/{verb}/"
        assert admin_client.post(path, {"post": "yes"}).status_code == 403
        row.refresh_from_db()
    for path in (CASES, JOBS):
        assert "delete_selected" not in text(admin_client.get(path))
