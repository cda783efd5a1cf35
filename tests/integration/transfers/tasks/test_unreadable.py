"""Files that no disk gives out any more, which fail alone, and disks that are away, which fail nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now

from tests.integration.transfers.orders import ordered, ready_file, work
from tests.integration.transfers.tasks.conftest import Counted
from tests.integration.transfers.tasks.test_zipping import TEXT, failures, on_list, started, zip_of
from transfers import leases
from transfers.engine.local import source
from transfers.errors import FolderUnusableError, SourceGoneError, SourceInterruptedError, SourceRefusedError
from transfers.models import ListJob, StoredFile
from transfers.models.list_job import ListJobState
from transfers.services import zip_stream
from transfers.tasks import checksums, take_checksums, zipping

pytest_plugins = ["tests.integration.transfers.order_fixtures"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

LARGE = bytes(2**19)
"""Enough to be moved by the kernel."""
Break = Callable[..., None]


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Break:
    """Has the disk give out no byte of these files any more, though it still finds them."""
    paths: set[str] = set()
    preadv, move = os.preadv, source.move_in_kernel

    def is_broken(fileno: int) -> bool:
        return str(Path(f"/proc/self/fd/{fileno}").readlink()) in paths

    def broken_preadv(fileno: int, *rest: Any) -> int:
        if is_broken(fileno):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return preadv(fileno, *rest)

    monkeypatch.setattr(os, "preadv", broken_preadv)
    monkeypatch.setattr(source, "move_in_kernel", lambda *given: 0 if is_broken(given[0]) else move(*given))
    monkeypatch.setattr(zipping, "DOUBT_SECONDS", 0.01)
    return lambda *files: paths.update(file.path for file in files)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Break:
    """Has the disk find none of these files, as one that hangs or was unmounted; without files it is well again."""
    paths: set[str] = set()
    stat, opened = Path.stat, os.open

    def fail_if_away(path: object) -> None:
        if str(path) in paths:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    def broken_stat(path: Path, **options: Any) -> os.stat_result:
        fail_if_away(path)
        return stat(path, **options)

    def broken_open(path: Any, *rest: Any, **options: Any) -> int:
        fail_if_away(path)
        return opened(path, *rest, **options)

    monkeypatch.setattr(Path, "stat", broken_stat)
    monkeypatch.setattr(os, "open", broken_open)

    def take_away(*files: StoredFile) -> None:
        paths.clear()
        paths.update(file.path for file in files)

    return take_away


FORMS: dict[str, tuple[bytes, str]] = {
    "small": (b"bytes", "application/octet-stream"),
    "large": (LARGE, "application/octet-stream"),
    "compressed": (TEXT, "text/plain"),
}


@pytest.mark.parametrize(("content", "content_type"), FORMS.values(), ids=FORMS)
def test_a_file_that_cannot_be_read_fails_alone(
    content: bytes, content_type: str, lister: User, unreadable: Break
) -> None:
    first, last = ready_file(lister, "first.bin", b"first"), ready_file(lister, "last.bin", b"last")
    bad = ready_file(lister, "bad", content, content_type=content_type)
    order = ordered(lister, first, bad, last)
    job = started(order)
    unreadable(bad)
    assert work(job).state == ListJobState.COMPLETED, job.error
    assert zip_of(job) == {"first.bin": b"first", "last.bin": b"last"}
    assert (failures(order), on_list(lister)) == (["", "UNKNOWN_ERROR", ""], [bad.pk])


def test_many_files_that_cannot_be_read_fail_in_one_attempt(lister: User, unreadable: Break) -> None:
    bad = [ready_file(lister) for _ in range(zipping.MAX_FRUITLESS + 1)]
    good = ready_file(lister, "good.bin")
    order = ordered(lister, *bad, good)
    job = started(order)
    unreadable(*bad)
    assert zip_of(work(job)) == {"good.bin": b"bytes"}
    assert failures(order) == ["UNKNOWN_ERROR"] * len(bad) + [""]


def test_an_order_of_nothing_else(lister: User, unreadable: Break) -> None:
    bad = ready_file(lister)
    job = started(ordered(lister, bad))
    unreadable(bad)
    assert (work(job).state, job.stored_file) == (ListJobState.COMPLETED, None)
    assert on_list(lister) == [bad.pk]


def test_a_disk_that_gives_out_nothing_fails_no_file(lister: User, unreadable: Break) -> None:
    stored = [ready_file(lister) for _ in range(3)]
    order = ordered(lister, *stored)
    job = started(order)
    unreadable(*stored)
    assert (work(job).state, failures(order)) == (ListJobState.QUEUED, ["", "", ""])


def test_a_read_that_fails_once_costs_nothing(lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = ready_file(lister, "a.bin"), ready_file(lister, "b.bin")
    monkeypatch.setattr(zipping, "DOUBT_SECONDS", 0.01)
    preadv, failed = os.preadv, list[int]()

    def fails_once(fileno: int, *rest: Any) -> int:
        if not failed and str(Path(f"/proc/self/fd/{fileno}").readlink()) == bad.path:
            failed.append(fileno)
            raise OSError(errno.EIO, "once")
        return preadv(fileno, *rest)

    order = ordered(lister, bad, good)
    job = started(order)
    monkeypatch.setattr(os, "preadv", fails_once)
    assert (zip_of(work(job)), failed != []) == ({"a.bin": b"bytes", "b.bin": b"bytes"}, True)


def test_a_file_that_cannot_even_be_looked_at_fails_alone(lister: User, away: Break) -> None:
    bad, good = ready_file(lister, "a.bin"), ready_file(lister, "b.bin")
    order = ordered(lister, bad, good)
    job = started(order)
    away(bad)
    assert (zip_of(work(job)), failures(order)) == ({"b.bin": b"bytes"}, ["UNKNOWN_ERROR", ""])


def test_a_disk_that_is_not_mounted_fails_no_file(lister: User, files_root: Path) -> None:
    order = ordered(lister, ready_file(lister, "a.bin"))
    job = started(order)
    hidden = files_root.rename(files_root.with_name("hidden"))
    files_root.mkdir()
    with pytest.raises(FolderUnusableError):
        zip_stream.stream(order=order)
    assert work(job).state == ListJobState.QUEUED
    files_root.rmdir()
    hidden.rename(files_root)
    ListJob.objects.update(next_attempt_at=Now())
    assert (zip_of(work(job)), failures(order)) == ({"a.bin": b"bytes"}, [""])


# Checksums ------------------------------------------------------------------------------------------------------------


def attempt(file: StoredFile) -> StoredFile:
    """What a worker makes of it once its pause is over."""
    StoredFile.objects.filter(pk=file.pk, lease_owner="").update(lease_expires_at=None)
    take_checksums(str(file.pk))
    file.refresh_from_db()
    assert leases.held(file).count() == 0
    return file


def test_checksums_that_cannot_be_taken_are_not_awaited_for_ever(
    lister: User, unreadable: Break, counted: Counted
) -> None:
    bad, good = ready_file(lister, "bad.bin", crc32="", sha256=""), ready_file(lister, "good.bin")
    order = ordered(lister, bad, good)
    job = started(order)
    unreadable(bad)
    for number in range(1, checksums.MAX_ATTEMPTS):
        assert (attempt(bad).checksum_attempts, bad.checksum_error) == (number, "")
        assert bad.lease_expires_at is not None, "it is left alone for a while"
    assert "Input/output" in attempt(bad).checksum_error
    assert sum(counted("retries", "checksum").values()) == checksums.MAX_ATTEMPTS - 1
    assert sum(counted("failures", "checksum").values()) == 1
    assert (zip_of(work(job)), failures(order)) == ({"good.bin": b"bytes"}, ["UNKNOWN_ERROR", ""])


def test_a_disk_that_is_away_takes_nobodys_checksums(lister: User, away: Break) -> None:
    files = [ready_file(lister, crc32="", sha256="") for _ in range(2)]
    away(*files)
    for _ in range(checksums.MAX_ATTEMPTS + 1):
        assert attempt(files[0]).checksum_error == ""
    away()
    assert attempt(files[0]).crc32


def test_checksums_go_on_with_whatever_waits(lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "NEW_SECONDS", 0.0)
    files = [ready_file(lister, crc32="", sha256="") for _ in range(5)]
    take_checksums(str(files[0].pk))
    assert not StoredFile.objects.unhashed().exists()


# What a failure to open means -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EMFILE, SourceInterruptedError),
        (errno.ENFILE, SourceInterruptedError),
        (errno.EIO, SourceInterruptedError),
        (errno.ESTALE, SourceInterruptedError),
        (errno.ENOMEM, SourceInterruptedError),
        (errno.EACCES, SourceRefusedError),
        (errno.ELOOP, SourceRefusedError),
        (errno.ENOENT, SourceGoneError),
        (errno.ENOTDIR, SourceGoneError),
    ],
    ids=lambda given: errno.errorcode[given] if isinstance(given, int) else None,
)
def test_what_a_failure_to_open_means(
    number: int, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", fail)
        with pytest.raises(kind) as told:
            source.LocalSource(tmp_path / "file").stat()
    assert type(told.value) is kind
