"""Uploads at their edges: what lies there before, what is lost on the way, whoever comes late, and no room for all."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.db import connections
from pytest_django.fixtures import Settings

from tests import battery
from tests.e2e.uploads import md5s
from tests.integration.transfers.rows import at_once, in_seconds, new_user, use
from tests.integration.transfers.services.test_upload import (
    CONTENT,
    PARTS,
    WAIT_SECONDS,
    Content,
    Sender,
    Unread,
    collecting,
    complete,
    content_of,
    files,
    fresh,
    initiate,
    send,
    sent,
    stored,
)
from transfers.engine.local import LocalCollection
from transfers.engine.local import collecting as engine
from transfers.engine.local.part_journal import PartJournal
from transfers.errors import (
    CarryonError,
    NoSuchUploadError,
    OutOfSpaceError,
    PartsDifferError,
    QuotaExceededError,
    SinkError,
    TooLargeError,
    UploadEndedError,
)
from transfers.models import StoredFile, Upload
from transfers.services import upload as uploads
from transfers.storage.local import UPLOADS
from transfers.tasks import complete_upload, housekeeping, reap

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


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
def bob() -> User:
    return new_user("bob")


def accepted(user: User) -> Upload:
    """One whose completion was accepted, and nothing done for it yet."""
    upload = fresh(sent(user))
    assert upload.mark_completing({str(number): each for number, each in md5s(PARTS).items()})
    return upload


def refusal_of(call: Callable[[], object]) -> CarryonError:
    with pytest.raises(CarryonError) as refused:
        call()
    return refused.value


# What lies there before ----------------------------------------------------------------------------------------------


def left_by_an_older_database(root: Path, number: int) -> None:
    """Another user's parts, and a file that was about to get its name, in the folder of an upload that is to come."""
    left = LocalCollection(root / UPLOADS / str(number), 1000, root / "other" / "film.mov")
    left.begin(None)
    for part in (1, 2, 7):
        left.write_part(part, Content(b"secret" * 100), 600)
    (root / UPLOADS / str(number) / "whole").write_bytes(b"secret")


def test_what_an_older_database_left_under_the_same_id_never_shows(ann: User, bob: User, root: Path) -> None:
    number = initiate(ann).pk + 1
    left_by_an_older_database(root, number)
    upload = initiate(bob)
    assert upload.pk == number
    assert stored(uploads.resume(user=bob, upload_id=number)) == {}
    with pytest.raises(PartsDifferError):
        complete(bob, upload, {1: b"secret" * 100})
    send(bob, upload, 2, PARTS[2])
    assert stored(upload) == md5s({2: PARTS[2]})
    for part in (1, 3):
        send(bob, upload, part, PARTS[part])
    complete(bob, upload)
    assert content_of(upload) == CONTENT
    assert len(files(root)) == 1


def test_what_cannot_be_removed_is_not_begun_upon(ann: User, root: Path) -> None:
    number = initiate(ann).pk + 1
    (root / UPLOADS / str(number) / "folder").mkdir(parents=True)
    with pytest.raises(SinkError):
        initiate(ann)
    assert not Upload.objects.filter(pk=number).exists()


# What is lost on the way ---------------------------------------------------------------------------------------------


def test_an_upload_whose_folder_vanished_while_it_was_completed_is_open_again(ann: User, root: Path) -> None:
    upload = accepted(ann)
    rmtree(root / UPLOADS / str(upload.pk))
    assert isinstance(refusal_of(lambda: complete(ann, upload)), UploadEndedError)
    assert fresh(upload).state == "open"
    assert stored(upload) == {}
    assert isinstance(refusal_of(lambda: complete(ann, upload)), PartsDifferError)
    for number, content in PARTS.items():
        send(ann, upload, number, content)
    complete(ann, upload)
    assert content_of(upload) == CONTENT


def test_a_worker_opens_an_upload_whose_folder_vanished(ann: User, root: Path) -> None:
    upload = accepted(ann)
    rmtree(root / UPLOADS / str(upload.pk))
    complete_upload(str(upload.pk))
    assert fresh(upload).state == "open"
    uploads.abort(user=ann, upload_id=upload.pk)
    assert not Upload.objects.exists()


def test_an_open_upload_whose_folder_vanished_takes_parts(ann: User, root: Path) -> None:
    upload = sent(ann)
    rmtree(root / UPLOADS / str(upload.pk))
    assert stored(upload) == {}
    for number, content in PARTS.items():
        send(ann, upload, number, content)
    complete(ann, upload)
    assert content_of(upload) == CONTENT


def test_a_refusal_says_rightly_how_far_the_upload_is(ann: User) -> None:
    upload = accepted(ann)
    calls: list[Callable[[], object]] = [
        lambda: send(ann, upload, 1, b"late"),
        lambda: uploads.abort(user=ann, upload_id=upload.pk),
        lambda: uploads.part_address(user=ann, upload_id=upload.pk, number=1),
    ]
    for call in calls:
        assert "is being completed" in refusal_of(call).message
    complete(ann, upload)
    for call in calls:
        message = refusal_of(call).message
        assert "is complete:" in message
        assert "being" not in message


# Two who complete ----------------------------------------------------------------------------------------------------


def test_whoever_completes_beside_another_is_told_to_ask_again(
    ann: User, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PATIENCE_SECONDS", 0.1)
    upload = accepted(ann)

    def second() -> CarryonError:
        try:
            return refusal_of(lambda: complete(ann, upload))
        finally:
            connections.close_all()

    with PartJournal(root / UPLOADS / str(upload.pk) / "journal").held():
        (refusal,) = at_once([second])
        assert type(refusal) is SinkError, "it is to be answered with 503"
        assert "again" in refusal.message
        worker = threading.Thread(target=lambda: (complete_upload(str(upload.pk)), connections.close_all()))
        worker.start()
        worker.join(WAIT_SECONDS)
        assert not worker.is_alive()
        assert fresh(upload).state == "completing"
    complete(ann, upload)
    assert content_of(upload) == CONTENT
    assert len(files(root)) == StoredFile.objects.count() == 1


def test_what_was_left_behind_is_rung_for_once_in_a_while(ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[tuple[str, int]] = []
    monkeypatch.setattr(housekeeping, "ring", lambda task, pk: rung.append((task.name, pk)))
    completing, removing = accepted(ann), fresh(sent(ann))
    assert removing.mark_removing()
    once = [("transfers.complete_upload", completing.pk), ("transfers.remove_upload", removing.pk)]
    for turn in range(1, 3):
        Upload.objects.update(touched_at=in_seconds(-11))
        for _ in range(3):
            reap()
            assert rung == once * turn
    Upload.objects.update(touched_at=in_seconds(-9))
    reap()
    assert rung == once * 2


# Parts that race -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", range(battery.rounds(6, 100)))
def test_a_part_and_a_completion_at_once(ann: User, root: Path, turn: int) -> None:
    upload = sent(ann)

    def quietly(call: Callable[[], object]) -> str:
        try:
            call()
        except (UploadEndedError, PartsDifferError) as error:
            return error.code
        return "done"

    calls: list[Callable[[], object]] = [lambda: complete(ann, upload)] * 2
    calls += [lambda number=number: send(ann, upload, number, b"late" * 250) for number in (2, 4, 9)]  # type: ignore[misc]
    outcomes = at_once([lambda call=call: quietly(call) for call in calls[turn % 2 :]])  # type: ignore[misc]
    if fresh(upload).state == "completed":
        assert outcomes[-3:] == ["upload_ended"] * 3
        assert content_of(upload) == CONTENT
        assert collecting(root) == set()
    else:  # a part was stored after it was accepted: whoever sent it was told that it was too late, or not
        assert fresh(upload).state == "open"
        assert stored(upload) != md5s(PARTS)
        assert files(root) == []


# No room for all -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("many", [False, True], ids=["of one upload", "of several uploads"])
def test_parts_that_end_when_others_have_filled_the_quota_are_refused(
    ann: User, settings: Settings, *, many: bool
) -> None:
    use(settings, user_quota_bytes=3000)
    one = initiate(ann)
    senders = [Sender(ann, initiate(ann) if many else one, number, bytes([number]) * 1000) for number in range(1, 9)]
    for sender in senders:
        sender.finish()
    assert [sender.failure for sender in senders[:3]] == [None] * 3
    assert all(isinstance(sender.failure, QuotaExceededError) for sender in senders[3:])
    kept = list(itertools.chain(*[stored(upload).values() for upload in Upload.objects.all()]))
    assert sorted(kept) == sorted(sender.etag for sender in senders[:3])
    assert sum(upload.received for upload in Upload.objects.all()) == 3000


def test_parts_that_end_when_others_have_made_the_file_too_large_are_refused(ann: User, settings: Settings) -> None:
    use(settings, upload_max_bytes=2500)
    upload = initiate(ann)
    senders = [Sender(ann, upload, number, bytes([number]) * 1000) for number in (1, 2, 3)]
    for sender in senders:
        sender.finish()
    assert [type(sender.failure) for sender in senders] == [type(None), type(None), TooLargeError]
    assert stored(upload).keys() == {1, 2}


def test_a_part_that_replaces_one_is_not_refused_for_it_at_the_end(ann: User, settings: Settings) -> None:
    use(settings, user_quota_bytes=2000)
    upload = sent(ann, {1: b"a" * 1000, 2: b"b" * 1000})
    sender = Sender(ann, upload, 2, b"c" * 1000)
    sender.finish()
    assert sender.failure is None
    assert stored(upload)[2] == sender.etag


@pytest.mark.parametrize("size", [1001, 2**32])
def test_what_is_too_much_to_be_set_aside_is_refused_before_a_byte_is_read(
    root: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(uploads, "MAX_ASIDE_BYTES", 1000)
    with pytest.raises(TooLargeError, match="last"), uploads.set_aside(reader=Unread(), size=size):
        raise AssertionError("it is too large")
    with uploads.set_aside(reader=Content(b"x" * 1000), size=1000) as aside:
        assert aside.size == 1000


def test_what_the_storage_has_no_room_for_is_not_set_aside(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=10, f_frsize=100))
    with pytest.raises(OutOfSpaceError), uploads.set_aside(reader=Unread(), size=1001):
        raise AssertionError("there is no room")
    with uploads.set_aside(reader=Content(b"x" * 1000), size=1000) as aside:
        assert aside.size == 1000
    assert list(root.iterdir()) == []


def test_an_upload_that_is_ended_while_a_part_fills_the_quota_says_so(ann: User, settings: Settings) -> None:
    use(settings, user_quota_bytes=1500)
    upload = initiate(ann)
    sender = Sender(ann, upload, 1, b"x" * 1000)
    uploads.abort(user=ann, upload_id=upload.pk)
    sender.finish()
    assert isinstance(sender.failure, NoSuchUploadError)
