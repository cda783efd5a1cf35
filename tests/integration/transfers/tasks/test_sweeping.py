"""What beat sweeps away: expired uploads, and folders of uploads that are no more; never what is finished or alive."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import connections
from pytest_django.fixtures import Settings

from tests.e2e.uploads import md5s
from tests.integration.transfers.order_rows import new_order
from tests.integration.transfers.rows import in_seconds, new_user, use
from tests.integration.transfers.tasks.test_upload import EVEN, accepted, ended, files, fresh, rung, sent
from transfers import storage
from transfers.doorbell import QUEUES
from transfers.engine.base import Reader
from transfers.errors import NoSuchUploadError, TransferError
from transfers.models import ListJob, StoredFile, Upload
from transfers.services import upload as uploads
from transfers.services.upload import IncomingPart
from transfers.storage.local import UPLOADS
from transfers.tasks import remove_upload, sweep
from transfers.tasks.sweeping import ORPHAN_AGE_SECONDS

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

DAY = 86_400


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path) -> Path:
    """Where files come to rest; uploads expire after a day."""
    folder = tmp_path.resolve() / "files"
    use(settings, files_root=folder, upload_expiry_days=1.0)
    return folder


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture(autouse=True)
def queue() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(django_settings.REDIS_URL, protocol=2) as client:
        client.delete(*QUEUES)
        yield client
        client.delete(*QUEUES)


def age(folder: Path, seconds: float) -> None:
    """Let nothing have changed in the folder for so long."""
    then = time.time() - seconds
    for path in (folder, *folder.iterdir()):
        os.utime(path, (then, then))


def folder_of(root: Path, upload: Upload) -> Path:
    return root / UPLOADS / str(upload.pk)


def collecting(root: Path) -> set[int]:
    return {int(path.name) for path in (root / UPLOADS).iterdir()}


def test_a_zip_that_nobody_knows_is_removed(ann: User, root: Path) -> None:
    """As a worker may leave it that stood still, and finished after its job was stopped and tidied."""
    made = root / ".made" / str(ann.pk)
    made.mkdir(parents=True)
    tidied, live, done = (uuid.uuid4() for _ in range(3))
    for job, location in ((tidied, ""), (live, str(made / f"{live}.zip"))):
        ListJob.objects.create(pk=job, user=ann, kind="zip", order=new_order(ann), location=location)
    StoredFile.objects.create(owner=ann, name="z", path=str(made / f"{done}.zip"), size=1)
    orphans = [f"{tidied}.zip", f"{tidied}.zip.3.deflated", f"{uuid.uuid4()}.zip.part"]
    kept = [f"{live}.zip.part", f"{live}.zip.1.deflated", f"{done}.zip"]
    for name in (*orphans, *kept):
        (made / name).touch()
    sweep()
    assert len(list(made.iterdir())) == 6, "they are too young"
    age(made, 2 * ORPHAN_AGE_SECONDS)
    sweep()
    assert {path.name for path in made.iterdir()} == set(kept)


def test_what_nobody_has_touched_for_long_is_ended(ann: User, root: Path, queue: redis.Redis) -> None:
    expired, younger, resumed = (sent(ann, EVEN) for _ in range(3))
    Upload.objects.exclude(pk=younger.pk).update(touched_at=in_seconds(-DAY - 1))
    Upload.objects.filter(pk=younger.pk).update(touched_at=in_seconds(-DAY + 60))
    uploads.resume(user=ann, upload_id=resumed.pk)
    queue.delete(*QUEUES)
    sweep()
    assert rung(queue) == [("transfers.remove_upload", f"('{expired.pk}',)")]
    with pytest.raises(NoSuchUploadError):
        uploads.find(user=ann, upload_id=expired.pk)
    assert uploads.stored_parts(upload=fresh(younger)) == uploads.stored_parts(upload=fresh(resumed)) == md5s(EVEN)
    remove_upload(str(expired.pk))
    assert collecting(root) == {younger.pk, resumed.pk}


def test_what_is_finished_or_being_finished_never_expires(ann: User, root: Path) -> None:
    finished, finishing = sent(ann, EVEN), accepted(ann, EVEN)
    uploads.complete(user=ann, upload_id=finished.pk, parts=md5s(EVEN))
    Upload.objects.update(touched_at=in_seconds(-1000 * DAY))
    age(folder_of(root, finishing), 1000 * DAY)
    sweep()
    assert {fresh(each).state for each in (finished, finishing)} == {"completed", "completing"}
    assert len(files(root)) == StoredFile.objects.count() == 1
    uploads.complete(user=ann, upload_id=finishing.pk, parts=md5s(EVEN))
    assert len(files(root)) == 2


def test_an_upload_that_is_touched_while_it_is_looked_at_stays(
    ann: User, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = sent(ann, EVEN)
    Upload.objects.update(touched_at=in_seconds(-DAY - 1))
    real = Upload.mark_removing

    def late(self: Upload, *arguments: Any) -> bool:
        uploads.resume(user=ann, upload_id=upload.pk)
        return real(self, *arguments)

    monkeypatch.setattr(Upload, "mark_removing", late)
    sweep()
    assert fresh(upload).state == "open"
    assert uploads.stored_parts(upload=fresh(upload)) == md5s(EVEN)


class Trickling(Reader):
    """A part that comes in slowly."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def readinto(self, buffer: memoryview) -> int:
        if self.go_on.is_set():
            return 0
        self.reached.set()
        assert self.go_on.wait(10)
        buffer[:1] = b"x"
        return 1


def test_an_upload_that_expires_while_a_part_comes_in(ann: User, root: Path) -> None:
    upload = sent(ann, EVEN)
    Upload.objects.update(touched_at=in_seconds(-DAY - 1))
    reader = Trickling()
    failures: list[TransferError | NoSuchUploadError] = []

    def send() -> None:
        part = IncomingPart(number=4, size=1)
        try:
            uploads.store_part(user=ann, upload_id=upload.pk, part=part, reader=reader)
        except (TransferError, NoSuchUploadError) as error:
            failures.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=send)
    thread.start()
    assert reader.reached.wait(10)
    sweep()
    remove_upload(str(upload.pk))
    reader.go_on.set()
    thread.join(10)
    assert [type(failure) for failure in failures] == [NoSuchUploadError]
    assert collecting(root) == set()
    assert not Upload.objects.exists()


def test_folders_of_uploads_that_are_no_more_are_removed(ann: User, root: Path) -> None:
    orphan, finished, young = (sent(ann, EVEN) for _ in range(3))
    open_, finishing, ending = sent(ann, EVEN), accepted(ann, EVEN), ended(ann, EVEN)
    Upload.objects.filter(pk__in=(orphan.pk, young.pk)).delete()
    Upload.objects.filter(pk=finished.pk).update(state="completed")  # a kill came before its folder was removed
    for each in (orphan, finished, open_, finishing, ending):
        age(folder_of(root, each), ORPHAN_AGE_SECONDS + 60)
    age(folder_of(root, young), ORPHAN_AGE_SECONDS - 60)
    sweep()
    assert collecting(root) == {young.pk, open_.pk, finishing.pk, ending.pk}
    for each in (open_, finishing):
        uploads.complete(user=ann, upload_id=each.pk, parts=md5s(EVEN))
    assert len(files(root)) == 2


def test_a_finished_file_stays_when_its_folder_goes(ann: User, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = sent(ann, EVEN)
    with monkeypatch.context() as patch:
        patch.setattr("transfers.engine.local.LocalCollection.abort", lambda _: None)
        uploads.complete(user=ann, upload_id=upload.pk, parts=md5s(EVEN))
    age(folder_of(root, upload), ORPHAN_AGE_SECONDS + 60)
    (path,) = files(root)
    stored = StoredFile.objects.get()
    sweep()
    assert collecting(root) == set()
    assert path.read_bytes() == b"".join(EVEN.values())
    Upload.objects.all().delete()
    sweep()
    assert stored.untouched() is (path.stat().st_mtime_ns == stored.modified_ns)
    assert path.exists()


def test_what_is_no_uploads_folder_is_left_alone(ann: User, root: Path) -> None:
    upload = sent(ann, EVEN)
    uploads.complete(user=ann, upload_id=upload.pk, parts=md5s(EVEN))
    others = [root / UPLOADS / name for name in ("notes", "1.backup", ".hidden", "lost+found", "-5", "1e3")]
    for path in (*others, root / str(ann.pk) / "99"):
        path.mkdir()
        (path / "file").write_bytes(b"somebody's")
        age(path, 1000 * DAY)
    sweep()
    for path in (*others, root / str(ann.pk) / "99"):
        assert (path / "file").read_bytes() == b"somebody's"


@pytest.mark.parametrize("name", ["9" * 19, "9" * 40, "00012"])
def test_a_folder_of_an_odd_number_stops_nothing(ann: User, root: Path, name: str) -> None:
    odd, orphan = root / UPLOADS / name, sent(ann, EVEN)
    odd.mkdir()
    Upload.objects.all().delete()
    for path in (odd, folder_of(root, orphan)):
        age(path, ORPHAN_AGE_SECONDS + 60)
    sweep()
    assert not folder_of(root, orphan).exists()


def test_a_file_where_a_folder_should_be_stops_nothing(ann: User, root: Path) -> None:
    stray, orphan = root / UPLOADS / "77", sent(ann, EVEN)
    stray.write_bytes(b"stray")
    os.utime(stray, (0, 0))
    Upload.objects.all().delete()
    age(folder_of(root, orphan), ORPHAN_AGE_SECONDS + 60)
    sweep()
    assert not folder_of(root, orphan).exists()


def test_there_need_be_nothing_to_sweep(root: Path) -> None:
    sweep()
    assert not root.exists()
    root.write_bytes(b"a file stands here")
    sweep()


def test_very_many_orphans_are_removed_in_the_end(root: Path) -> None:
    for number in range(1, 40):
        (root / UPLOADS / str(number)).mkdir(parents=True)
        age(root / UPLOADS / str(number), ORPHAN_AGE_SECONDS + 60)
    sweep()
    assert collecting(root) == set()


# Where it is done -----------------------------------------------------------------------------------------------------


def test_one_thread_of_a_process_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that says nothing holds one of them, however often beat rings."""
    begun, go_on, asked = threading.Event(), threading.Event(), []

    def all_used() -> list[Any]:
        asked.append(None)
        begun.set()
        go_on.wait(10)
        return []

    def sweep_and_close() -> None:
        try:
            sweep()
        finally:
            connections.close_all()

    monkeypatch.setattr(storage, "all_used", all_used)
    thread = threading.Thread(target=sweep_and_close)
    thread.start()
    assert begun.wait(10)
    sweep()
    go_on.set()
    thread.join()
    assert len(asked) == 1
    sweep()
    assert len(asked) == 2
