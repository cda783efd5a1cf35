"""Uploads finished and removed by workers: after a kill between any two changes, without the client, and only once."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import OperationalError, connections, transaction
from pytest_django.fixtures import Settings

from tests.e2e.uploads import md5, md5s
from tests.integration.transfers.rows import in_seconds, new_user, use
from tests.integration.transfers.tasks.conftest import Counted
from tests.unit.transfers.engine.local.test_crashes import crash_at
from transfers.doorbell import QUEUES
from transfers.engine.memory import MemorySource
from transfers.errors import NoSuchUploadError, PartsDifferError
from transfers.models import StoredFile, Upload
from transfers.services import upload as uploads
from transfers.services.upload import IncomingPart, UploadRequest
from transfers.storage.local import UPLOADS
from transfers.tasks import complete_upload, reap, remove_upload, take_checksums
from transfers.tasks import upload as tasks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

EVEN = {1: b"a" * 1000, 2: b"b" * 1000, 3: b"c" * 10}
ODD = {1: b"a" * 1000, 2: b"b" * 5000, 3: b"c" * 10}


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path) -> Path:
    """Where files come to rest."""
    folder = tmp_path.resolve() / "files"
    use(settings, files_root=folder)
    return folder


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def queue() -> Iterator[redis.Redis]:
    """Redis with empty queues."""
    with redis.Redis.from_url(django_settings.REDIS_URL, protocol=2) as client:
        client.delete(*QUEUES)
        yield client
        client.delete(*QUEUES)


def rung(queue: redis.Redis) -> list[tuple[str, str]]:
    """The doorbells in all queues: tasks and arguments; the queues are empty afterwards."""
    messages = [json.loads(message)["headers"] for name in QUEUES for message in queue.lrange(name, 0, -1)]
    queue.delete(*QUEUES)
    return sorted((message["task"], message["argsrepr"]) for message in messages)


def sent(user: User, parts: dict[int, bytes], **facts: Any) -> Upload:
    """A new upload of which these parts are stored."""
    request = UploadRequest(**{"catalog": "other-doc", "name": "film.mov", **facts})
    upload = uploads.initiate(user=user, request=request)
    for number, content in parts.items():
        with MemorySource(content).open(0, len(content)) as reader:
            part = IncomingPart(number=number, size=len(content))
            uploads.store_part(user=user, upload_id=upload.pk, part=part, reader=reader)
    return Upload.objects.get(pk=upload.pk)


def accepted(user: User, parts: dict[int, bytes], **facts: Any) -> Upload:
    """One whose completion was accepted, and nothing done for it yet."""
    upload = sent(user, parts, **facts)
    assert upload.mark_completing({str(number): each for number, each in md5s(parts).items()})
    return upload


def ended(user: User, parts: dict[int, bytes]) -> Upload:
    """One whose end was accepted, and nothing done for it yet."""
    upload = sent(user, parts)
    assert upload.mark_removing()
    return upload


def fresh(upload: Upload) -> Upload:
    return Upload.objects.select_related("stored_file").get(pk=upload.pk)


def files(root: Path) -> list[Path]:
    """All files that have come to rest."""
    return [path for path in root.rglob("*") if path.is_file() and UPLOADS not in path.parts]


def check_finished(root: Path, upload: Upload, parts: dict[int, bytes]) -> None:
    """One file, one record, and nothing beside them."""
    row = fresh(upload)
    (path,) = files(root)
    (stored,) = StoredFile.objects.all()
    assert path.read_bytes() == b"".join(parts.values())
    assert (row.state, row.stored_file, row.size) == ("completed", stored, path.stat().st_size)
    assert (stored.path, stored.size, stored.owner_id) == (str(path), row.size, upload.owner_id)
    assert stored.untouched()


def in_a_child(nth: int, work: Callable[[], object]) -> bool:
    """Do it in a child that is killed at its nth change of the disk; False when it came to its end before.

    The child has a database connection of its own, as another process has.
    """

    def work_and_leave() -> None:
        work()
        connections.close_all()

    connections.close_all()
    return crash_at(nth, work_and_leave)


# Rolled forward ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [EVEN, ODD], ids=["parts of one size", "parts of odd sizes"])
def test_what_was_accepted_is_finished_by_a_worker(ann: User, root: Path, parts: dict[int, bytes]) -> None:
    upload = accepted(ann, parts)
    for _ in range(3):
        complete_upload(str(upload.pk))
        check_finished(root, upload, parts)
    assert list((root / UPLOADS).iterdir()) == []


@pytest.mark.parametrize("parts", [EVEN, ODD], ids=["parts of one size", "parts of odd sizes"])
def test_a_kill_anywhere_in_completing_is_rolled_forward(ann: User, root: Path, parts: dict[int, bytes]) -> None:
    for nth in itertools.count(1):
        upload = sent(ann, parts)
        died = in_a_child(
            nth,
            lambda upload=upload: uploads.complete(user=ann, upload_id=upload.pk, parts=md5s(parts)),  # type: ignore[misc]
        )
        if fresh(upload).state == "open":  # the kill came before it was accepted, and the client asks again
            assert files(root) == []
            uploads.complete(user=ann, upload_id=upload.pk, parts=md5s(parts))
        complete_upload(str(upload.pk))
        check_finished(root, upload, parts)
        files(root)[0].unlink()
        Upload.objects.all().delete()
        StoredFile.objects.all().delete()
        if not died:
            break
    assert nth > 8, "hardly anything was counted"


def test_a_kill_in_completing_and_another_one_in_rolling_it_forward(ann: User, root: Path) -> None:
    upload = accepted(ann, ODD)
    nth = 0
    while in_a_child(nth := nth + 1, lambda: complete_upload(str(upload.pk))):
        assert len(files(root)) <= 1
    check_finished(root, upload, ODD)


def test_the_client_that_asks_again_after_a_kill_is_told_the_same(ann: User, root: Path) -> None:
    for nth in itertools.count(1):
        upload = sent(ann, EVEN)
        died = in_a_child(
            nth,
            lambda upload=upload: uploads.complete(user=ann, upload_id=upload.pk, parts=md5s(EVEN)),  # type: ignore[misc]
        )
        again = uploads.complete(user=ann, upload_id=upload.pk, parts=md5s(EVEN))
        assert again.state == "completed"
        check_finished(root, upload, EVEN)
        files(root)[0].unlink()
        Upload.objects.all().delete()
        StoredFile.objects.all().delete()
        if not died:
            break


@pytest.mark.parametrize("step", ["create", "mark_completed"])
def test_the_record_is_written_as_a_whole_or_not_at_all(
    ann: User, root: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    upload = accepted(ann, EVEN)

    def gone(*_: object, **__: object) -> None:
        raise OperationalError("the server closed the connection")

    with monkeypatch.context() as patch:
        patch.setattr(StoredFile.objects if step == "create" else Upload, step, gone)
        with pytest.raises(OperationalError):
            complete_upload(str(upload.pk))
    assert len(files(root)) == 1, "it has its name already"
    assert (fresh(upload).state, StoredFile.objects.count()) == ("completing", 0)
    complete_upload(str(upload.pk))
    check_finished(root, upload, EVEN)


def test_a_part_that_became_another_opens_the_upload_again(ann: User, root: Path, counted: Counted) -> None:
    upload = accepted(ann, {**EVEN, 2: b"x"})
    Upload.objects.update(parts={str(number): each for number, each in md5s(EVEN).items()})
    complete_upload(str(upload.pk))
    assert (fresh(upload).state, fresh(upload).parts) == ("open", {})
    assert counted("failures", "upload") == {"parts_differ": 1}
    assert files(root) == []
    with pytest.raises(PartsDifferError):
        uploads.complete(user=ann, upload_id=upload.pk, parts=md5s(EVEN))


def test_a_name_that_was_taken_meanwhile_is_left_to_whoever_took_it(ann: User, root: Path) -> None:
    first, second = accepted(ann, EVEN), accepted(ann, {1: b"second"})
    complete_upload(str(second.pk))
    foreign = root / str(ann.pk) / "other-doc" / "film (1).mov"
    foreign.write_bytes(b"foreign")
    complete_upload(str(first.pk))
    names = {path.name: path.read_bytes() for path in files(root)}
    assert names == {"film.mov": b"second", "film (1).mov": b"foreign", "film (2).mov": b"".join(EVEN.values())}


def test_the_record_of_a_file_that_is_away_gives_its_place_to_the_new_one(ann: User, root: Path) -> None:
    first = accepted(ann, EVEN)
    complete_upload(str(first.pk))
    (path,) = files(root)
    path.unlink()
    second = accepted(ann, ODD)
    complete_upload(str(second.pk))
    assert fresh(first).stored_file is None
    check_finished(root, second, ODD)


def test_nothing_is_done_for_an_upload_that_is_not_completing(ann: User, root: Path) -> None:
    upload = sent(ann, EVEN)
    for pk in (upload.pk, upload.pk + 1):
        complete_upload(str(pk))
        remove_upload(str(pk))
    assert fresh(upload).state == "open"
    assert uploads.stored_parts(upload=upload) == md5s(EVEN)
    done = accepted(ann, {1: b"done"})
    complete_upload(str(done.pk))
    remove_upload(str(done.pk))
    check_finished(root, done, {1: b"done"})


# Removed -------------------------------------------------------------------------------------------------------------


def test_a_kill_anywhere_in_removing_is_rolled_forward(ann: User, root: Path) -> None:
    for nth in itertools.count(1):
        upload = ended(ann, ODD)
        died = in_a_child(nth, lambda upload=upload: remove_upload(str(upload.pk)))  # type: ignore[misc]
        with pytest.raises(NoSuchUploadError):
            uploads.find(user=ann, upload_id=upload.pk)
        remove_upload(str(upload.pk))
        assert not Upload.objects.exists()
        assert list((root / UPLOADS).iterdir()) == []
        if not died:
            break
    assert nth > 3


def test_an_upload_that_something_is_still_written_to_is_removed_later(ann: User, root: Path) -> None:
    upload = ended(ann, EVEN)
    stubborn = root / UPLOADS / str(upload.pk) / "folder"
    stubborn.mkdir()
    remove_upload(str(upload.pk))
    assert fresh(upload).state == "removing"
    stubborn.rmdir()
    remove_upload(str(upload.pk))
    assert not Upload.objects.exists()


# Rung for ------------------------------------------------------------------------------------------------------------


def test_what_was_left_behind_is_rung_for(ann: User, queue: redis.Redis) -> None:
    rows = {
        name: [make(ann, {1: b"x"}) for _ in range(2)]
        for name, make in (("open", sent), ("completing", accepted), ("removing", ended))
    }
    old = [pair[0].pk for pair in rows.values()]
    Upload.objects.filter(pk__in=old).update(touched_at=in_seconds(-11))
    queue.delete(*QUEUES)
    reap()
    assert rung(queue) == [
        ("transfers.complete_upload", f"('{rows['completing'][0].pk}',)"),
        ("transfers.remove_upload", f"('{rows['removing'][0].pk}',)"),
    ]


def test_checksums_are_rung_for_once_the_record_is_written(ann: User, queue: redis.Redis) -> None:
    upload = accepted(ann, EVEN)
    queue.delete(*QUEUES)
    with transaction.atomic():
        tasks._record(upload, tasks.collection(upload).complete(md5s(EVEN)))
        assert rung(queue) == []
    assert rung(queue) == [("transfers.take_checksums", f"('{StoredFile.objects.get().pk}',)")]


def test_an_upload_without_a_broker_is_finished_all_the_same(ann: User, root: Path, settings: Settings) -> None:
    away = Path(settings.REDIS_URL.removeprefix("unix://"))
    hidden = away.with_suffix(".hidden")
    upload = sent(ann, EVEN)
    away.rename(hidden)
    try:
        assert uploads.complete(user=ann, upload_id=upload.pk, parts=md5s(EVEN)).state == "completed"
        other = sent(ann, EVEN)
        uploads.abort(user=ann, upload_id=other.pk)
    finally:
        hidden.rename(away)
    check_finished(root, upload, EVEN)


# Verified ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "verified"),
    [(md5(b"".join(EVEN.values())), True), (md5(b"something else"), False), ("", None)],
    ids=["right", "wrong", "not told"],
)
def test_the_md5_of_the_whole_is_looked_at_by_a_worker(ann: User, told: str, verified: bool | None) -> None:  # noqa: FBT001
    upload = accepted(ann, EVEN, md5=told)
    complete_upload(str(upload.pk))
    stored = StoredFile.objects.get()
    assert (stored.promised_md5, stored.verified, stored.md5) == (told, None, "")
    take_checksums(str(stored.pk))
    stored.refresh_from_db()
    assert (stored.md5, stored.verified) == (md5(b"".join(EVEN.values())), verified)
    assert stored.checksum_error == ""


def test_a_file_that_was_changed_before_it_was_looked_at_is_not_verified(ann: User) -> None:
    upload = accepted(ann, EVEN, md5=md5(b"".join(EVEN.values())))
    complete_upload(str(upload.pk))
    stored = StoredFile.objects.get()
    os.utime(stored.path, ns=(0, 1))
    take_checksums(str(stored.pk))
    stored.refresh_from_db()
    assert stored.verified is not True
    assert stored.checksum_error
