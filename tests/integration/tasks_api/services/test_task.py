"""Many at once: reports are neither lost nor go back, and what is created twice is there once."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User

from tasks_api.models import DownloadTask, Grant, PrivateUpload, PublicUpload, Report, Series, Source, Task
from tasks_api.services import download as downloads
from tasks_api.services import task as tasks
from tasks_api.services import upload as uploads
from tasks_api.services.task import Filters
from tasks_api.services.upload import NewSource
from tests.integration.tasks_api.rows import CID, OTHER_CID, grant, new_download, new_source, new_task
from tests.integration.transfers.rows import at_once, new_user
from transfers.errors import CarryonError, NotGrantedError
from transfers.progress import EVERYBODY, ProgressEvent, group_of

THREADS = 8


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> list[ProgressEvent]:
    """What the socket would be told."""
    told: list[ProgressEvent] = []
    monkeypatch.setattr(tasks, "publish", told.append)
    return told


def attempt(call: Callable[[], Any]) -> Any:
    """What comes of it, be it a refusal."""
    try:
        return call()
    except CarryonError as refusal:
        return refusal


def reports_at_once(task: Task, reports: list[Report]) -> list[Any]:
    kind, user = type(task), task.user
    return at_once(
        [partial(attempt, partial(tasks.report, kind, user=user, task_id=task.pk, told=told)) for told in reports]
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", [PublicUpload, PrivateUpload, DownloadTask], ids=lambda kind: kind.kind)
def test_of_reports_at_once_none_is_lost_and_none_goes_back(kind: type[Task], published: list[ProgressEvent]) -> None:
    task = new_task(kind, new_user("ann"))
    working = [status for status in kind.states if status != 8]
    shuffled = [(status, percent) for status in working for percent in (10, 50, 90)]
    random.Random(7).shuffle(shuffled)
    taken = 0
    for start in range(0, len(shuffled), THREADS):
        reports = [Report(status=status, percent=percent) for status, percent in shuffled[start : start + THREADS]]
        taken += sum(not isinstance(answer, Exception) for answer in reports_at_once(task, reports))
    task.refresh_from_db()
    assert (task.status, task.percent) == (working[-1], 90), "the furthest of all has won"
    assert task.revision == len(published)
    assert task.revision <= taken, "each one that was taken counts, but for one that is what there is"
    order = [
        (kind.states.index(event.body["task"]["status"]), event.body["task"]["percent"])
        for event in by_revision(published)
    ]
    assert order == sorted(order)


def by_revision(events: list[ProgressEvent]) -> list[ProgressEvent]:
    return sorted(events, key=lambda event: (event.body["task"]["status"], event.body["task"]["percent"]))


@pytest.mark.django_db(transaction=True)
def test_facts_told_at_once_are_all_kept() -> None:
    task = new_task(PublicUpload, new_user("ann"), status=3)
    facts: list[dict[str, str | int]] = [{"name": "n"}, {"file": "f"}, {"hash": CID}, {"size": 9}, {"ip": "p"}]
    answers = reports_at_once(task, [Report(status=3, block=block) for block in facts])
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    task.refresh_from_db()
    assert (task.name, task.file, task.hash, task.size, task.ip, task.revision) == ("n", "f", CID, 9, "p", 5)


@pytest.mark.django_db(transaction=True)
def test_of_completions_at_once_one_wins_and_makes_one_private_task(published: list[ProgressEvent]) -> None:
    task = new_task(PublicUpload, new_user("ann"), status=3)
    PrivateUpload.objects.all().delete()
    blocks = [{"hash": cid, "size": 9} for cid in (CID, OTHER_CID) * (THREADS // 2)]
    answers = reports_at_once(task, [Report(status=8, block=block) for block in blocks])
    task.refresh_from_db()
    for block, answer in zip(blocks, answers, strict=True):
        assert isinstance(answer, Exception) == (block["hash"] != task.hash)
    assert (task.status, task.revision, len(published)) == (8, 1, 1)
    assert PrivateUpload.objects.get().source_id == task.source_id


@pytest.mark.django_db(transaction=True)
def test_failing_and_going_on_at_once_leave_one_of_both() -> None:
    task = new_task(DownloadTask, new_user("ann"), status=4, percent=10)
    reports_at_once(task, [Report(status=9)] * 4 + [Report(status=7, percent=5)] * 4)
    task.refresh_from_db()
    assert (task.status, task.percent) in ((9, 10), (9, 5), (7, 5))


@pytest.mark.django_db(transaction=True)
def test_twins_of_an_upload_are_one() -> None:
    ann, bob = new_user("ann"), new_user("bob")
    new = NewSource(series_id=12, uuid="u", name="film.mov")
    users = [ann, bob] * (THREADS // 2)
    made = at_once([partial(uploads.create, user=user, new=new) for user in users])
    assert len({task.pk for task in made}) == PublicUpload.objects.count() == Source.objects.count() == 2
    assert Series.objects.get().pk == 12
    assert all(task.user_id == task.source.owner_id == user.pk for task, user in zip(made, users, strict=True))
    assert uploads.create(user=ann, new=NewSource(series_id=12, uuid="u", name="other")).source.name == "film.mov"
    assert uploads.create(user=ann, new=NewSource(series_id=13, uuid="u", name="film.mov")).pk not in {
        t.pk for t in made
    }


@pytest.mark.django_db(transaction=True)
def test_twins_of_a_download_are_one() -> None:
    ann, bob = new_user("ann"), new_user("bob")
    source = new_source(ann)
    grant(source, bob)
    for user in (ann, bob):
        made = at_once([partial(downloads.create, user=user, source_id=source.pk)] * THREADS)
        assert len({task.pk for task in made}) == DownloadTask.objects.filter(user=user).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_download_begun_while_its_grant_is_revoked_is_not_left_out() -> None:
    ann, bob = new_user("ann"), new_user("bob")
    for _ in range(6):
        source = new_source(ann)
        grant(source, bob)
        begin = partial(attempt, partial(downloads.create, user=bob, source_id=source.pk))
        at_once([begin, partial(downloads.revoke, source=source, user=bob), begin])
        assert not Grant.objects.filter(source=source).exists()
        for download in DownloadTask.objects.filter(source=source):
            report = partial(tasks.report, DownloadTask, user=bob, task_id=download.pk, told=Report(status=4))
            assert isinstance(attempt(report), NotGrantedError)


@pytest.mark.django_db(transaction=True)
def test_reports_grants_and_private_blocks_at_once_wait_for_nobody_for_ever() -> None:
    ann, bob = new_user("ann"), new_user("bob")
    source = new_source(ann)
    ended = [new_download(source, bob, status=9) for _ in range(5)]
    live = new_download(source, bob, status=4)
    private = source.private_upload.pk
    for number in range(6):
        at_once(
            [
                partial(attempt, partial(tasks.report, DownloadTask, user=bob, task_id=live.pk, told=told))
                for told in (Report(status=4, percent=number), Report(status=4, percent=number + 1))
            ]
            + [
                partial(downloads.revoke, source=source, user=bob),
                partial(downloads.grant, source=source, user=bob, granted_by=ann),
                partial(
                    tasks.report,
                    PrivateUpload,
                    user=ann,
                    task_id=private,
                    told=Report(status=3, block={"name": f"{number}"}),
                ),
                partial(tasks.mark_failed, task=ended[0]),
            ]
        )
    private_name = PrivateUpload.objects.get().name
    assert private_name == "5"


@pytest.mark.django_db
def test_a_retry_that_is_live_is_the_one_that_is_given(ann: User) -> None:
    source = new_source(ann)
    first = downloads.create(user=ann, source_id=source.pk)
    tasks.mark_failed(task=first)
    second = downloads.create(user=ann, source_id=source.pk)
    tasks.mark_failed(task=second)
    tasks.report(DownloadTask, user=ann, task_id=first.pk, told=Report(status=4))
    found = downloads.create(user=ann, source_id=source.pk)
    assert (found.pk, found.status) == (first.pk, 4)
    tasks.mark_failed(task=first)
    assert downloads.create(user=ann, source_id=source.pk).pk > second.pk


# Who is told ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_private_report_is_told_to_those_who_wait(
    published: list[ProgressEvent], django_capture_on_commit_callbacks: Any
) -> None:
    ann, bob, eve = new_user("ann"), new_user("bob"), new_user("eve")
    source = new_source(ann)
    new_download(source, bob, status=5)
    new_download(source, eve, status=9)
    told = [Report(status=3), Report(status=3, percent=50), Report(status=8, block={"hash": CID, "size": 9})]
    heard = []
    for report in told:
        with django_capture_on_commit_callbacks() as callbacks:
            tasks.report(PrivateUpload, user=ann, task_id=source.private_upload.pk, told=report)
        assert not published, "nothing is told before it is committed"
        for callback in callbacks:
            callback()
        heard.append([(event.body["kind"], event.groups) for event in published])
        published.clear()
    private = ("private_upload", (group_of(ann.pk), EVERYBODY))
    download = ("download", (*sorted((group_of(ann.pk), group_of(bob.pk))), EVERYBODY))
    assert heard == [[private, download], [private], [private, download]], "downloads do not show its percent"


@pytest.mark.django_db
def test_a_refused_report_is_told_to_nobody(
    published: list[ProgressEvent], django_capture_on_commit_callbacks: Any
) -> None:
    task = new_task(PublicUpload, new_user("ann"), status=3, percent=50)
    with django_capture_on_commit_callbacks(execute=True):
        for report in (Report(status=2), Report(status=3, percent=4), Report(status=7), Report(status=3, percent=50)):
            attempt(partial(tasks.report, PublicUpload, user=task.user, task_id=task.pk, told=report))
    assert not published


# What staff do --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_reopening_and_failing(published: list[ProgressEvent], django_capture_on_commit_callbacks: Any) -> None:
    ann = new_user("ann")
    private = new_task(PrivateUpload, ann, status=8)
    waiting = new_download(private.source, ann, status=5, percent=7)
    with django_capture_on_commit_callbacks(execute=True):
        assert tasks.reopen(upload=private)
        assert not tasks.reopen(upload=private)
        assert tasks.mark_failed(task=waiting)
        assert not tasks.mark_failed(task=waiting)
    private.refresh_from_db()
    waiting.refresh_from_db()
    assert (private.status, private.percent, private.hash, private.size) == (0, 0, "", 0)
    assert (waiting.status, waiting.percent) == (9, 7)
    assert [event.body["kind"] for event in published] == ["private_upload", "download", "download"]


@pytest.mark.django_db
def test_whose_grant_is_revoked_gets_no_key_until_there_is_one_again(ann: User, bob: User) -> None:
    source = new_source(ann)
    downloads.grant(source=source, user=bob, granted_by=ann)
    download = downloads.create(user=bob, source_id=source.pk)
    assert downloads.revoke(source=source, user=bob)
    assert not downloads.revoke(source=source, user=bob)
    for refused in (
        partial(downloads.create, user=bob, source_id=source.pk),
        partial(tasks.report, DownloadTask, user=bob, task_id=download.pk, told=Report(status=4)),
    ):
        assert isinstance(attempt(refused), NotGrantedError)
    PrivateUpload.objects.filter(source=source).update(status=8, percent=100, hash=CID, size=9)
    found = partial(tasks.find, DownloadTask, user=bob, task_id=download.pk)
    assert tasks.progress.shown(found())["private_hash"] == ""
    downloads.grant(source=source, user=bob, granted_by=ann)
    assert tasks.progress.shown(found())["private_hash"] == CID
    assert tasks.report(DownloadTask, user=bob, task_id=download.pk, told=Report(status=4)).status == 4


@pytest.mark.django_db
def test_whether_a_download_is_granted_follows_whoever_its_user_is_now(ann: User, bob: User) -> None:
    source = new_source(ann)
    PrivateUpload.objects.filter(source=source).update(status=8, percent=100, hash=CID, size=9)
    downloads.grant(source=source, user=bob, granted_by=ann)
    download = downloads.create(user=bob, source_id=source.pk)

    def shown_and_taken() -> tuple[str, bool]:
        rows = [*tasks.listed(DownloadTask, user=bob, filters=Filters())]
        rows.append(tasks.find(DownloadTask, user=bob, task_id=download.pk))
        [told] = {tasks.progress.shown(row)["private_hash"] for row in rows}
        report = partial(tasks.report, DownloadTask, user=bob, task_id=download.pk, told=Report(status=4))
        return told, not isinstance(attempt(report), NotGrantedError)

    def become(**facts: bool) -> None:
        User.objects.filter(pk=bob.pk).update(**facts)
        bob.refresh_from_db()

    assert shown_and_taken() == (CID, True)
    downloads.revoke(source=source, user=bob)
    assert shown_and_taken() == ("", False)
    become(is_staff=True)
    assert shown_and_taken() == (CID, True)
    become(is_staff=False)
    assert shown_and_taken() == ("", False)
    become(is_staff=True)
    Source.objects.filter(pk=source.pk).update(owner=bob)
    become(is_staff=False)
    assert shown_and_taken() == (CID, True)


@pytest.mark.django_db
def test_the_task_for_the_private_block_begins_in_the_folder_of_the_public_one(ann: User) -> None:
    public = new_task(PublicUpload, ann, status=3)
    PrivateUpload.objects.all().delete()
    block = {"hash": CID, "size": 9, "file": "仙剑奇侠传", "name": "n", "ip": "p"}
    tasks.report(PublicUpload, user=ann, task_id=public.pk, told=Report(status=8, block=block))
    private = PrivateUpload.objects.get()
    assert (private.file, private.name, private.hash, private.size, private.ip) == ("仙剑奇侠传", "", "", 0, "")


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def bob() -> User:
    return new_user("bob")
