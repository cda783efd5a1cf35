"""What becomes of a download in the hands of a worker, whose task is called here as the worker calls it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from django.contrib.auth.models import User
from django.db import OperationalError
from pytest_django.fixtures import Settings

from tests.integration.transfers.rows import in_seconds, new_user, use
from tests.origin import Behaviour, Etag, GeneratedFile, Origin, Ranges, read
from transfers import leases
from transfers.models import Download, DownloadAttempt, StoredFile
from transfers.services import download as downloads
from transfers.services.download import DownloadRequest
from transfers.tasks import fetch_download, reap, source
from transfers.tasks.attempt import Attempt

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

SIZE = 300_000
CONTENT = GeneratedFile(SIZE, seed=1)
OTHER = GeneratedFile(SIZE, seed=2)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    """The download folder; the origin of the tests may be fetched from."""
    folder = tmp_path.resolve() / "downloads"
    use(settings, download_root=folder, fetch_allow=["127.0.0.1"], download_retry_seconds=0.05, download_max_attempts=3)
    source._session.cache_clear()
    yield folder
    source._session().close()
    source._session.cache_clear()


@pytest.fixture
def ann() -> User:
    return new_user("ann")


def start(user: User, url: str, **words: str) -> Download:
    return downloads.start(user=user, request=DownloadRequest(url, "studio", **words))


def fetched(download: Download) -> Download:
    """The download after a worker had it."""
    fetch_download(str(download.pk))
    return Download.objects.get(pk=download.pk)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_whole_and_all_of_it_is_known(ann: User, origin: Origin, root: Path) -> None:
    row = fetched(start(ann, origin.add("/film.mov", CONTENT)))
    content = read(CONTENT)
    assert (row.state, row.size, row.bytes_done, row.bytes_fetched) == ("completed", SIZE, SIZE, SIZE)
    assert (root / "film.mov").read_bytes() == content
    assert names(root) == ["film.mov"]
    stored = row.stored_file
    assert stored is not None
    assert (stored.path, stored.size, stored.sha256) == (row.save_path, SIZE, hashlib.sha256(content).hexdigest())
    assert stored.untouched()
    assert [attempt.outcome for attempt in row.attempts.all()] == ["completed"]
    assert leases.held(row).count() == 0


def test_an_unchanged_file_is_not_fetched_again(ann: User, origin: Origin, root: Path) -> None:
    url = origin.add("/film.mov", CONTENT)
    fetched(start(ann, url))
    before = origin.fetched("/film.mov")
    row = fetched(start(ann, url))
    assert (row.state, row.bytes_fetched) == ("completed", 0)
    assert origin.fetched("/film.mov") - before <= 1
    assert names(root) == ["film.mov"]


def test_a_changed_file_takes_the_place_of_the_old_one(ann: User, origin: Origin, root: Path) -> None:
    url = origin.add("/film.mov", CONTENT)
    fetched(start(ann, url))
    origin.replace("/film.mov", OTHER)
    assert fetched(start(ann, url)).state == "completed"
    assert (root / "film.mov").read_bytes() == read(OTHER)
    assert names(root) == ["film.mov"]


def test_a_file_that_somebody_put_there_meanwhile_is_not_written_over(ann: User, origin: Origin, root: Path) -> None:
    url = origin.add("/film.mov", CONTENT)
    fetched(start(ann, url))
    origin.replace("/film.mov", OTHER)
    again = start(ann, url)
    (root / "film.mov").write_bytes(b"the user's own words")
    row = fetched(again)
    assert (root / "film.mov").read_bytes() == b"the user's own words"
    assert Path(row.save_path).read_bytes() == read(OTHER)
    assert names(root) == ["film (1).mov", "film.mov"]


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(), id="resumable"),
        pytest.param(Behaviour(etag=Etag.NONE, ranges=Ranges.NONE), id="not-resumable"),
    ],
)
def test_a_worker_that_dies_between_the_name_and_the_record_leaves_one_file_and_no_work(
    ann: User, origin: Origin, root: Path, monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour
) -> None:
    download = start(ann, origin.add("/film.mov", CONTENT, behaviour))
    with monkeypatch.context() as patch:
        patch.setattr(Attempt, "_store", _database_gone)
        with pytest.raises(OperationalError):
            fetch_download(str(download.pk))
    assert (root / "film.mov").read_bytes() == read(CONTENT)
    Download.objects.update(lease_expires_at=in_seconds(-1))
    row = fetched(download)
    assert (row.state, row.save_path, row.bytes_fetched) == ("completed", str(root / "film.mov"), 0)
    assert names(root) == ["film.mov"]


def _database_gone(*_: object) -> None:
    raise OperationalError("the server closed the connection")


def test_each_download_keeps_the_record_of_its_own_file(ann: User, origin: Origin, root: Path) -> None:
    # The first file was moved away, and another URL's took its name.
    first = fetched(start(ann, origin.add("/a/film.mov", CONTENT)))
    (root / "film.mov").unlink()
    second = fetched(start(ann, origin.add("/b/film.mov", OTHER)))
    first.refresh_from_db()
    assert second.save_path == first.save_path
    assert second.stored_file is not None
    assert second.stored_file.sha256 == hashlib.sha256(read(OTHER)).hexdigest()
    assert first.stored_file != second.stored_file, "what the one fetched is not what the other did"


def test_the_place_of_another_users_record_is_not_fatal(ann: User, origin: Origin, root: Path) -> None:
    # The file appears on the disk while the download runs, so that it has to take another name; and that one's
    # record is another user's, whose file is away.
    StoredFile.objects.create(owner=new_user("bob"), name="film (1).mov", path=str(root / "film (1).mov"), size=1)
    download = start(ann, origin.add("/film.mov", CONTENT))
    root.mkdir()
    (root / "film.mov").write_bytes(b"foreign")
    row = fetched(download)
    assert row.state == "completed"
    assert Path(row.save_path).read_bytes() == read(CONTENT)
    assert (root / "film.mov").read_bytes() == b"foreign"


def test_a_failure_is_told_with_its_attempts(ann: User, origin: Origin, root: Path) -> None:
    row = fetched(start(ann, origin.add("/film.mov", CONTENT, Behaviour(status=404))))
    assert (row.state, row.error_code) == ("failed", "source_refused")
    attempt = DownloadAttempt.objects.get()
    assert (attempt.outcome, attempt.error_code, attempt.error) == ("failed", row.error_code, row.error)
    assert attempt.ended_at is not None


def test_a_type_with_a_character_that_no_text_may_have(ann: User, origin: Origin) -> None:
    row = fetched(start(ann, origin.add("/film.mov", CONTENT, Behaviour(headers={"Content-Type": "video/\0x"}))))
    assert row.state == "completed"


def test_a_stop_that_came_while_it_was_handed_back_is_done_by_the_reaper(ann: User, origin: Origin) -> None:
    # The worker puts the download off for long (the source asked for it) just before it would have seen the stop.
    download = start(ann, origin.add("/film.mov", CONTENT))
    mine = Download.objects.claim(download.pk, leases.new_owner())
    assert mine is not None
    downloads.stop_download(download=download)
    assert mine.hand_back(delay_seconds=3600)
    reap()
    assert Download.objects.get().state == "stopped"


LEFT: dict[str, Callable[[Download], object]] = {
    "lost": lambda row: Download.objects.filter(pk=row.pk).update(next_attempt_at=in_seconds(-5)),
    "left-behind": lambda row: (
        Download.objects.claim(row.pk, leases.new_owner()),
        Download.objects.filter(pk=row.pk).update(lease_expires_at=in_seconds(-1), next_attempt_at=in_seconds(-5)),
    ),
}


@pytest.mark.parametrize("leave", LEFT.values(), ids=LEFT)
def test_what_nobody_is_at_is_rung_for_again(ann: User, broker: str, leave: Callable[[Download], object]) -> None:
    queue = redis.Redis.from_url(broker)
    download = start(ann, "https://media.example/film.mov")
    leave(download)
    queue.delete("transfers")
    reap()
    messages = [json.loads(message) for message in queue.lrange("transfers", 0, -1)]
    assert [message["headers"]["argsrepr"] for message in messages] == [f"('{download.pk}',)"]
    queue.delete("transfers")
    queue.close()
