"""The admin of tasks: what it shows, what it has done, and what it refuses."""

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
from pytest_django.fixtures import Settings

from tasks_api import services
from tasks_api.admin.grants import MOST
from tasks_api.models import DownloadTask, Grant, PrivateUpload, PublicUpload, Report, Series, Source, Status, Task
from tasks_api.services import task as tasks
from tests.integration.admin_pages import choose, page_of, press, text, told, words
from tests.integration.tasks_api.rows import CID, CID_V1, grant, new_download, new_source, new_task
from tests.integration.transfers.rows import use
from transfers.admin.outcome import TOLD
from transfers.services.ipfs import Reachability

pytestmark = pytest.mark.django_db

ROOT = "/admin/tasks_api/"
ATTENTION = f"{ROOT}downloadtask/attention/"
SOURCES = f"{ROOT}source/"
SERIES = f"{ROOT}series/"
LISTS: dict[type[Task], str] = {
    kind: f"{ROOT}{kind._meta.model_name}/" for kind in (PublicUpload, PrivateUpload, DownloadTask)
}
HOSTILE = '<script>alert("x")</script>'
NOW = timezone.now()
EVERY_STATE = [(kind, status) for kind in LISTS for status in kind.statuses()]


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def berta() -> User:
    return User.objects.create_user("berta")


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


@pytest.fixture
def gateway(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A configured gateway that gives CID, and nothing else; what it was asked for."""
    use(settings, ipfs_gateway_url="http://gateway.example")
    asked: list[str] = []

    def reachable(*, cid: str) -> Reachability:
        asked.append(cid)
        return Reachability(cid == CID, 1.2, "" if cid == CID else "it answered 504")

    monkeypatch.setattr("transfers.services.ipfs.reachable", reachable)
    return asked


@pytest.fixture(autouse=True)
def events(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is published."""
    published: list[Any] = []
    monkeypatch.setattr("tasks_api.services.task.publish", published.append)
    return published


def named(html: str, *sources: Source) -> set[str]:
    """Which of these sources are named on the page."""
    return {source.name for source in sources if source.name in html}


def table(known: int, *rows: dict[str, Any]) -> dict[str, Any]:
    """What the browser sends of the table of grants, of which the first `known` are there already."""
    fields = {f"grants-{at}-{name}": value for at, row in enumerate(rows) for name, value in row.items()}
    return {"grants-TOTAL_FORMS": len(rows), "grants-INITIAL_FORMS": known, **fields}


def aged(task: Task, **age: float) -> Task:
    """The task, as if its last change had been so long ago, and as if what waits had begun to then."""
    moment = timezone.now() - timedelta(**age)
    waits = {"waiting_since": moment} if getattr(task, "waiting_since", None) else {}
    type(task)._default_manager.filter(pk=task.pk).update(updated_at=moment, **waits)
    task.refresh_from_db()
    return task


def private_of(source: Source, **facts: Any) -> PrivateUpload:
    PrivateUpload.objects.filter(source=source).update(**facts)
    return PrivateUpload.objects.get(source=source)


# The lists of tasks ----------------------------------------------------------------------------------------------


def test_the_list_of_uploads_tells_what_is_known(admin_client: Client, ann: User) -> None:
    Series.objects.create(pk=7, name="Home")
    upload = new_task(PublicUpload, ann, status=3, percent=61, hash=CID, size=165_051_921, file="a folder")
    aged(upload, hours=2, minutes=5)
    html = text(admin_client.get(LISTS[PublicUpload]))
    shown = f"{upload.source.name} series Home (7) ann uploading 61 % 157.4 MiB {CID[:8]}…{CID[-6:]}"
    assert shown in words(html)
    assert "2 h 5 min ago" in words(html)
    assert '<progress value="61" max="100"' in html


def test_the_list_of_downloads_tells_whose_block_is_needed(admin_client: Client, ann: User, berta: User) -> None:
    source = new_source(ann)
    private_of(source, status=3, percent=5)
    new_download(source, berta, status=4, percent=37, granted=False)
    html = words(text(admin_client.get(LISTS[DownloadTask])))
    assert f"{source.name} series 7 berta ann downloading revoked 37 % uploading" in html


@pytest.mark.parametrize(("kind", "status"), EVERY_STATE)
def test_the_states_lead_to_their_tasks(kind: type[Task], status: Status, admin_client: Client, ann: User) -> None:
    made = {state: new_task(kind, ann, status=state, percent=100 if state == 8 else 0) for state in kind.statuses()}
    html = text(admin_client.get(LISTS[kind], {"status__exact": status.value}))
    assert named(html, *(task.source for task in made.values())) == {made[status].source.name}
    links = " ".join(f"{state.label.capitalize()} 1" for state in kind.statuses())
    # A source that is made for another kind of task may bring tasks of this kind with it.
    if kind is not PublicUpload:
        assert f"All {len(made)} {links}".lower() in words(html).lower()
    assert re.search(rf'<a href="\?status__exact={status.value}" aria-current="page">', html)


@pytest.mark.parametrize("path", [*LISTS.values(), SOURCES, SERIES, ATTENTION])
def test_longer_lists_take_no_more_queries(path: str, admin_client: Client) -> None:
    def grow(first: int, last: int) -> None:
        for number in range(first, last):
            owner, other = (User.objects.create_user(f"{name}{number}") for name in ("owner", "other"))
            source = new_source(owner, series_id=number + 1)
            grant(source, other)
            aged(new_download(source, other, status=5), days=1)
            aged(new_download(new_source(owner, series_id=number + 1), other, status=4, percent=3), days=1)
            for kind in (PublicUpload, PrivateUpload):
                aged(new_task(kind, other, status=3), days=1)

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            text(admin_client.get(path))
        return len(queries)

    grow(0, 2)
    before = count()
    grow(2, 7)
    assert count() == before
    assert before <= 14


@pytest.mark.parametrize("kind", list(LISTS))
@pytest.mark.parametrize("term", ["uuid-of-it", "wanted.m", "the hash", "berta", "The Long", "series number", "id"])
def test_the_search_finds_tasks_by(kind: type[Task], term: str, admin_client: Client, ann: User, berta: User) -> None:
    Series.objects.create(pk=978, name="The Long Road")
    other = new_source(ann, series_id=7, name="other.mov")
    wanted = new_source(berta, series_id=978, name="wanted.mov", uuid="uuid-of-it")
    PublicUpload.objects.filter(source=wanted).update(hash=CID_V1)
    private_of(wanted, hash=CID_V1)
    for source in (other, wanted):
        new_download(source, source.owner)
    task = kind._default_manager.get(source=wanted)
    terms = {"the hash": CID_V1, "series number": "978", "id": str(task.pk)}
    html = text(admin_client.get(LISTS[kind], {"q": terms.get(term, term)}))
    assert "wanted.mov" in html
    assert term == "id" or "other.mov" not in html
    assert "0 results" in words(text(admin_client.get(LISTS[kind], {"q": "9" * 30})))


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        *((kind, "user__id__exact") for kind in LISTS),
        (DownloadTask, "source__owner__id__exact"),
        (PublicUpload, "updated_at__gte"),
        (DownloadTask, "source__id__exact"),
    ],
)
def test_the_filters_narrow(kind: type[Task], query: str, admin_client: Client, ann: User, berta: User) -> None:
    one, other = new_task(kind, ann), new_task(kind, berta)
    values = {"updated_at__gte": NOW.isoformat(), "source__id__exact": one.source_id}
    aged(other, days=3)
    html = text(admin_client.get(LISTS[kind], {query: values.get(query, ann.pk)}))
    assert named(html, one.source, other.source) == {one.source.name}


def test_downloads_are_narrowed_by_what_is_granted_at_present(
    admin_client: Client, admin_user: User, ann: User, berta: User
) -> None:
    downloads = {
        "owner": new_download(new_source(ann), ann),
        "granted": new_download(new_source(ann), berta),
        "revoked": new_download(new_source(ann), berta, granted=False),
        "staff": new_download(new_source(ann), admin_user, granted=False),
    }

    def found(value: str) -> set[str]:
        html = text(admin_client.get(LISTS[DownloadTask], {"grant": value}))
        return {name for name, download in downloads.items() if f"{download.source.name}<" in html}

    assert found("revoked") == {"revoked"}
    assert found("granted") == {"owner", "granted", "staff"}
    html = words(text(admin_client.get(LISTS[DownloadTask], {"_facets": "True"})))
    assert "Granted (3)" in html
    assert "Revoked (1)" in html


@pytest.mark.parametrize("path", [*LISTS.values(), SOURCES, SERIES])
@pytest.mark.parametrize("value", ["x", "-1", "9" * 30, "", "\0", HOSTILE])
def test_no_address_breaks_a_list(value: str, path: str, admin_client: Client, ann: User) -> None:
    new_task(DownloadTask, ann)
    for name in (
        *("status__exact", "attention", "user__id__exact", "source__id__exact", "series__id__exact", "updated_at__gte"),
        *("public_upload", "grants__user__id__exact", "grant", "q", "p", "o"),
    ):
        assert admin_client.get(path, {name: value}).status_code in (200, 302), name


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (SOURCES, ["None yet (0)", "Not completed (1)", "Completed (2)", "Failed (0)", "None yet (1)"]),
        (LISTS[PublicUpload], ["Nothing new for 1 h (1)"]),
        (LISTS[DownloadTask], ["Waits for a private block (1)", "Nothing new for 1 h (0)"]),
    ],
)
def test_the_filters_count(path: str, expected: list[str], admin_client: Client, ann: User, berta: User) -> None:
    aged(new_task(PublicUpload, ann, status=3), days=1)
    PrivateUpload.objects.all().delete()  # one whose public upload is under way has none
    for status in (5, 9):
        aged(new_download(new_source(ann), berta, status=status), days=1)
    html = words(text(admin_client.get(path, {"_facets": "True"})))
    for told_of in expected:
        assert told_of in html


# What needs somebody ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "percent", "private", "granted", "waits"),
    [
        (5, 0, 0, True, True),
        (5, 0, 3, True, True),
        (5, 0, 9, True, True),
        (5, 0, None, True, True),
        (5, 0, 8, True, False),
        (5, 0, 0, False, False),
        (4, 100, 0, True, True),
        (4, 99, 0, True, False),
        (4, 100, 8, True, False),
        (6, 10, 0, True, True),
        (6, 10, 8, True, False),
        (0, 0, 0, True, False),
        (7, 0, 0, True, False),
        (8, 100, 0, True, False),
        (9, 100, 0, True, False),
    ],
)
def test_who_waits_for_whose_private_block(  # noqa: PLR0917 - a table
    status: int,
    percent: int,
    private: int | None,
    granted: bool,  # noqa: FBT001 - a table
    waits: bool,  # noqa: FBT001 - a table
    admin_client: Client,
    ann: User,
    berta: User,
) -> None:
    source = new_source(ann)
    if private is None:
        PrivateUpload.objects.all().delete()
    else:
        private_of(source, status=private, percent=100 if private == 8 else 0, hash=CID, size=1)
    aged(new_download(source, berta, status=status, percent=percent, granted=granted), hours=30)
    page = text(admin_client.get(ATTENTION))
    listed = text(admin_client.get(LISTS[DownloadTask], {"attention": "waiting"}))
    assert (f"{source.name} berta ann" in words(page)) is waits
    assert (source.name in listed) is waits
    assert ("1 d 6 h ago" in words(page)) or not waits


@pytest.mark.parametrize(
    ("kind", "facts", "stuck"),
    [
        *((PublicUpload, {"status": status}, status < 8) for status in (0, 1, 2, 3, 8, 9)),
        *((PrivateUpload, {"status": status}, status == 3) for status in (0, 3, 8, 9)),
        *((DownloadTask, {"status": status}, status in (0, 4, 7)) for status in (0, 4, 5, 6, 7, 9)),
        (DownloadTask, {"status": 8}, False),
    ],
)
def test_what_tells_nothing_new_is_stuck(
    kind: type[Task],
    facts: dict[str, Any],
    stuck: bool,  # noqa: FBT001 - a table
    admin_client: Client,
    ann: User,
) -> None:
    silent, fresh = new_task(kind, ann, **facts), new_task(kind, ann, **facts)
    aged(silent, minutes=61)
    aged(fresh, minutes=59)
    expected = {silent.source.name} if stuck else set()
    html = text(admin_client.get(LISTS[kind], {"attention": "stuck"}))
    assert named(html, silent.source, fresh.source) == expected
    page = text(admin_client.get(ATTENTION))
    assert (f">{silent.source}</a>" in page[page.index("without news") :]) is stuck
    assert f">{fresh.source}</a>" not in page[page.index("without news") :]


def test_a_download_is_stuck_only_when_its_private_block_has_been_there_for_long(
    admin_client: Client, ann: User, berta: User
) -> None:
    source = new_source(ann)
    private = private_of(source, status=8, percent=100, hash=CID, size=1)
    aged(new_download(source, berta, status=5), days=3)
    assert "0 results" in words(text(admin_client.get(LISTS[DownloadTask], {"attention": "stuck"})))
    aged(private, minutes=61)
    assert source.name in text(admin_client.get(LISTS[DownloadTask], {"attention": "stuck"}))


def test_a_download_that_is_not_granted_is_not_stuck(admin_client: Client, ann: User, berta: User) -> None:
    aged(new_download(new_source(ann), berta, status=4, granted=False), hours=2)
    assert "0 results" in words(text(admin_client.get(LISTS[DownloadTask], {"attention": "stuck"})))


@pytest.mark.parametrize(
    ("private", "since"), [(None, "1 d 6 h"), (0, "1 d 6 h"), (3, "1 d 6 h"), (9, "1 d 6 h"), (8, r"(under )?\d+ s")]
)
def test_what_waits_has_waited_since_it_began_to_whatever_it_reports(
    private: int | None, since: str, admin_client: Client, ann: User, berta: User
) -> None:
    source = new_source(ann)
    download = aged(new_download(source, berta, status=5), hours=30)
    tasks.report(DownloadTask, user=berta, task_id=download.pk, told=Report(status=5, percent=40))
    if private is not None:  # it was there, or not, until it is to be uploaded again
        tasks.reopen(upload=private_of(source, status=private, percent=100, hash=CID, size=1))
    shown = words(text(admin_client.get(ATTENTION)))
    assert re.search(rf"{source.name} berta ann \S+ \S+ {since} ago", shown), shown


def test_how_long_is_long_is_a_setting(admin_client: Client, ann: User, settings: Settings) -> None:
    aged(new_task(PublicUpload, ann, status=3), minutes=61)
    use(settings, stuck_task_minutes=90)
    assert "Public uploads without news for 1 h 30 min None." in words(text(admin_client.get(ATTENTION)))
    use(settings, stuck_task_minutes=1)
    assert "Public uploads without news for 1 min File" in words(text(admin_client.get(ATTENTION)))


def test_the_longest_need_comes_first_and_the_whole_list_is_a_click_away(
    admin_client: Client, ann: User, berta: User
) -> None:
    made = [new_download(new_source(ann), berta, status=5) for _ in range(3)]
    for task, hours in zip(made, (2, 9, 5), strict=True):
        aged(task, hours=hours)
    address = f"{LISTS[DownloadTask]}?attention=waiting"
    page = text(admin_client.get(ATTENTION))
    assert f'href="{address}">All 3</a>' in page
    for html in (page, text(admin_client.get(address))):
        places = [html.index(f"{made[number].source.name}<") for number in (1, 2, 0)]
        assert places == sorted(places)


def test_the_report_shows_only_what_one_may_look_at(staff: Callable[..., Client]) -> None:
    html = text(staff("view_privateupload").get(ATTENTION))
    assert "Private uploads without news" in html
    assert "Public uploads without news" not in html
    assert "Waiting for private blocks" not in html


# The page of one -------------------------------------------------------------------------------------------------


def test_the_page_of_an_upload_tells_all(admin_client: Client, ann: User) -> None:
    facts = {"hash": CID, "size": 102400, "ip": "QmPeer", "file": "a folder", "name": "public.block"}
    upload = new_task(PublicUpload, ann, status=3, percent=61, **facts)
    html = text(admin_client.get(page_of(upload)))
    for expected in (CID, "100.0 KiB (102,400 bytes)", "QmPeer", "a folder", "public.block", upload.source.uuid):
        assert expected in html, expected
    assert "uploading 61 %" in words(html)
    assert f'href="{page_of(upload.source)}"' in html
    assert f'href="{page_of(upload.series)}"' in html


def test_the_page_of_a_download_leads_to_both_blocks(admin_client: Client, ann: User, berta: User) -> None:
    source = new_source(ann)
    html = text(admin_client.get(page_of(new_download(source, berta, status=4, percent=5))))
    assert f'href="{page_of(source.public_upload)}"' in html
    assert f'href="{page_of(source.private_upload)}"' in html
    assert "downloading 5 %" in words(html)


def test_the_page_of_a_source_tells_of_its_blocks_and_downloads(admin_client: Client, ann: User, berta: User) -> None:
    source = new_source(ann, name="film.mov")
    PublicUpload.objects.update(hash=CID_V1)
    for status in (9, 9, 5):
        new_download(source, berta, status=status)
    shown = words(text(admin_client.get(page_of(source))))
    assert "Public block completed 100 %" in shown
    assert CID_V1 in shown
    assert "Private block not started 0 %" in shown
    assert "berta waiting for authorization 0 %" in shown
    assert shown.count("berta failed") == 2
    assert "All 3" in shown


def test_a_source_whose_public_block_is_under_way_has_no_private_one(admin_client: Client, ann: User) -> None:
    shown = words(text(admin_client.get(page_of(new_source(ann, public=3)))))
    assert "Not to be uploaded before the public block is completed." in shown
    assert "Downloads None yet." in shown


@pytest.mark.parametrize("path", [*LISTS.values(), SOURCES, SERIES])
@pytest.mark.parametrize("number", ["77", "9" * 30])
def test_an_unknown_id_leads_back_to_the_index(number: str, path: str, admin_client: Client) -> None:
    response = admin_client.get(f"{path}{number}/change/")
    assert (response.status_code, response["Location"]) == (302, "/admin/")


def test_hostile_names_are_only_text(admin_client: Client, ann: User, berta: User, gateway: list[str]) -> None:
    Series.objects.create(pk=7, name=HOSTILE)
    source = new_source(ann, name=HOSTILE, uuid=HOSTILE)
    facts = {"name": HOSTILE, "file": HOSTILE, "ip": HOSTILE, "hash": HOSTILE}
    public, private = source.public_upload, source.private_upload
    PublicUpload.objects.update(**facts)
    PrivateUpload.objects.update(**facts, status=3)
    download = aged(new_download(source, berta, status=5), days=1)
    grant(source, berta)
    rows = (source, source.series, public, private, download)
    paths = [*LISTS.values(), SOURCES, SERIES, ATTENTION, *map(page_of, rows)]
    pages = [text(admin_client.get(path)) for path in paths]
    pages.append(text(choose(admin_client, SOURCES, "grant", source)))
    response = press(admin_client, private, "mark_failed")
    pages.append(text(admin_client.get(response["Location"])))
    for html in pages:
        assert "&lt;script&gt;alert(" in html
        assert "<script>alert(" not in html


def test_the_pages_run_no_script_of_their_own(admin_client: Client, ann: User) -> None:
    upload = new_task(PublicUpload, ann, status=3)
    assert find("tasks_api/admin.js")
    assert find("tasks_api/admin.css")
    for path in (LISTS[PublicUpload], page_of(upload)):
        html = text(admin_client.get(path))
        assert '<script src="/static/tasks_api/admin.js" defer></script>' in html
        assert '<link href="/static/tasks_api/admin.css"' in html
        assert not re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", html)
        ours = html[html.index("data-live") : html.rindex("data-live")]
        assert not re.findall(r"\s(?:style|on[a-z]+)=", ours)


# Series and sources ----------------------------------------------------------------------------------------------


def test_series_are_named_and_nothing_else(admin_client: Client, ann: User) -> None:
    source = new_source(ann)
    new_source(ann)
    assert f'href="{SOURCES}?series__id__exact=7" class="transfer-link">2</a>' in text(admin_client.get(SERIES))
    before = Series.objects.get()
    response = admin_client.post(page_of(source.series), {"name": "The Long Road", "id": "8"})
    assert response.status_code == 302
    after = Series.objects.get()
    assert (after.pk, after.name, after.created_at) == (7, "The Long Road", before.created_at)
    assert "The Long Road" in text(admin_client.get(SERIES, {"q": "long"}))
    assert admin_client.get(f"{SERIES}add/").status_code == 403
    assert admin_client.post(f"{SERIES}7/delete/", {"post": "yes"}).status_code == 403


def test_the_list_of_sources_counts(admin_client: Client, ann: User, berta: User) -> None:
    source = new_source(ann, name="film.mov")
    for user in (berta, User.objects.create_user("carl")):
        grant(source, user)
    for status in (9, 9, 0):
        new_download(source, berta, status=status)
    new_source(berta, name="other.mov", public=3)
    html = text(admin_client.get(SOURCES))
    assert "film.mov series 7 ann completed not started 2 3" in words(html)
    assert "other.mov series 7 berta uploading – 0 0" in words(html)  # noqa: RUF001 - the dash of an empty cell
    assert f'href="{LISTS[DownloadTask]}?source__id__exact={source.pk}"' in html


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"public_upload": "underway"}, {"begun"}),
        ({"public_upload": "completed"}, {"whole", "todo", "broken"}),
        ({"public_upload": "failed"}, {"failed"}),
        ({"private_upload": "none"}, {"begun", "failed"}),
        ({"private_upload": "underway"}, {"todo"}),
        ({"private_upload": "completed"}, {"whole"}),
        ({"private_upload": "failed"}, {"broken"}),
        ({"private_upload": "nonsense"}, {"begun", "failed", "whole", "todo", "broken"}),
        ({"grants__user__id__exact": "berta"}, {"whole", "todo"}),
        ({"owner__id__exact": "berta"}, {"failed"}),
        ({"series__id__exact": "9"}, {"broken"}),
        ({"q": "name-of-todo"}, {"todo"}),
        ({"q": "uuid-of-whole"}, {"whole"}),
        ({"q": CID_V1}, {"whole"}),
        ({"q": "berta"}, {"failed"}),
    ],
)
def test_the_list_of_sources_is_narrowed(
    query: dict[str, str], expected: set[str], admin_client: Client, ann: User, berta: User
) -> None:
    def made(name: str, owner: User = ann, public: int = 8, series_id: int = 7) -> Source:
        names = {"name": f"name-of-{name}", "uuid": f"uuid-of-{name}"}
        return new_source(owner, public=public, series_id=series_id, **names)

    made("begun", public=3)
    made("failed", owner=berta, public=9)
    sources = {name: made(name) for name in ("whole", "todo")}
    sources["broken"] = made("broken", series_id=9)
    private_of(sources["whole"], status=8, percent=100, hash=CID_V1, size=1)
    private_of(sources["broken"], status=9)
    for name in ("whole", "todo"):
        grant(sources[name], berta)
    grant(sources["todo"], User.objects.create_user("carl"))
    chosen = {key: str(berta.pk) if value == "berta" and key != "q" else value for key, value in query.items()}
    html = text(admin_client.get(SOURCES, chosen))
    assert {name for name in ("begun", "failed", "whole", "todo", "broken") if f"name-of-{name}<" in html} == expected


# Grants ----------------------------------------------------------------------------------------------------------


def test_sources_are_granted_after_a_question(admin_client: Client, admin_user: User, ann: User, berta: User) -> None:
    sources = [new_source(ann, name=f"film{number}.mov") for number in range(3)]
    question = text(choose(admin_client, SOURCES, "grant", *sources[:2]))
    assert "Who may download these besides their owners and staff?" in question
    assert "film0.mov of ann film1.mov of ann" in words(question) or "film1.mov of ann film0.mov" in words(question)
    assert "film2.mov" not in question
    assert not Grant.objects.exists()

    answer = choose(admin_client, SOURCES, "grant", *sources[:2], post="yes", user=berta.pk)
    assert told(answer) == ["Granted to berta: film1.mov, film0.mov."]
    grants = Grant.objects.order_by("source_id")
    assert [(made.source, made.user, made.granted_by) for made in grants] == [
        (source, berta, admin_user) for source in sources[:2]
    ]
    assert {entry.object_id for entry in LogEntry.objects.all()} == {str(source.pk) for source in sources[:2]}
    assert {entry.change_message for entry in LogEntry.objects.all()} == {"Granted to berta."}


def test_granting_again_changes_nothing(admin_client: Client, ann: User, berta: User) -> None:
    source = new_source(ann)
    grant(source, berta)
    before = Grant.objects.get()
    told(choose(admin_client, SOURCES, "grant", source, post="yes", user=berta.pk))
    assert Grant.objects.get().granted_by == before.granted_by


def test_an_owner_needs_no_grant(admin_client: Client, ann: User) -> None:
    source = new_source(ann)
    answer = told(choose(admin_client, SOURCES, "grant", source, post="yes", user=ann.pk))
    assert answer == [f"{source.name}: ann owns it, and needs no grant."]
    assert not Grant.objects.exists()


@pytest.mark.parametrize("user", ["", "77", "x", "9" * 30])
def test_the_question_is_asked_again_without_a_user(user: str, admin_client: Client, ann: User) -> None:
    html = text(choose(admin_client, SOURCES, "grant", new_source(ann), post="yes", user=user))
    assert 'class="errors' in html
    assert not Grant.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_what_was_granted_is_revoked_and_downloads_are_told(
    admin_client: Client, ann: User, berta: User, events: list[Any]
) -> None:
    granted, never = new_source(ann, name="granted.mov"), new_source(ann, name="never.mov")
    grant(granted, berta)
    download = new_download(granted, berta, status=4)
    answer = told(choose(admin_client, SOURCES, "revoke", granted, never, post="yes", user=berta.pk))
    assert answer == ["Revoked from berta: granted.mov.", "never.mov: berta has no grant."]
    assert not Grant.objects.exists()
    assert not DownloadTask.objects.get(pk=download.pk).granted
    assert [event.body["task"]["id"] for event in events] == [download.pk]
    entries = set(LogEntry.objects.values_list("object_id", "change_message"))
    refused = (str(never.pk), "Refused: Revoke, berta (berta has no grant).")
    assert entries == {(str(granted.pk), "Revoked from berta."), refused}


def test_too_many_sources_at_once_are_refused(admin_client: Client, ann: User, berta: User) -> None:
    series = Series.objects.create(pk=7)
    Source.objects.bulk_create(
        Source(owner=ann, series=series, uuid=str(number), name="x") for number in range(MOST + 1)
    )
    answer = choose(admin_client, SOURCES, "grant", *Source.objects.all(), post="yes", user=berta.pk)
    assert told(answer) == [f"At most {MOST} sources at once."]
    assert not Grant.objects.exists()


def test_many_sources_are_counted_not_named(admin_client: Client, ann: User, berta: User) -> None:
    sources = [new_source(ann) for _ in range(TOLD + 2)]
    assert "and 2 more" in words(text(choose(admin_client, SOURCES, "grant", *sources)))
    answer = choose(admin_client, SOURCES, "grant", *sources, post="yes", user=berta.pk)
    assert told(answer) == [f"Granted to berta: {TOLD + 2} sources."]


def test_the_page_of_a_source_grants_and_revokes(
    admin_client: Client, admin_user: User, ann: User, berta: User
) -> None:
    source = new_source(ann, name="film.mov")
    carl = User.objects.create_user("carl")
    grant(source, carl)
    old = Grant.objects.get()
    html = text(admin_client.get(page_of(source)))
    assert "carl" in html
    removed = {"id": old.pk, "source": source.pk, "DELETE": "on"}
    added = {"source": source.pk, "user": berta.pk, "granted_by": ann.pk}
    sent = {**table(1, removed, added), "name": "another.mov", "owner": berta.pk}
    response = admin_client.post(page_of(source), sent)
    assert response.status_code == 302, re.findall(r"errorlist.*", response.content.decode())
    new = Grant.objects.get()
    assert (new.source, new.user, new.granted_by) == (source, berta, admin_user)
    after = Source.objects.get()
    assert (after.name, after.owner) == ("film.mov", ann)
    message = LogEntry.objects.get().get_change_message()
    assert "berta may download film.mov" in message
    assert "carl may download film.mov" in message


def test_a_grant_that_there_is_cannot_be_changed_or_doubled(admin_client: Client, ann: User, berta: User) -> None:
    source = new_source(ann)
    grant(source, berta)
    old, carl = Grant.objects.get(), User.objects.create_user("carl")
    kept = {"id": old.pk, "source": source.pk}
    admin_client.post(page_of(source), table(1, {**kept, "user": carl.pk}))
    assert Grant.objects.get().user == berta
    twice = table(1, kept, {"source": source.pk, "user": berta.pk})
    assert admin_client.post(page_of(source), twice).status_code == 200
    assert Grant.objects.get() == old


@pytest.mark.parametrize("user", ["x", "9" * 30, "77", "-1"])
def test_the_page_of_a_source_is_asked_again_without_a_user(user: str, admin_client: Client, ann: User) -> None:
    source = new_source(ann)
    html = text(admin_client.post(page_of(source), table(0, {"source": source.pk, "user": user})))
    assert "Select a valid choice" in html
    assert not Grant.objects.exists()


@pytest.mark.parametrize(
    ("permission", "action", "allowed"),
    [
        ("add_grant", "grant", True),
        ("add_grant", "revoke", False),
        ("delete_grant", "grant", False),
        ("delete_grant", "revoke", True),
        ("change_source", "grant", False),
        ("change_grant", "revoke", False),
    ],
)
def test_granting_and_revoking_need_their_permission(  # noqa: PLR0917 - fixtures
    permission: str,
    action: str,
    allowed: bool,  # noqa: FBT001 - a table
    staff: Callable[..., Client],
    ann: User,
    berta: User,
) -> None:
    source = new_source(ann)
    if action == "revoke":
        grant(source, berta)
    before = Grant.objects.count()
    clerk = staff("view_source", permission)
    choose(clerk, SOURCES, action, source, post="yes", user=berta.pk)
    assert (Grant.objects.count() != before) is allowed


def test_without_permission_the_page_of_a_source_saves_nothing(
    staff: Callable[..., Client], ann: User, berta: User
) -> None:
    source = new_source(ann)
    clerk = staff("view_source", "view_grant", "change_source", "change_grant")
    response = clerk.post(page_of(source), table(0, {"source": source.pk, "user": berta.pk}))
    assert response.status_code == 403
    assert not Grant.objects.exists()
    assert 'name="_save"' not in text(clerk.get(page_of(source)))


# What operators have done with tasks -----------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "status"), EVERY_STATE)
def test_live_tasks_are_marked_failed_by_a_button(
    kind: type[Task], status: Status, admin_client: Client, admin_user: User, ann: User
) -> None:
    task = new_task(kind, ann, status=status, percent=100 if status == 8 else 40)
    live = status not in (Status.COMPLETED, Status.FAILED)
    assert ("Mark failed" in text(admin_client.get(page_of(task)))) is live
    answer = told(press(admin_client, task, "mark_failed"))
    task.refresh_from_db()
    if live:
        assert (task.status, task.percent, task.revision) == (Status.FAILED, 40, 1)
        assert answer == [f"Marked failed: {task.source.name}."]
        entry = LogEntry.objects.get()
        assert (entry.user, entry.object_id) == (admin_user, str(task.pk))
        assert entry.change_message == f"Marked failed. It was {status.label.lower()}, 40 %."
    else:
        assert (task.status, task.revision) == (status, 0)
        assert answer == [f"{task.source.name}: not marked failed, it is {status.label.lower()}."]
        assert LogEntry.objects.get().change_message == f"Refused: Mark failed (it is {status.label.lower()})."


@pytest.mark.parametrize("kind", list(LISTS))
@pytest.mark.django_db(transaction=True)
def test_several_are_marked_failed_at_once_and_listeners_are_told(
    kind: type[Task], admin_client: Client, ann: User, events: list[Any]
) -> None:
    live = [new_task(kind, ann, status=3 if kind is not DownloadTask else 4) for _ in range(2)]
    ended = new_task(kind, ann, status=9)
    answer = told(choose(admin_client, LISTS[kind], "mark_failed", *live, ended))
    assert answer[0] == f"Marked failed: {live[1].source.name}, {live[0].source.name}."
    assert answer[1] == f"{ended.source.name}: not marked failed, it is failed."
    assert {event.body["task"]["id"] for event in events} == {task.pk for task in live}
    assert {event.body["task"]["status"] for event in events} == {9}


@pytest.mark.parametrize("status", PrivateUpload.statuses())
def test_private_uploads_that_ended_are_reopened(status: Status, admin_client: Client, ann: User) -> None:
    upload = new_task(PrivateUpload, ann, status=status, percent=100, hash=CID, size=5)
    ended = status in (Status.COMPLETED, Status.FAILED)
    assert ("Reopen" in text(admin_client.get(page_of(upload)))) is ended
    answer = told(press(admin_client, upload, "reopen"))
    upload.refresh_from_db()
    if ended:
        assert (upload.status, upload.percent, upload.hash) == (Status.NOT_STARTED, 0, "")
        assert answer == [f"Reopened: {upload.source.name}."]
        noted = LogEntry.objects.get().change_message
        assert noted == f"Reopened. It was {status.label.lower()}, 100 %, hash {CID}."
    else:
        assert (upload.status, upload.hash) == (status, CID)
        assert answer == [f"{upload.source.name}: not reopened, it is {status.label.lower()}."]


@pytest.mark.django_db(transaction=True)
def test_whoever_downloads_is_told_of_a_reopened_block(
    admin_client: Client, ann: User, berta: User, events: list[Any]
) -> None:
    upload = new_task(PrivateUpload, ann, status=8)
    new_download(upload.source, berta, status=5)
    assert told(choose(admin_client, LISTS[PrivateUpload], "reopen", upload)) == [f"Reopened: {upload.source.name}."]
    shown = {event.body["kind"]: event.body["task"] for event in events}
    assert shown["private_upload"]["status"] == 0
    assert (shown["download"]["private_status"], shown["download"]["private_hash"]) == (0, "")


@pytest.mark.parametrize("kind", [PublicUpload, DownloadTask])
def test_only_private_uploads_are_reopened(kind: type[Task], admin_client: Client, ann: User) -> None:
    task = new_task(kind, ann, status=8)
    assert press(admin_client, task, "reopen").status_code == 404
    assert "Reopen" not in text(admin_client.get(page_of(task)))


def test_a_client_that_was_faster_is_told_of(admin_client: Client, ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = new_task(PublicUpload, ann, status=3)
    real = tasks.mark_failed

    after: list[int] = []

    def late(*, task: Task) -> bool:
        PublicUpload.objects.update(status=8, percent=100, hash=CID, size=1)
        done = real(task=task)
        after.append(PublicUpload.objects.get().status)
        return done

    monkeypatch.setattr(services.task, "mark_failed", late)
    answer = told(press(admin_client, upload, "mark_failed"))
    assert answer == [f"{upload.source.name}: not marked failed, its client was faster."]
    assert after == [Status.COMPLETED]


def test_the_buttons_lead_back_to_where_one_was(admin_client: Client, ann: User) -> None:
    upload = new_task(PublicUpload, ann, status=3)
    path = f"{LISTS[PublicUpload]}{upload.pk}/operate/mark_failed/?_changelist_filters=q%3Dx"
    assert admin_client.get(path)["Location"] == f"{page_of(upload)}?_changelist_filters=q%3Dx"
    upload.refresh_from_db()
    assert upload.status == Status.UPLOADING
    assert admin_client.post(f"{LISTS[PublicUpload]}77/operate/mark_failed/").status_code == 404
    assert press(admin_client, upload, "nonsense").status_code == 404


@pytest.mark.parametrize("kind", list(LISTS))
def test_tasks_are_read_only_and_operated_with_permission_only(
    kind: type[Task], staff: Callable[..., Client], ann: User
) -> None:
    name = kind._meta.model_name
    task = new_task(kind, ann, status=0)
    clerk = staff(f"view_{name}")
    html = text(clerk.get(page_of(task)))
    assert "Mark failed" not in html
    assert 'name="_save"' not in html
    assert press(clerk, task, "mark_failed").status_code == 403
    choose(clerk, LISTS[kind], "mark_failed", task)
    assert clerk.post(page_of(task), {"status": "8"}).status_code == 403
    task.refresh_from_db()
    assert task.status == Status.NOT_STARTED


@pytest.mark.parametrize("kind", list(LISTS))
def test_even_superusers_neither_make_edit_nor_delete_tasks(kind: type[Task], admin_client: Client, ann: User) -> None:
    task = new_task(kind, ann, status=0)
    assert admin_client.get(f"{LISTS[kind]}add/").status_code == 403
    assert admin_client.post(page_of(task), {"status": "8"}).status_code == 403
    assert admin_client.post(f"{LISTS[kind]}{task.pk}/delete/", {"post": "yes"}).status_code == 403
    choose(admin_client, LISTS[kind], "delete_selected", task, post="yes")
    task.refresh_from_db()
    assert (task.status, task.revision) == (Status.NOT_STARTED, 0)


@pytest.mark.parametrize("path", [*LISTS.values(), SOURCES, SERIES, ATTENTION])
def test_nothing_is_shown_without_permission(path: str, staff: Callable[..., Client]) -> None:
    assert staff("view_download").get(path).status_code == 403


@pytest.mark.parametrize("path", [*LISTS.values(), SOURCES, SERIES, ATTENTION])
def test_nobody_but_staff_gets_in(path: str, client: Client, ann: User) -> None:
    client.force_login(ann)
    response = client.get(path)
    assert (response.status_code, response["Location"].split("?")[0]) == (302, "/admin/login/")


# The gateway -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [PublicUpload, PrivateUpload])
def test_the_gateway_is_asked_for_a_hash(kind: type[Task], admin_client: Client, ann: User, gateway: list[str]) -> None:
    upload = new_task(kind, ann, status=8)
    assert "Ask the gateway" in text(admin_client.get(page_of(upload)))
    answer = admin_client.post(f"{LISTS[kind]}{upload.pk}/ask-gateway/")
    assert answer["Location"] == page_of(upload)
    assert told(answer) == [f"The gateway gave {CID}, verified, after 1 s."]
    assert gateway == [CID]


def test_the_gateway_is_asked_from_the_page_of_the_source_too(
    admin_client: Client, ann: User, gateway: list[str]
) -> None:
    source = new_source(ann)
    PublicUpload.objects.update(hash=CID_V1)
    address = f"{LISTS[PublicUpload]}{source.public_upload.pk}/ask-gateway/"
    html = text(admin_client.get(page_of(source)))
    assert html.count("Ask the gateway") == 1  # the private block has no hash yet
    assert f'action="{address}"' in html
    answer = admin_client.post(address, {"source": "yes"})
    assert answer["Location"] == page_of(source)
    assert told(answer) == [f"The gateway did not give {CID_V1}: it answered 504."]


def test_without_a_gateway_or_a_hash_nothing_is_asked(
    admin_client: Client, ann: User, gateway: list[str], settings: Settings
) -> None:
    begun = new_task(PublicUpload, ann, status=3)
    assert "Ask the gateway" not in text(admin_client.get(page_of(begun)))
    use(settings, ipfs_gateway_url="")
    whole = new_task(PublicUpload, ann, status=8)
    for row in (whole, whole.source):
        assert "Ask the gateway" not in text(admin_client.get(page_of(row)))
    for upload in (begun, whole):
        assert admin_client.post(f"{LISTS[PublicUpload]}{upload.pk}/ask-gateway/").status_code == 302
    assert gateway == []


def test_the_gateway_is_asked_by_those_who_may_look_only(
    staff: Callable[..., Client], ann: User, gateway: list[str]
) -> None:
    upload = new_task(PublicUpload, ann, status=8)
    clerk = staff("view_source", "view_privateupload")
    assert "Ask the gateway" not in text(clerk.get(page_of(upload.source)))
    address = f"{LISTS[PublicUpload]}{upload.pk}/ask-gateway/"
    assert clerk.post(address).status_code == 403
    assert clerk.get(address).status_code == 403
    assert gateway == []


def test_looking_at_the_address_asks_nothing(admin_client: Client, ann: User, gateway: list[str]) -> None:
    upload = new_task(PublicUpload, ann, status=8)
    assert admin_client.get(f"{LISTS[PublicUpload]}{upload.pk}/ask-gateway/")["Location"] == page_of(upload)
    assert gateway == []
