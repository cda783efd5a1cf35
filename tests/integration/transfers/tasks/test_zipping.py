"""Making zips: every way that a file fails, every way that a job ends, and nothing left lying about."""

from __future__ import annotations

import errno
import io
import os
import time
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as service_settings
from django.contrib.auth.models import User
from django.db.models import F
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from tests.integration.transfers.orders import Api, association, made_files, ordered, ready_file, work
from tests.integration.transfers.rows import at_once, in_seconds, use
from tests.integration.transfers.tasks.conftest import Counted
from transfers import leases, running
from transfers.engine.local.sink import LocalSink
from transfers.errors import (
    ChecksumsPendingError,
    FolderUnusableError,
    Interruption,
    JobEndedError,
    OutOfSpaceError,
    SinkError,
)
from transfers.models import DownloadList, ListItem, ListJob, Order, OrderItem, StoredFile
from transfers.models.list_job import ListJobDesired, ListJobState
from transfers.services import order as orders
from transfers.services import stored_file as files
from transfers.services import zip_stream
from transfers.tasks import checking, reap, remove_file, sweep, take_checksums, tidy_zip, zipping
from transfers.tasks.items import Failure
from transfers.tasks.zipping import MAX_FRUITLESS

pytest_plugins = ["tests.integration.transfers.order_fixtures"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

TEXT = b"the same words again " * 10_000
"""Long enough to be compressed."""


def started(order: Order) -> ListJob:
    orders.expire_lost(order=order)
    return orders.start(order=order)


def zip_of(job: ListJob) -> dict[str, bytes]:
    """What is in the job's zip, every checksum of which is looked at."""
    assert job.stored_file is not None
    with zipfile.ZipFile(job.stored_file.path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def failures(order: Order) -> list[str]:
    return list(order.items.order_by("number").values_list("failure_code", flat=True))


def on_list(user: User) -> list[int]:
    """The files on the list, whose totals are counted anew."""
    items = list(ListItem.objects.filter(download_list_id=user.pk))
    row = DownloadList.objects.get(pk=user.pk)
    assert (row.files_count, row.total_bytes) == (len(items), sum(item.size for item in items))
    return [item.file_id for item in items]


# How files fail -------------------------------------------------------------------------------------------------------


def delete(file: StoredFile) -> None:
    files.delete(user=file.owner, stored_file_id=file.pk)


def delete_wholly(file: StoredFile) -> None:
    delete(file)
    StoredFile.objects.filter(pk=file.pk).delete()


def replace(file: StoredFile) -> None:
    """With other bytes, and the row follows, as after a sync."""
    Path(file.path).write_bytes(b"other")
    os.utime(file.path, ns=(1, 1))
    StoredFile.objects.filter(pk=file.pk).update(modified_ns=1)


def edit(file: StoredFile) -> None:
    """Behind the service's back."""
    Path(file.path).write_bytes(b"longer than it was")


def lose(file: StoredFile) -> None:
    Path(file.path).unlink()


def give_away(file: StoredFile) -> None:
    StoredFile.objects.filter(pk=file.pk).update(owner=User.objects.create_user("heir"))


def make_unreadable(file: StoredFile) -> None:
    """A folder in its place, of the very size and time."""
    Path(file.path).unlink()
    Path(file.path).mkdir()
    status = Path(file.path).stat()
    facts = {"size": status.st_size, "modified_ns": status.st_mtime_ns}
    StoredFile.objects.filter(pk=file.pk).update(**facts)
    for order in Order.objects.all():
        order.items.filter(file_id=file.pk).update(**facts)


def cannot_be_hashed(file: StoredFile) -> None:
    StoredFile.objects.filter(pk=file.pk).update(crc32="", sha256="", checksum_error="cannot be read: I/O error")
    for order in Order.objects.all():
        order.items.filter(file_id=file.pk).update(crc32="")


def rot(file: StoredFile) -> None:
    """Other bytes, under the same size and time."""
    Path(file.path).write_bytes(b"X" * file.size)
    os.utime(file.path, ns=(file.modified_ns, file.modified_ns))


def grow(file: StoredFile) -> None:
    """Beyond the limit as it is by then, for it and for all that come behind it."""
    use(service_settings, order_max_bytes=8)


FAILURES: dict[str, tuple[Callable[[StoredFile], None], str]] = {
    "deleted": (delete, "NOT_FOUND"),
    "deleted-and-removed": (delete_wholly, "NOT_FOUND"),
    "changed": (replace, "NOT_FOUND"),
    "changed-behind-our-back": (edit, "NOT_FOUND"),
    "lost": (lose, "NOT_FOUND"),
    "anothers-now": (give_away, "UNAUTHORIZED"),
    "a-folder-in-its-place": (make_unreadable, "UNKNOWN_ERROR"),
    "cannot-be-hashed": (cannot_be_hashed, "UNKNOWN_ERROR"),
    "rotten": (rot, "NOT_FOUND"),
    "over-the-limit": (grow, "EXCEEDS_SIZE_LIMIT"),
}


@pytest.mark.parametrize(("fail", "code"), FAILURES.values(), ids=FAILURES)
def test_a_file_that_fails_is_told_and_goes_back_on_the_list(
    fail: Callable[[StoredFile], None], code: str, lister: User, client_of_lists: Api, settings: Settings
) -> None:
    first, bad, last = (ready_file(lister, f"{n}.bin", bytes([n]) * 3 * n) for n in (1, 2, 1))
    order = ordered(lister, first, bad, last)
    job = started(order)
    fail(bad)
    assert work(job).state == ListJobState.COMPLETED, job.error
    result = client_of_lists.told("GET", f"/async/get/{job.pk}")
    names = ["1.bin", "2.bin", "1(1).bin"] if "1(1).bin" in zip_of(job) else ["1.bin", "2.bin", "1 (1).bin"]
    told = [each.get("failureCode") for each in result["fileSummary"]]
    assert (told, failures(order)) == ([None, code, None], ["", code, ""])
    assert [each["status"] for each in result["fileSummary"]] == ["SUCCESS", "FAILURE", "SUCCESS"]
    assert [each["zipEntryName"] for each in result["fileSummary"]] == names
    assert result["fileSummary"][1]["failureMessage"]
    assert zip_of(job) == {names[0]: b"\1" * 3, names[2]: b"\1" * 3}
    assert on_list(lister) == [bad.pk]
    assert made_files() == [f"{lister.pk}/{job.pk}.zip"]


def test_a_file_that_is_compressed_and_fails(lister: User) -> None:
    good, bad, gone = (ready_file(lister, f"{n}.txt", TEXT + b"%d" % n, content_type="text/plain") for n in (1, 2, 3))
    order = ordered(lister, good, bad, gone)
    rot_text(bad)
    delete(gone)
    job = work(started(order))
    assert failures(order) == ["", "NOT_FOUND", "NOT_FOUND"]
    assert zip_of(job) == {"1.txt": TEXT + b"1"}
    assert job.stored_file is not None
    assert job.stored_file.size < len(TEXT) // 10
    assert on_list(lister) == [gone.pk, bad.pk], "what is gone shows before anything is compressed"
    assert made_files() == [f"{lister.pk}/{job.pk}.zip"]


def rot_text(file: StoredFile) -> None:
    Path(file.path).write_bytes(TEXT[::-1] + b"!")
    os.utime(file.path, ns=(file.modified_ns, file.modified_ns))


def test_a_duplicate_does_not_go_back_on_the_list(lister: User, client_of_lists: Api) -> None:
    file = ready_file(lister, "a.bin")
    client_of_lists.told("POST", "/download/list/me/add", association(file))
    body = {"zipFileName": "z", "subSet": [association(file)] * 2}
    order = Order.objects.get(pk=client_of_lists.told("PUT", "/download/list/me/order", body)["orderId"])
    job = work(started(order))
    assert (failures(order), list(zip_of(job)), on_list(lister)) == (["", "DUPLICATE"], ["a.bin"], [])


def test_a_duplicate_of_a_file_that_fails_is_back_on_the_list_once(lister: User, client_of_lists: Api) -> None:
    file, other = ready_file(lister), ready_file(lister)
    for each in (file, other):
        client_of_lists.told("POST", "/download/list/me/add", association(each))
    body = {"zipFileName": "z", "subSet": [association(each) for each in (file, other, file)]}
    order = Order.objects.get(pk=client_of_lists.told("PUT", "/download/list/me/order", body)["orderId"])
    delete(file)
    work(started(order))
    assert (failures(order), on_list(lister)) == (["NOT_FOUND", "", "DUPLICATE"], [file.pk])


def test_an_order_of_which_nothing_is_left(lister: User, client_of_lists: Api) -> None:
    file = ready_file(lister)
    order = ordered(lister, file)
    delete(file)
    job = work(started(order))
    assert (job.state, job.stored_file) == (ListJobState.COMPLETED, None)
    told = client_of_lists.told("GET", f"/async/get/{job.pk}")
    assert (told["resultZipFileHandleId"], told["fileSummary"][0]["failureCode"]) == (None, "NOT_FOUND")
    assert client_of_lists.ask("GET", f"/download/order/{order.pk}/zip").status_code == 404
    assert on_list(lister) == [file.pk]
    assert started(order) != job, "it may be tried again"
    assert made_files() == []


def test_a_file_that_is_there_again_is_in_the_next_zip(lister: User) -> None:
    file = ready_file(lister, "a.bin", b"there")
    order = ordered(lister, file)
    hidden = Path(file.path).rename(Path(file.path).with_name("hidden"))
    assert work(started(order)).stored_file is None
    assert on_list(lister) == [file.pk]
    hidden.rename(file.path)
    assert zip_of(work(started(order))) == {"a.bin": b"there"}
    assert failures(order) == [""]
    assert on_list(lister) == []  # or its next order would have it twice


def test_a_disk_that_is_away_fails_no_file(lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ready_file(lister, "a.bin", b"there")
    order = ordered(lister, file)
    job, as_it_is = started(order), Path.stat

    def stat(path: Path, **options: Any) -> os.stat_result:
        if str(path) == file.path:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return as_it_is(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", stat)
        with pytest.raises(FolderUnusableError):
            zip_stream.stream(order=order)
        assert work(job).state == ListJobState.QUEUED
    assert (failures(order), on_list(lister)) == ([""], [])
    ListJob.objects.update(next_attempt_at=Now())
    assert zip_of(work(job)) == {"a.bin": b"there"}


def test_many_files_that_go_amid_a_zip_cost_one_more_copy(lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = [ready_file(lister, f"{number}.bin", b"%d" % number) for number in range(6)]
    order = ordered(lister, *stored)
    layouts = []
    as_it_is = zipping._Zipping._copy

    def copy(self: Any, layout: Any, *rest: Any) -> None:
        if not layouts:
            for file in stored[2:]:
                Path(file.path).unlink()
        layouts.append(layout.count)
        as_it_is(self, layout, *rest)

    monkeypatch.setattr(zipping._Zipping, "_copy", copy)
    assert zip_of(work(started(order))) == {"0.bin": b"0", "1.bin": b"1"}
    assert layouts == [6, 2]


def test_what_nobody_foresaw_ends_a_job_after_some_attempts(
    lister: User, monkeypatch: pytest.MonkeyPatch, counted: Counted
) -> None:
    job = started(ordered(lister, ready_file(lister)))

    def layout_of(_: Order) -> None:
        raise ValueError("nobody foresaw it")

    monkeypatch.setattr(zipping, "layout_of", layout_of)
    for _ in range(MAX_FRUITLESS):
        assert job.state == ListJobState.QUEUED
        ListJob.objects.update(next_attempt_at=Now())
        work(job)
    assert (job.state, job.error_code) == (ListJobState.FAILED, "transfer_failed")
    assert "foresaw" not in job.error
    assert counted("retries", "zip") == {"transfer_failed": MAX_FRUITLESS - 1}
    assert counted("failures", "zip") == {"transfer_failed": 1}


def test_bytes_of_zips_are_counted_once(lister: User, counted: Counted) -> None:
    job = work(started(ordered(lister, ready_file(lister))))
    assert counted("bytes_moved", "zip") == {"": job.bytes_total}
    work(job)
    assert counted("bytes_moved", "zip") == {"": job.bytes_total}


# Checksums ------------------------------------------------------------------------------------------------------------


def test_a_zip_waits_for_checksums(lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipping, "CHECKSUMS_PATIENCE_SECONDS", 0.0)
    file = ready_file(lister, "a.bin", crc32="", sha256="")
    job = work(started(ordered(lister, file)))
    assert (job.state, job.message, job.fruitless_attempts) == (ListJobState.QUEUED, "taking checksums", 0)
    StoredFile.objects.filter(pk=file.pk).update(crc32=ready_file(lister).crc32, sha256="s")
    ListJob.objects.update(next_attempt_at=Now())
    assert zip_of(work(job)) == {"a.bin": b"bytes"}


def test_waiting_looks_at_those_alone_that_are_waited_for(lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipping, "CHECKSUMS_PATIENCE_SECONDS", 0.0)
    stored = [ready_file(lister), ready_file(lister, crc32="", sha256=""), ready_file(lister)]
    looked_at: list[int] = []
    failure_of = checking.failure_of

    def noted(order: Order, item: OrderItem, file: StoredFile | None) -> Failure | None:
        looked_at.append(item.number)
        return failure_of(order, item, file)

    monkeypatch.setattr(checking, "failure_of", noted)
    work(started(ordered(lister, *stored)))
    assert looked_at == [1]


def test_a_zip_is_not_read_again_for_its_checksums_before_it_is_ordered(lister: User) -> None:
    inner = work(started(ordered(lister, ready_file(lister, "a.bin"), name="inner.zip"))).stored_file
    assert inner is not None
    reap()
    take_checksums(str(inner.pk))
    inner.refresh_from_db()
    assert (inner.crc32, inner.checksum_error) == ("", "")
    order = ordered(lister, inner)
    job = started(order)
    with pytest.raises(ChecksumsPendingError):
        zip_stream.stream(order=order)
    take_checksums(str(inner.pk))  # as who looks at the order has rung for
    assert zip_of(work(job)) == {"orders/inner.zip": Path(inner.path).read_bytes()}


def test_progress_goes_on_while_files_are_compressed(lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [ready_file(lister, f"{n}.txt", TEXT + b"%d" % n, content_type="text/plain") for n in range(3)]
    told: list[tuple[int, int]] = []
    real = zipping.copy

    def copy(*given: Any, **options: Any) -> None:
        real(*given, **options)
        (at_work,) = (work for _, work in running._running.values() if isinstance(work, zipping._Zipping))
        told.append((at_work._progress()["bytes_done"], at_work.job.bytes_total))

    monkeypatch.setattr(zipping, "copy", copy)
    job = work(started(ordered(lister, *files)))
    size = files[0].size
    compressed, (zipped, total) = told[:-1], told[-1]
    assert compressed == [(size * n, 6 * size) for n in (1, 2, 3)]
    assert (zipped, total) == (3 * size + job.bytes_total,) * 2
    assert job.bytes_done == job.bytes_total == Path(zip_path(job)).stat().st_size


def zip_path(job: ListJob) -> str:
    assert job.stored_file is not None
    return job.stored_file.path


# How jobs end ---------------------------------------------------------------------------------------------------------


def test_only_one_of_many_who_start_it_makes_a_job(lister: User) -> None:
    order = ordered(lister, ready_file(lister))
    found = at_once([lambda: orders.start(order=Order.objects.get(pk=order.pk)).pk] * 8)
    assert len(set(found)) == ListJob.objects.count() == 1


def test_only_one_of_many_workers_makes_the_zip(lister: User) -> None:
    order = ordered(lister, *(ready_file(lister, f"{n}.bin", bytes([n]) * 10_000) for n in range(20)))
    job = started(order)
    at_once([lambda: zipping.make_zip(str(job.pk))] * 4)
    job.refresh_from_db()
    assert (job.state, job.lease_epoch) == (ListJobState.COMPLETED, 1)
    assert StoredFile.objects.filter(content_type="application/zip").count() == 1


class Pausing:
    """Stops a copy before its first byte until something was done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
        real = zipping.copy

        def copy(*given: Any, **options: Any) -> Any:
            act()
            return real(*given, **options)

        monkeypatch.setattr(zipping, "copy", copy)


def leave_half(monkeypatch: pytest.MonkeyPatch, job: ListJob) -> None:
    """Have a worker killed in the middle of the job: what it has written lies there, and its lease runs out."""

    def die() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        Pausing(patched, die)
        with pytest.raises(KeyboardInterrupt):
            zipping.make_zip(str(job.pk))
    ListJob.objects.filter(pk=job.pk).update(lease_expires_at=in_seconds(-1))


def large(owner: User, name: str = "large.bin") -> StoredFile:
    """Large enough for its part file to have a journal from the start."""
    return ready_file(owner, name, bytes(5 * 2**20))


def test_a_job_whose_worker_died_goes_on(lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    file, text = large(lister), ready_file(lister, "a.txt", TEXT, content_type="text/plain")
    job = started(ordered(lister, file, text))
    leave_half(monkeypatch, job)
    assert made_files() != []
    assert zip_of(work(job)) == {"large.bin": bytes(file.size), "a.txt": TEXT}
    assert made_files() == [f"{lister.pk}/{job.pk}.zip"]


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/plain"])
@pytest.mark.parametrize("by", ["service", "reaper"])
def test_what_a_dead_worker_left_of_a_stopped_job_is_removed(
    kind: str, by: str, lister: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = started(ordered(lister, ready_file(lister, "l", bytes(5 * 2**20), content_type=kind)))
    leave_half(monkeypatch, job)
    assert made_files() != []
    if by == "service":
        assert orders.stop(job=job).state == ListJobState.STOPPED
    else:
        ListJob.objects.update(desired=ListJobDesired.STOP)
        reap()
    tidy_zip(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.location, made_files()) == (ListJobState.STOPPED, "", [])


def test_what_nobody_tidied_the_sweeper_rings_for(lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[tuple[str, object]] = []
    monkeypatch.setattr("transfers.tasks.sweeping.ring", lambda task, pk, **_: rung.append((task.name, pk)))
    job, done, live = (started(ordered(lister, ready_file(lister))) for _ in range(3))
    orders.stop(job=job)
    work(done)
    sweep()
    assert rung == [("transfers.tidy_zip", job.pk)]
    tidy_zip(str(job.pk))
    tidy_zip(str(live.pk))
    tidy_zip(str(done.pk))
    live.refresh_from_db()
    assert live.location
    rung.clear()
    sweep()
    assert rung == []
    assert made_files() == [f"{lister.pk}/{done.pk}.zip"]


def test_a_stop_amid_the_work(lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    job = started(ordered(lister, large(lister)))
    Pausing(monkeypatch, lambda: (orders.stop(job=job), wait_for_a_beat())[0])
    work(job)
    assert (job.state, made_files()) == (ListJobState.STOPPED, [])
    with pytest.raises(JobEndedError):
        orders.stop(job=job)


def wait_for_a_beat() -> None:
    """Wait until a heartbeat has told the work to end."""
    deadline = time.monotonic() + 10
    while not any(work._reason for _, work in list(running._running.values()) if isinstance(work, zipping._Zipping)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_order_that_is_being_stopped_cannot_be_started_yet(lister: User, client_of_lists: Api) -> None:
    order = ordered(lister, ready_file(lister))
    job = started(order)
    assert ListJob.objects.claim(job.pk, leases.new_owner()) is not None
    assert client_of_lists.ask("POST", f"/async/stop/{job.pk}").status_code == 202
    client_of_lists.refused(409, "job_ended", "POST", f"/download/order/{order.pk}/async/start")


def test_a_drain_hands_the_job_back_with_what_there_is(lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    job = started(ordered(lister, large(lister)))

    def drain() -> None:
        for _, each in list(running._running.values()):
            each.interrupt(Interruption.DRAINING)

    with monkeypatch.context() as patched:
        Pausing(patched, drain)
        work(job)
    assert (job.state, job.lease_owner, job.fruitless_attempts) == (ListJobState.QUEUED, "", 0)
    assert f"{lister.pk}/{job.pk}.zip.part" in made_files()
    work(job)
    assert (job.state, made_files()) == (ListJobState.COMPLETED, [f"{lister.pk}/{job.pk}.zip"])


def test_who_lost_the_lease_changes_nothing(lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the file that failed for it: that may be for the other's having been there."""
    file = large(lister)
    order = ordered(lister, file)
    job = started(order)

    def lose_lease() -> None:
        ListJob.objects.filter(pk=job.pk).update(lease_epoch=F("lease_epoch") + 1, lease_owner="another")
        lose(file)

    with monkeypatch.context() as patched:
        Pausing(patched, lose_lease)
        work(job)
    assert (job.state, job.lease_owner) == (ListJobState.RUNNING, "another")
    assert (failures(order), on_list(lister)) == ([""], [])


def test_a_disk_that_is_full(lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    order = ordered(lister, large(lister))
    job = started(order)

    def begin(*_: object) -> None:
        raise OutOfSpaceError("no space is left in /files")

    with monkeypatch.context() as patched:
        patched.setattr(LocalSink, "begin", begin)
        for attempt in range(MAX_FRUITLESS):
            assert job.state == ListJobState.QUEUED
            ListJob.objects.update(next_attempt_at=Now())
            assert work(job).fruitless_attempts == min(attempt + 1, MAX_FRUITLESS - 1)
    assert (job.state, job.error_code) == (ListJobState.FAILED, "out_of_space")
    assert made_files() == []
    assert zipfile.is_zipfile(StoredFile.objects.get(pk=work(started(order)).stored_file_id).path)


# What becomes of zips -------------------------------------------------------------------------------------------------


def test_a_zip_expires(lister: User, client_of_lists: Api, settings: Settings) -> None:
    use(settings, order_expiry_days=0.5)
    order = ordered(lister, ready_file(lister, "a.bin"))
    job = work(started(order))
    assert job.expires_at is not None
    assert job.ended_at is not None
    assert abs(job.expires_at - job.ended_at - timedelta(hours=12)) < timedelta(minutes=1)
    stored = job.stored_file
    assert stored is not None
    reap()
    assert started(order) == job
    ListJob.objects.update(expires_at=Now())
    reap()
    job.refresh_from_db()
    assert (job.state, job.stored_file) == (ListJobState.EXPIRED, None)
    assert client_of_lists.ask("GET", f"/files/{stored.pk}/content").status_code == 404
    told = client_of_lists.told("GET", f"/async/get/{job.pk}")
    assert (told["jobState"], told["errorDetails"]) == ("FAILED", "expired")
    remove_file(str(stored.pk))
    assert (made_files(), StoredFile.objects.filter(pk=stored.pk).exists()) == ([], False)
    again = work(started(order))
    assert (again.pk != job.pk, zip_of(again)) == (True, {"a.bin": b"bytes"})


def by_its_owner(stored: StoredFile) -> None:
    delete(stored)


def by_somebody_else(stored: StoredFile) -> None:
    Path(stored.path).unlink()


@pytest.mark.parametrize("take", [by_its_owner, by_somebody_else])
def test_a_zip_that_was_taken_away_is_made_anew(
    take: Callable[[StoredFile], None], lister: User, client_of_lists: Api
) -> None:
    order = ordered(lister, ready_file(lister, "a.bin"))
    job = work(started(order))
    assert job.stored_file is not None
    take(job.stored_file)
    again = started(order)
    assert again != job
    job.refresh_from_db()
    assert (job.state, job.stored_file) == (ListJobState.EXPIRED, None)
    assert zip_of(work(again)) == {"a.bin": b"bytes"}
    told = client_of_lists.told("GET", f"/async/get/{job.pk}")
    assert (told["jobState"], told["errorDetails"]) == ("FAILED", "expired")
    assert StoredFile.objects.kept().filter(content_type="application/zip").count() == 1


@pytest.mark.parametrize("state", [ListJobState.FAILED, ListJobState.STOPPED])
def test_an_order_whose_job_ended_badly_is_begun_again(state: str, lister: User) -> None:
    order = ordered(lister, ready_file(lister, "a.bin"))
    first = started(order)
    ListJob.objects.update(state=state)
    second = started(order)
    assert second != first
    assert zip_of(work(second)) == {"a.bin": b"bytes"}


def test_the_zip_is_what_was_ordered_under_safe_names(lister: User) -> None:
    hostile = ["../../etc/passwd", "/abs", "a\\b", "nul\x01", "CON", "a.txt", "A.TXT", "ä" * 255, "e\u0301", "é"]
    made = [ready_file(lister, name, name.encode(), folder="../up/..") for name in hostile]
    order = ordered(lister, *made)
    job = work(started(order))
    found = zip_of(job)
    assert sorted(found.values()) == sorted(name.encode() for name in hostile)
    assert len({name.casefold() for name in found}) == len(hostile)
    for name in found:
        assert not name.startswith("/")
        assert not set(name.split("/")) & {"..", "."}
        assert "\\" not in name
    assert job.stored_file is not None
    with zipfile.ZipFile(io.BytesIO(Path(job.stored_file.path).read_bytes())) as archive:
        assert all(info.flag_bits & 0x800 for info in archive.infolist())


def test_the_place_that_fails_when_it_is_tidied_is_tidied_later(lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    job = started(ordered(lister, large(lister)))
    leave_half(monkeypatch, job)
    orders.stop(job=job)

    def abort(_: object) -> None:
        raise SinkError("the disk is away")

    with monkeypatch.context() as patched:
        patched.setattr(LocalSink, "abort", abort)
        tidy_zip(str(job.pk))
    job.refresh_from_db()
    assert job.location
    tidy_zip(str(job.pk))
    job.refresh_from_db()
    assert (job.location, made_files()) == ("", [])
