"""The dashboard: its numbers are those of the rows, its links lead to just these, and all see only what they may."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.contrib.staticfiles.finders import find
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from config import presence
from config.dashboard import system, throughput
from sync.models.job import JobState
from tasks_api.models import DownloadTask, PrivateUpload, PublicUpload, Status
from tests.integration.admin_pages import text, words
from tests.integration.sync.rows import new_case, new_job
from tests.integration.tasks_api.rows import new_task
from tests.integration.transfers.rows import in_seconds, new_download, new_user
from transfers import tally
from transfers.models import DownloadAttempt, ListJob, Order, StoredFile, Upload
from transfers.models.download import DownloadState
from transfers.tally import Tally

pytestmark = pytest.mark.django_db

PAGE = "/admin/"
LIVE = "/admin/dashboard/live/"
PATIENT = "P-0001"
QUERIES = 60
"""What one look at everything may ask of the database."""


@pytest.fixture(autouse=True)
def _asked_anew() -> None:
    """Nothing of another test's is remembered."""
    system._kept.forget()
    system._health.cache_clear()


@pytest.fixture
def ann() -> User:
    return new_user()


def section(html: str, name: str) -> str:
    """One card of the page."""
    return html[html.index(f'id="{name}"') :].partition("</section>")[0]


def rows_of(client: Client, address: str) -> int:
    """How many rows the list has at this address."""
    response = client.get(address.replace("&amp;", "&"))
    assert response.status_code == 200, address
    # An unknown filter leads back to the list with an error.
    count: int = response.context["cl"].result_count
    return count


def new_upload(owner: User, **facts: Any) -> Upload:
    values = {"catalog": "studio", "name": "film.mov", "part_size": 2**20, "size": 4000, **facts}
    return Upload.objects.create(owner=owner, **values)


def new_list_job(user: User, state: str = "queued", **facts: Any) -> ListJob:
    order = Order.objects.create(user=user, zip_file_name="films.zip", files_count=1, total_bytes=1000)
    if state == "running":
        facts = {"lease_epoch": 1, "lease_expires_at": in_seconds(60), "lease_owner": "x:1:2", **facts}
    elif state != "queued":
        facts = {"ended_at": timezone.now(), **facts}
    return ListJob.objects.create(user=user, kind="zip", order=order, state=state, bytes_total=1000, **facts)


def everything(ann: User) -> None:
    """Some work of each kind in each state, some of it stuck."""
    for state in DownloadState:
        new_download(ann, state=state, size=1000, bytes_done=400)
    new_download(ann, next_attempt_at=in_seconds(300), fruitless_attempts=2)
    new_download(ann, next_attempt_at=in_seconds(-300))
    new_download(ann, state=DownloadState.RUNNING, lease_expires_at=in_seconds(-60))
    for state in ("open", "completing", "completed", "removing"):
        new_upload(ann, state=state, received=1500)
    new_upload(ann, touched_at=timezone.now() - timedelta(hours=3), received=10)
    for state in ("queued", "running", "completed", "failed", "stopped", "expired"):
        new_list_job(ann, state)
    for job_state in JobState:
        new_job(new_case(ann, pid=PATIENT), state=job_state)
    for kind in (PublicUpload, PrivateUpload, DownloadTask):
        for status in (Status.NOT_STARTED, Status.COMPLETED, Status.FAILED):
            new_task(kind, ann, status=status, percent=100 if status == Status.COMPLETED else 0)
    task = new_task(PublicUpload, ann, status=Status.UPLOADING, percent=40)
    PublicUpload.objects.filter(pk=task.pk).update(updated_at=timezone.now() - timedelta(days=2))
    StoredFile.objects.create(owner=ann, name="film.mov", path=f"/{uuid.uuid4()}", size=5)


# What it tells ---------------------------------------------------------------------------------------------------


def test_a_fresh_service_has_a_page(admin_client: Client) -> None:
    html = text(admin_client.get(PAGE))
    told = words(html)
    for nothing in ("Nothing is being moved.", "Nothing is stuck.", "Nothing has failed.", "Nobody has done anything"):
        assert nothing in told
    assert "Downloads none Uploads none" in words(section(html, "states"))


def test_every_number_leads_to_a_list_of_so_many_rows(admin_client: Client, ann: User) -> None:
    everything(ann)
    html = text(admin_client.get(LIVE))
    found = re.findall(r'<a class="(?:dashboard-count|transfer-link)" href="([^"]+)">[^<]*<b>(\d+)</b>', html)
    assert len(found) > 30
    asked = [parse_qs(urlsplit(address.replace("&amp;", "&")).query) for address, _ in found]
    assert all(asked)
    wrong = [(address, number) for address, number in found if rows_of(admin_client, address) != int(number)]
    assert not wrong


def test_states_are_counted(admin_client: Client, ann: User) -> None:
    for state, count in ((DownloadState.QUEUED, 1), (DownloadState.RUNNING, 2), (DownloadState.FAILED, 3)):
        for _ in range(count):
            new_download(ann, state=state)
    told = words(section(text(admin_client.get(LIVE)), "states"))
    assert "Downloads 1 queued 2 running 3 failed Uploads none" in told


def test_what_is_under_way_has_a_bar(admin_client: Client, ann: User) -> None:
    facts = {"size": 2000, "bytes_done": 500, "bytes_per_second": 100}
    download = new_download(ann, state=DownloadState.RUNNING, save_path="/downloads/film.mov", **facts)
    new_upload(ann, name="scan.zip", received=1000)
    new_list_job(ann, "running", bytes_done=100)
    new_task(PublicUpload, ann, status=Status.UPLOADING, percent=40)
    html = section(text(admin_client.get(LIVE)), "under-way")
    assert f'data-key="transfers.download-{download.pk}"' in html
    bars = re.findall(r'<progress value="(\d+)" max="(\d+)"', html)
    assert bars == [("500", "2000"), ("1000", "4000"), ("100", "1000"), ("40", "100")]
    assert "film.mov download · media.example · ann running 500 B of 2.0 KiB · 25 % 100 B/s 15 s" in words(html)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"next_attempt_at": in_seconds(-300)}, r"No worker has taken it for 5 min( \d+ s)?\."),
        (
            {"next_attempt_at": in_seconds(100), "fruitless_attempts": 2},
            r"Waits for another try in 1 min (3\d|40) s, after source_unreachable \(2 so far in vain\)\.",
        ),
        (
            {"state": "running", "fruitless_attempts": 4},
            r"Is tried in vain, after source_unreachable \(4 so far in vain\)\.",
        ),
        ({"state": "running", "lease_expires_at": in_seconds(-40)}, r"Its worker is gone: its lease ended 4\d s ago\."),
        (
            {"state": "running", "stream_began_at": in_seconds(-600)},
            r"Nothing moves at present; it began 10 min( \d+ s)? ago\.",
        ),
        ({"state": "running", "stream_began_at": in_seconds(-600), "bytes_per_second": 9}, None),
        ({"state": "running", "stream_began_at": in_seconds(-5)}, None),
        ({"next_attempt_at": in_seconds(-5)}, None),
        ({"state": "stopped", "fruitless_attempts": 9}, None),
    ],
)
def test_it_is_told_what_is_stuck_and_why(
    facts: dict[str, Any], why: str | None, admin_client: Client, ann: User
) -> None:
    download = new_download(ann, **facts)
    DownloadAttempt.objects.create(download=download, epoch=1, worker="x", error_code="source_unreachable")
    DownloadAttempt.objects.create(download=download, epoch=2, worker="x")
    told = words(section(text(admin_client.get(LIVE)), "stuck"))
    if why is None:
        assert "Nothing is stuck." in told
    else:
        assert re.search(why, told), told
        assert "Stuck 1 Downloads: 1" in told


def test_uploads_and_tasks_that_nobody_goes_on_with_are_stuck(admin_client: Client, ann: User) -> None:
    ago = timezone.now() - timedelta(hours=2)
    new_upload(ann, touched_at=ago)
    new_upload(ann, touched_at=ago, state="completing")
    new_upload(ann)
    task = new_task(DownloadTask, ann, status=Status.DOWNLOADING)
    DownloadTask.objects.filter(pk=task.pk).update(updated_at=timezone.now() - timedelta(days=1))
    told = words(section(text(admin_client.get(LIVE)), "stuck"))
    assert "Uploads: 2" in told
    assert "Nothing was sent for 2 h" in told
    assert "It is not put together after 2 h" in told
    assert "Its client has told nothing new for 1 d" in told


def test_what_failed_is_told_by_its_code(admin_client: Client, ann: User) -> None:
    for number in range(12):
        ended = timezone.now() - timedelta(minutes=number)
        facts = {"ended_at": ended, "next_attempt_at": ended, "error_code": f"code_{number}", "error": "SECRET text"}
        new_download(ann, state="failed", **facts)
    new_job(new_case(ann), state="completed_with_failures", ended_at=in_seconds(-30))
    html = section(text(admin_client.get(LIVE)), "failures")
    told = re.findall(r"code_\d+|completed with failures", html)
    assert told == ["code_0", "completed with failures", *(f"code_{number}" for number in range(1, 7))]
    assert "SECRET" not in html


def test_kept_files_are_told_by_where_they_came_from(admin_client: Client, ann: User) -> None:
    files = [StoredFile.objects.create(owner=ann, name=f"{n}", path=f"/{n}", size=2**20) for n in range(4)]
    new_download(ann, state="completed", stored_file=files[0])
    new_upload(ann, state="completed", stored_file=files[0])  # the same bytes came twice, and are there once
    new_upload(ann, state="completed", stored_file=files[1])
    new_list_job(ann, "completed", stored_file=files[2])
    StoredFile.objects.create(owner=ann, name="gone", path="/gone", size=2**20, deleted_at=timezone.now())
    told = words(section(text(admin_client.get(LIVE)), "storage"))
    assert "Zips of orders 1 file 1.0 MiB Uploads 2 files 2.0 MiB Downloads 0 files 0 B Cases 1 file 1.0 MiB" in told


@pytest.mark.usefixtures("admin_user")
def test_the_admins_login_leads_there(client: Client) -> None:
    response = client.post("/admin/login/", {"username": "admin", "password": "password"})
    assert (response.status_code, response.headers["Location"]) == (302, PAGE)


# Workers and the last hour ---------------------------------------------------------------------------------------


@pytest.fixture
def counted() -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(settings.REDIS_URL)
    client.flushdb()
    yield client
    client.flushdb()


@pytest.mark.usefixtures("broker")
def test_workers_queues_and_the_last_hour_are_told(admin_client: Client, counted: redis.Redis) -> None:
    for pid, kind in ((77, "worker"), (78, "worker-cpu")):
        told = f'{{"kind": "{kind}", "threads": 8, "busy": 3}}'
        counted.eval(presence._SAY, 1, presence.KEY, f"cellar.0a1b2c3d:{pid}:x", "5", told, "60")
    counts = Tally()
    counts.add(tally_of("download", 3 * 2**20))
    assert counts.flush()
    counts.add(tally_of("download", 2**20), tally_of("sent", 1000))
    assert counts.flush()
    minutes = tally.last_hour()
    assert minutes is not None
    assert sum(minutes["bytes_moved", (("kind", "download"),)]) == 4 * 2**20
    html = text(admin_client.get(LIVE))
    assert "worker 77 on cellar 3 of 8 threads at work" in words(section(html, "workers"))
    assert "worker-cpu 78 on cellar 3 of 8 threads at work" in words(section(html, "workers"))
    assert "transfers 0 lists 0 checksums 0 housekeeping 0" in words(section(html, "workers"))
    moved = section(html, "throughput")
    assert "Fetched from sources 4.0 MiB" in words(moved)
    assert "Sent to clients 1000 B" in words(moved)
    assert "Received in uploads 0 B" in words(moved)
    assert "beat: there is none" in words(html)


@pytest.mark.usefixtures("broker")
def test_a_minute_is_forgotten_after_an_hour(counted: redis.Redis) -> None:
    counts = Tally()
    counts.add(tally_of("download", 1), (tally.counted("retries", kind="download", code="x"), 1))
    assert counts.flush()
    kept = counted.keys(f"{tally.MINUTES_KEY}:*")
    assert len(kept) == 1
    assert 3600 < counted.ttl(kept[0]) <= 3720
    assert set(counted.hkeys(kept[0])) == {b'["bytes_moved", ["kind", "download"]]'}


def tally_of(kind: str, count: int) -> tuple[tally.Counted, int]:
    return tally.counted("bytes_moved", kind=kind), count


def test_a_bar_stands_for_each_minute_that_something_moved_in() -> None:
    assert throughput.bars([0, 100, 1, 50]) == "M1.1 24v-24h.8v24zM2.1 24v-1h.8v1zM3.1 24v-12h.8v12z"
    assert throughput.bars([0] * 60) == ""


# Who sees what ---------------------------------------------------------------------------------------------------


@pytest.fixture
def clerk(client: Client) -> Client:
    """Somebody who may enter the admin, and look at downloads alone."""
    user = new_user("clerk", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_download"))
    client.force_login(user)
    return client


def test_everybody_sees_what_their_lists_would_show(clerk: Client, ann: User) -> None:
    everything(ann)
    for path in (PAGE, LIVE):
        html = text(clerk.get(path))
        assert "running" in section(html, "states")
        told = words(section(html, "states") + section(html, "under-way") + section(html, "failures"))
        assert "Uploads" not in told
        assert "sync" not in told
        assert 'id="actions"' not in html
        assert "Kept, by where it came from" not in html


@pytest.mark.parametrize("path", [PAGE, LIVE])
def test_others_are_asked_to_log_in(path: str, client: Client, ann: User) -> None:
    assert client.get(path)["Location"] == f"/admin/login/?next={path}"
    client.force_login(ann)
    assert client.get(path)["Location"] == f"/admin/login/?next={path}"


def test_no_patient_is_on_it(admin_client: Client, ann: User, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    case = new_case(ann, pid=PATIENT, projectname="upper-jaw")
    new_job(case, state="running", error="upper-jaw", current_files=[PATIENT])
    new_job(new_case(ann, pid=PATIENT, projectname="lower-jaw"), state="failed", error="lower-jaw", error_code="gone")
    html = text(admin_client.get(PAGE))
    assert str(case.uuid) in html
    said = html + "".join(record.getMessage() for record in caplog.records if record.name != "django.db.backends")
    assert PATIENT not in said
    assert "jaw" not in said


# What it costs and is made of ------------------------------------------------------------------------------------


def test_it_asks_as_much_of_few_rows_as_of_many(admin_client: Client, ann: User) -> None:
    asked = []
    for _ in range(2):
        for _ in range(10):
            everything(ann)
        system._kept.forget()
        with CaptureQueriesContext(connection) as queries:
            text(admin_client.get(LIVE))
        asked.append(len(queries))
    assert asked[0] == asked[1] <= QUERIES


def test_it_runs_no_script_of_its_own(admin_client: Client, ann: User) -> None:
    everything(ann)
    assert find("config/dashboard.js")
    assert find("config/dashboard.css")
    html = text(admin_client.get(PAGE))
    assert '<script src="/static/config/dashboard.js" type="module"></script>' in html
    ours = text(admin_client.get(LIVE))
    assert not re.findall(r"<script|<style|\s(?:style|on[a-z]+|x-[a-z]+)=", ours)


def test_names_are_shown_as_text(admin_client: Client, ann: User) -> None:
    new_download(ann, state="running", save_path="/downloads/<script>film.mov")
    html = text(admin_client.get(LIVE))
    assert "<script" not in html
    assert "&lt;script&gt;film.mov" in html
