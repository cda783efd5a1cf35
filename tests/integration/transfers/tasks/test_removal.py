"""Removing deleted files: exactly theirs, exactly once, and whatever happens in between."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connections
from pytest_django.fixtures import Settings

from tests.integration.transfers.files import new_file
from tests.integration.transfers.rows import at_once, in_seconds, new_download, new_user, use
from transfers import leases
from transfers.errors import FolderUnusableError
from transfers.models import Download, StoredFile
from transfers.models.download import DownloadState
from transfers.services import download as downloads
from transfers.services import stored_file as files
from transfers.services.download import DownloadRequest
from transfers.storage.local import LocalStorage
from transfers.tasks import reap, remove_file

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path.resolve() / "folder" / "film.mov"


@pytest.fixture
def deleted(ann: User, path: Path) -> StoredFile:
    """A file that ann has just deleted, whose bytes are still there."""
    stored = new_file(ann, path)
    assert files.delete(user=ann, stored_file_id=stored.pk)
    return stored


def is_known(stored: StoredFile) -> bool:
    return StoredFile.objects.filter(pk=stored.pk).exists()


def test_the_bytes_go_and_then_the_row(deleted: StoredFile, path: Path) -> None:
    beside = path.with_name("another")
    beside.write_bytes(b"bytes")
    remove_file(str(deleted.pk))
    assert (path.exists(), is_known(deleted), beside.exists()) == (False, False, True)
    remove_file(str(deleted.pk))


def test_a_file_that_nobody_deleted_stays(ann: User, path: Path) -> None:
    stored = new_file(ann, path)
    remove_file(str(stored.pk))
    assert (path.exists(), is_known(stored)) == (True, True)


def _replace(path: Path) -> None:
    path.with_name("fresh").write_bytes(b"other")
    path.with_name("fresh").replace(path)


def _by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _by_a_link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


REPLACEMENTS: dict[str, Callable[[Path], object]] = {
    "replaced": _replace,
    "changed": lambda path: os.truncate(path, 2),
    "touched": lambda path: os.utime(path, (1, 1)),
    "replaced-by-a-folder": _by_a_folder,
    "replaced-by-a-pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "replaced-by-a-link-to-it": _by_a_link,
}


@pytest.mark.parametrize("change", REPLACEMENTS.values(), ids=REPLACEMENTS)
def test_what_somebody_else_put_there_stays(change: Callable[[Path], object], deleted: StoredFile, path: Path) -> None:
    change(path)
    remove_file(str(deleted.pk))
    assert (os.path.lexists(path), is_known(deleted)) == (True, False)


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.parent.rename(path.parent.with_name("moved"))])
def test_where_nothing_is_the_row_goes(change: Callable[[Path], object], deleted: StoredFile, path: Path) -> None:
    change(path)
    remove_file(str(deleted.pk))
    assert not is_known(deleted)


def test_many_remove_it_at_once(deleted: StoredFile, path: Path) -> None:
    at_once([lambda: remove_file(str(deleted.pk))] * 4)
    assert (path.exists(), is_known(deleted)) == (False, False)


def test_it_is_left_to_who_is_at_it(deleted: StoredFile, path: Path) -> None:
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # one that was paused, and whose lease has run out
        remove_file(str(deleted.pk))
        assert (path.exists(), is_known(deleted)) == (True, True)
    lose_the_lease(deleted)
    remove_file(str(deleted.pk))
    assert (path.exists(), is_known(deleted)) == (False, False)


def test_what_cannot_be_removed_is_tried_again(
    deleted: StoredFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: LocalStorage, location: str) -> None:
        raise FolderUnusableError("read-only")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete", refuse)
        remove_file(str(deleted.pk))
    assert (path.exists(), is_known(deleted), path.exists()) == (True, True, True)
    lose_the_lease(deleted)
    remove_file(str(deleted.pk))
    assert (path.exists(), is_known(deleted)) == (False, False)


def lose_the_lease(stored: StoredFile) -> None:
    StoredFile.objects.filter(pk=stored.pk).update(lease_expires_at=in_seconds(-1))


# Its path, and who else wants it --------------------------------------------------------------------------------------

REQUEST = DownloadRequest("https://media.example/film.mov", "studio", "film-1")


def test_a_download_that_may_write_there_comes_first(deleted: StoredFile, path: Path, ann: User) -> None:
    download = new_download(ann, save_path=str(path))
    remove_file(str(deleted.pk))
    assert (path.exists(), is_known(deleted)) == (True, True)
    Download.objects.filter(pk=download.pk).update(state=DownloadState.FAILED, ended_at=in_seconds(0))
    lose_the_lease(deleted)
    remove_file(str(deleted.pk))
    assert (path.exists(), is_known(deleted)) == (False, False)


def test_a_file_that_is_fetched_again_gets_another_place_until_the_first_is_free(
    ann: User, path: Path, settings: Settings
) -> None:
    use(settings, download_root=path.parent)
    download = downloads.start(user=ann, request=REQUEST)
    assert download.save_path == str(path)
    stored = new_file(ann, path)
    facts: dict[str, Any] = {"state": DownloadState.COMPLETED, "stored_file": stored, "ended_at": in_seconds(0)}
    Download.objects.filter(pk=download.pk).update(**facts)
    assert files.delete(user=ann, stored_file_id=stored.pk)

    again = downloads.start(user=ann, request=REQUEST)
    assert (again.pk, again.save_path) == (download.pk, str(path.with_name("film (1).mov")))
    assert again.stored_file is None
    remove_file(str(stored.pk))
    assert (path.exists(), is_known(stored)) == (False, False)


def test_a_file_that_came_to_its_path_meanwhile_stays(deleted: StoredFile, path: Path, ann: User) -> None:
    path.unlink()  # as one does who dies before the row is gone
    StoredFile.objects.filter(path=str(path)).delete()  # as whoever gets the name does
    other = new_file(ann, path, b"other")
    remove_file(str(deleted.pk))
    assert (path.read_bytes(), is_known(other)) == (b"other", True)


# Killed in between ----------------------------------------------------------------------------------------------------


def killed_in_a_child(work: Callable[[], object]) -> None:
    """Do the work in another process, which kills itself on the way."""
    connections.close_all()
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "it was not killed"


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("meanwhile", [False, True], ids=["", "and-its-path-is-taken"])
@pytest.mark.parametrize("bytes_are_gone", [False, True])
def test_killed_on_either_side_of_the_unlink(
    deleted: StoredFile, path: Path, monkeypatch: pytest.MonkeyPatch, *, bytes_are_gone: bool, meanwhile: bool
) -> None:
    remove = LocalStorage.delete

    def die_there(self: LocalStorage, location: str) -> None:
        if bytes_are_gone:
            remove(self, location)
        die()

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete", die_there)
        killed_in_a_child(lambda: remove_file(str(deleted.pk)))
    assert (path.exists(), is_known(deleted)) == (not bytes_are_gone, True)
    if meanwhile:
        path.write_bytes(b"somebody else's")
    leases.take_from_the_dead(StoredFile.objects.deleted())  # as the reaper does
    remove_file(str(deleted.pk))
    assert (path.exists(), is_known(deleted)) == (meanwhile, False)


# The reaper -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def queue() -> Iterator[redis.Redis]:
    """Redis with an empty queue of transfers."""
    with redis.Redis.from_url(settings.REDIS_URL, protocol=2) as client:
        client.delete("transfers")
        yield client
        client.delete("transfers")


def test_the_reaper_rings_for_deleted_files_that_nobody_removes(queue: redis.Redis, ann: User, tmp_path: Path) -> None:
    def new(name: str, **facts: Any) -> StoredFile:
        stored = new_file(ann, tmp_path / name, sha256="s")
        StoredFile.objects.filter(pk=stored.pk).update(**facts)
        return stored

    new("kept")
    new("just-deleted", deleted_at=in_seconds(0))
    new("held", deleted_at=in_seconds(-60), lease_owner=leases.new_owner(), lease_expires_at=in_seconds(60))
    forgotten = new("forgotten", deleted_at=in_seconds(-60))
    left = new("left", deleted_at=in_seconds(0), lease_owner="x:1:y", lease_expires_at=in_seconds(-1))
    died = new("died", deleted_at=in_seconds(0), lease_owner=owner_that_died(), lease_expires_at=in_seconds(60))
    reap()
    rung = {message.decode() for message in queue.lrange("transfers", 0, -1)}
    assert len(rung) == 3
    for stored in (forgotten, left, died):
        assert any(f"('{stored.pk}',)" in message for message in rung)


def owner_that_died() -> str:
    place, _, run = leases.new_owner().split(":")
    return f"{place}:{2**22 + 1}:{run}"  # a number beyond what the system gives to processes
