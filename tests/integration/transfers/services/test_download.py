"""Starting, stopping and looking up downloads: who gets which file, and what of it is kept."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from channels.layers import get_channel_layer
from django import conf
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoCaptureOnCommitCallbacks
from pytest_django.fixtures import Settings

from config.redis import embedded_socket
from tests.integration.transfers.rows import at_once, in_seconds, new_download, new_user, use
from transfers import folders, leases, progress
from transfers.errors import (
    AlreadyDownloadingError,
    InvalidInputError,
    NotDownloadingError,
    SourceRefusedError,
    StoppedError,
    TransferError,
)
from transfers.models import Download, StoredFile
from transfers.models.download import DownloadState
from transfers.services import download as downloads
from transfers.services.download import DownloadRequest

pytestmark = pytest.mark.django_db

WAIT_SECONDS = 10
HUSH = "5ecre7"
FILM = "https://media.example/films/film.mov"
OTHER_FILM = "https://other.example/film.mov"


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path) -> Path:
    """The download folder."""
    folder = tmp_path.resolve() / "downloads"
    use(settings, download_root=folder)
    return folder


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def bob() -> User:
    return new_user("bob")


def ask(url: str = FILM, *, cid: str = "studio", fid: str = "", folder: str = "") -> DownloadRequest:
    return DownloadRequest(url, cid, fid, folder)


def start(user: User, url: str = FILM, **words: str) -> Download:
    return downloads.start(user=user, request=ask(url, **words))


def stop(user: User, url: str = FILM, **words: str) -> Download:
    return downloads.stop(user=user, request=ask(url, **words))


def name_of(download: Download) -> str:
    return Path(download.save_path).name


def claimed(download: Download) -> Download:
    """The download as the worker has it that took it up."""
    mine = Download.objects.claim(download.pk, leases.new_owner())
    assert mine is not None
    return mine


def began(download: Download, **facts: Any) -> Download:
    """The same, its first bytes being here."""
    mine = claimed(download)
    part = Path(f"{mine.save_path}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(b"beginning")
    facts = {"size": 100, "part_size": 100, "generation": f"of {mine.url_key}", **facts}
    assert mine.mark_streaming(validator_kind="etag", validator_value='"v1"', bytes_done=9, high_water=9, **facts)
    return mine


def left_unfinished(download: Download) -> Download:
    """The same, failed."""
    mine = began(download)
    assert mine.mark_failed("source_interrupted", "cut")
    return Download.objects.get(pk=download.pk)


def finished(download: Download, content: bytes = b"content") -> Download:
    """The same, whole and stored."""
    mine = began(download)
    path = Path(mine.save_path)
    Path(f"{path}.part").unlink()
    path.write_bytes(content)
    stored, _ = StoredFile.objects.update_or_create(
        path=str(path),
        owner=mine.user,
        defaults={"name": path.name, "size": len(content), "modified_ns": path.stat().st_mtime_ns},
    )
    assert mine.mark_completed(stored, bytes_fetched=len(content))
    return Download.objects.get(pk=download.pk)


# Starting ------------------------------------------------------------------------------------------------------------


def test_a_new_download_waits_for_a_worker(ann: User, root: Path) -> None:
    download = start(ann, fid="film-1", folder="a/b")
    download = Download.objects.get(pk=download.pk)
    assert (download.user, download.cid, download.fid, download.output_folder) == (ann, "studio", "film-1", "a/b")
    assert (download.state, download.desired, download.live) == ("queued", "run", True)
    assert download.save_path == str(root / "a/b/film.mov")
    assert download.url == FILM
    assert list(Download.objects.due()) == [download]
    assert not root.exists(), "folders are made by who writes"


LIVE: dict[str, Callable[[Download], object]] = {
    "queued": lambda download: download,
    "queued-for-later": lambda download: claimed(download).hand_back(delay_seconds=60),
    "running": claimed,
    "streaming": began,
    "left-behind": lambda download: Download.objects.filter(pk=claimed(download).pk).update(
        lease_expires_at=in_seconds(-1)
    ),
}


@pytest.mark.parametrize("bring_to", LIVE.values(), ids=LIVE)
def test_what_is_being_downloaded_is_not_started_again(
    ann: User, bob: User, bring_to: Callable[[Download], object]
) -> None:
    download = start(ann)
    bring_to(download)
    before = Download.objects.values().get()
    others: dict[str, tuple[User, str, dict[str, str]]] = {
        "the-same": (ann, FILM, {}),
        "the-same-with-other-credentials": (ann, FILM.replace("//", "//ann:x@"), {}),
        "under-another-key": (ann, FILM, {"fid": "other"}),
        "for-another-application": (ann, FILM, {"cid": "other"}),
        "in-other-words-for-the-folder": (ann, FILM, {"folder": "a/.."}),
        "another-file-of-that-name": (ann, OTHER_FILM, {}),
        "by-another-user": (bob, FILM, {}),
        "another-file-by-another-user": (bob, OTHER_FILM, {}),
    }
    for user, url, words in others.values():
        with pytest.raises(AlreadyDownloadingError):
            start(user, url, **words)
    assert Download.objects.values().get() == before


def test_other_files_and_other_folders_are_other_downloads(ann: User, bob: User) -> None:
    rows = [
        start(ann),
        start(ann, "https://media.example/films/other.mov"),
        start(ann, folder="a"),
        start(bob, folder="b"),
    ]
    assert len({row.pk for row in rows}) == len({row.save_path for row in rows}) == 4


def test_the_same_payload_names_the_same_download_for_ever(ann: User) -> None:
    first = start(ann, fid="f", folder="a")
    stop(ann, fid="f", folder="a")
    assert start(ann, fid="f", folder="./a/").pk == first.pk
    stop(ann, fid="f", folder="a")
    for words in (
        {"fid": "g", "folder": "a"},
        {"fid": "f", "folder": "b"},
        {"fid": "f", "folder": "a", "cid": "other"},
    ):
        other = start(ann, **words)
        assert other.pk != first.pk
        downloads.stop_download(download=other)
    assert Download.objects.count() == 4


def test_no_two_ways_to_write_a_name_are_confused(ann: User) -> None:
    keys = {
        ask(cid=cid, fid=fid).key(Path("/d"))
        for cid, fid in (("a", "b"), ("ab", ""), ("", "ab"), ("a,b", ""), ('a","b', ""))
    }
    assert len(keys) == 5


def test_a_failed_download_goes_on_where_it_was(ann: User) -> None:
    failed = left_unfinished(start(ann))
    again = start(ann)
    assert again.pk == failed.pk
    assert (again.state, again.desired, again.error, again.error_code, again.ended_at) == (
        "queued",
        "run",
        "",
        "",
        None,
    )
    assert (again.fruitless_attempts, again.stream_began_at) == (0, None)
    for name in ("save_path", "generation", "size", "part_size", "validator_kind", "validator_value", "bytes_done"):
        assert getattr(again, name) == getattr(failed, name), name
    assert (again.high_water, again.bytes_fetched) == (failed.high_water, failed.bytes_fetched)
    assert list(Download.objects.due()) == [again]


def test_a_completed_download_is_looked_at_again(ann: User) -> None:
    done = finished(start(ann))
    again = start(ann)
    assert (again.pk, again.state, again.save_path) == (done.pk, "queued", done.save_path)
    assert again.stored_file == done.stored_file
    assert (again.validator_kind, again.validator_value) == ("etag", '"v1"')
    assert again.bytes_fetched == 0


def test_a_pause_that_was_asked_for_is_cut_short_by_a_start(ann: User) -> None:
    mine = claimed(start(ann))
    assert mine.hand_back(delay_seconds=600)
    stop(ann)
    assert list(Download.objects.due()) == []
    again = start(ann)
    assert list(Download.objects.due()) == [again]


@pytest.mark.parametrize("expired", [False, True], ids=["worker-at-it", "worker-dead"])
def test_a_start_after_a_stop_that_no_worker_has_seen_goes_on(ann: User, *, expired: bool) -> None:
    mine = began(start(ann))
    stop(ann)
    if expired:
        Download.objects.filter(pk=mine.pk).update(lease_expires_at=in_seconds(-1))
    again = start(ann)
    row = Download.objects.get(pk=mine.pk)
    assert again.pk == mine.pk
    assert (row.state, row.desired, row.lease_epoch, row.lease_owner) == ("running", "run", 1, mine.lease_owner)
    assert mine.mark_stopped() is False, "the worker that saw the stop too late goes on"
    assert mine.hand_back()
    time.sleep(0.002)  # SQLite tells the time in milliseconds
    assert claimed(again).lease_epoch == 2


def test_a_folder_outside_is_refused_and_nothing_is_made(ann: User, root: Path) -> None:
    for call in (downloads.start, downloads.stop, downloads.check):
        with pytest.raises(InvalidInputError) as raised:
            call(user=ann, request=ask(folder="../x"))
        assert list(raised.value.errors) == ["outputFolder"]
    assert not Download.objects.exists()
    assert not root.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "words",
    [[{}] * 8, [{"fid": str(n)} for n in range(8)]],
    ids=["the-same", "other-keys"],
)
def test_of_many_starts_at_once_one_writes_the_file(ann: User, words: list[dict[str, str]]) -> None:
    def attempt(words: dict[str, str]) -> str:
        try:
            return str(start(ann, **words).pk)
        except AlreadyDownloadingError:
            return ""

    for turn in range(4):
        pks = [pk for pk in at_once([lambda words=words: attempt(words) for words in words]) if pk]  # type: ignore[misc]
        assert len(pks) == 1, f"turn {turn}"
        assert [str(row.pk) for row in Download.objects.live()] == pks
        downloads.stop_download(download=Download.objects.get(pk=pks[0]))


# Which path ----------------------------------------------------------------------------------------------------------


def test_a_finished_file_of_another_url_keeps_its_name(ann: User) -> None:
    names = [name_of(finished(start(ann, f"https://{host}.example/film.mov"))) for host in "abc"]
    assert names == ["film.mov", "film (1).mov", "film (2).mov"]
    assert name_of(start(ann, "https://b.example/film.mov")) == "film (1).mov", "and each its own"


def test_a_finished_file_of_another_user_keeps_its_name(ann: User, bob: User) -> None:
    finished(start(ann))
    assert name_of(finished(start(bob))) == "film (1).mov"
    Path(str(Download.objects.get(user=ann).save_path)).unlink()
    assert name_of(start(bob, fid="other")) == "film (1).mov", "its place too, when the file is away"


FOREIGN: dict[str, Callable[[Path], object]] = {
    "file": lambda path: path.write_bytes(b"foreign"),
    "folder": Path.mkdir,
    "symlink-to-nothing": lambda path: path.symlink_to("nothing"),
}


@pytest.mark.parametrize("suffix", ["", ".part"], ids=["its-name", "its-unfinished-name"])
@pytest.mark.parametrize("put", FOREIGN.values(), ids=FOREIGN)
def test_a_name_that_something_else_has_on_the_disk_is_passed_over(
    ann: User, root: Path, put: Callable[[Path], object], suffix: str
) -> None:
    root.mkdir()
    put(root / f"film.mov{suffix}")
    assert name_of(start(ann)) == "film (1).mov"


def test_what_is_here_is_gone_on_with_under_its_own_name(ann: User, root: Path) -> None:
    root.mkdir()
    (root / "film.mov").write_bytes(b"foreign")
    failed = left_unfinished(start(ann))
    assert name_of(failed) == "film (1).mov"
    (root / "film.mov").unlink()
    assert name_of(start(ann)) == "film (1).mov"


@pytest.mark.parametrize("url", [OTHER_FILM, FILM], ids=["another-url", "another-user"])
def test_unfinished_bytes_of_others_are_left_alone(ann: User, bob: User, url: str) -> None:
    left_unfinished(start(ann))
    assert name_of(start(ann if url == OTHER_FILM else bob, url)) == "film (1).mov"
    assert name_of(start(ann)) == "film.mov"


def test_a_path_that_was_left_unused_is_given_to_who_comes_first(ann: User) -> None:
    start(ann)
    stop(ann)  # before a worker took it up: nothing of it is here
    other = left_unfinished(start(ann, OTHER_FILM))
    assert name_of(other) == "film.mov"
    assert name_of(start(ann)) == "film (1).mov", "the bytes that are there now are the other's"
    assert name_of(start(ann, OTHER_FILM)) == "film.mov"


def test_a_finished_file_that_somebody_changed_is_not_written_over(ann: User) -> None:
    done = finished(start(ann))
    Path(done.save_path).write_bytes(b"the user's own words")
    again = start(ann)
    assert (again.pk, name_of(again)) == (done.pk, "film (1).mov")


def test_a_finished_file_that_is_away_comes_again_under_its_name(ann: User) -> None:
    done = finished(start(ann))
    Path(done.save_path).unlink()
    assert name_of(start(ann)) == "film.mov"


def test_the_place_of_a_file_that_is_away_is_free_for_another_of_its_owner(ann: User) -> None:
    done = finished(start(ann))
    Path(done.save_path).unlink()
    assert name_of(start(ann, OTHER_FILM)) == "film.mov"


def test_who_comes_back_to_a_place_that_another_file_has_now_leaves_it_alone(ann: User) -> None:
    # The first file was moved away, another URL's took its name; the table of stored files has one row for the path.
    first = finished(start(ann))
    Path(first.save_path).unlink()
    second = finished(start(ann, OTHER_FILM), b"another")
    assert second.save_path == first.save_path
    assert name_of(start(ann)) == "film (1).mov"


KNOWN = ("save_path", "generation", "size", "part_size", "validator_kind", "validator_value", "stored_file")


def test_the_same_url_under_another_key_goes_on_with_the_same_bytes(ann: User) -> None:
    first = left_unfinished(start(ann, fid="one"))
    second = start(ann, fid="two")
    assert second.pk != first.pk
    for name in KNOWN:
        assert getattr(second, name) == getattr(first, name), name


def test_the_same_url_under_another_key_finds_the_finished_file(ann: User) -> None:
    first = finished(start(ann, fid="one"))
    second = start(ann, fid="two")
    for name in KNOWN:
        assert getattr(second, name) == getattr(first, name), name


def test_who_comes_back_finds_what_its_twin_finished_meanwhile(ann: User) -> None:
    left_unfinished(start(ann, fid="one"))
    second = finished(start(ann, fid="two"))
    first = start(ann, fid="one")
    for name in KNOWN:
        assert getattr(first, name) == getattr(second, name), name


def test_who_comes_back_finds_what_an_older_twin_finished_meanwhile(ann: User) -> None:
    left_unfinished(start(ann, fid="one"))
    left_unfinished(start(ann, fid="two"))
    first = finished(start(ann, fid="one"))
    second = start(ann, fid="two")
    for name in KNOWN:
        assert getattr(second, name) == getattr(first, name), name


def test_who_comes_back_is_not_told_what_its_twin_knew_before(ann: User) -> None:
    left_unfinished(start(ann, fid="one"))
    second = left_unfinished(start(ann, fid="two"))
    Download.objects.filter(pk=second.pk).update(generation="newer", validator_value='"v2"')
    again = start(ann, fid="two")
    assert (again.generation, again.validator_value) == ("newer", '"v2"')


def test_a_twin_in_another_folder_is_none(ann: User) -> None:
    left_unfinished(start(ann, fid="one", folder="a"))
    second = start(ann, fid="two", folder="b")
    assert (second.generation, second.validator_kind, second.stored_file) == ("", "", None)


def test_a_name_that_many_have_is_found_with_few_questions(ann: User, root: Path) -> None:
    root.mkdir()
    for number in range(300):
        path = root / ("film.mov" if not number else f"film ({number}).mov")
        path.touch()
        new_download(ann, state="completed", save_path=str(path))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        download = start(ann, OTHER_FILM)
    assert name_of(download) == "film (300).mov"
    assert len(queries) < 30


def test_the_longest_path_can_be_kept(ann: User, root: Path) -> None:
    # PostgreSQL's indexes take no more than a third of a page, and what is random cannot be packed.
    chance = random.Random(7)
    room = folders.MAX_PATH_BYTES - folders.MAX_COMPONENT_BYTES - 1 - len(str(root))
    parts = ["".join(chr(chance.randint(0x4E00, 0x9FFF)) for _ in range(80)) for _ in range(room // 241)]
    long = start(ann, f"https://media.example/{'n' * 300}", folder="/".join(parts))
    assert len(long.save_path.encode()) > 2000
    done = finished(long)
    assert done.stored_file is not None
    assert done.stored_file.path == long.save_path


def test_a_name_that_nobody_has_costs_no_look_at_others(ann: User) -> None:
    for number in range(20):
        new_download(
            ann, state="completed", save_path=str(Path(new_download(ann).save_path).with_name(f"film{number}.mov"))
        )
    with CaptureQueriesContext(connection) as queries:
        start(ann)
    assert len(queries) < 10


# Secrets -------------------------------------------------------------------------------------------------------------


def everything_stored() -> str:
    """All rows of all tables, as the database has them."""
    with connection.cursor() as cursor:
        texts = []
        for model in apps.get_models():
            cursor.execute(f"SELECT * FROM {model._meta.db_table}")  # noqa: S608 - our own names
            texts.append(repr(cursor.fetchall()))
    return "\n".join(texts)


def test_credentials_are_never_stored_in_clear(ann: User) -> None:
    url = f"https://user-{HUSH}:{HUSH}@media.example/film.mov?X-Amz-Signature={HUSH}#access_token={HUSH}"
    download = start(ann, url)
    assert HUSH not in everything_stored()
    assert HUSH not in download.url_shown
    assert Download.objects.get(pk=download.pk).url == url, "the worker has them"
    assert download.url_shown in everything_stored()
    assert HUSH not in json.dumps(progress.stream_status(download))


def test_new_credentials_replace_the_old_ones(ann: User) -> None:
    old, new = (FILM.replace("//", f"//ann:{word}@") for word in ("old", "new"))
    first = start(ann, old)
    stop(ann, FILM)
    second = start(ann, new)
    assert first.pk == second.pk
    assert Download.objects.get(pk=first.pk).url == new


# Ringing -------------------------------------------------------------------------------------------------------------


def test_a_worker_is_rung_for_after_the_commit_and_only_then(
    ann: User, broker: str, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    queue = redis.Redis.from_url(broker)
    queue.delete("transfers")
    with django_capture_on_commit_callbacks() as callbacks:
        download = start(ann)
    assert len(callbacks) == 1
    assert queue.llen("transfers") == 0
    for _ in range(5):  # a broker on a busy machine may be too slow for those who ring
        callbacks[0]()
        if queue.llen("transfers"):
            break
    message = json.loads(queue.lrange("transfers", 0, 0)[0])
    assert message["headers"]["task"] == "transfers.fetch_download"
    assert message["headers"]["argsrepr"] == f"('{download.pk}',)", "a message carries an id and nothing else"
    assert message["headers"]["kwargsrepr"] == "{}"
    assert queue.delete("transfers")
    queue.close()


def test_what_is_refused_rings_nobody(
    ann: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    start(ann)
    with django_capture_on_commit_callbacks() as callbacks:
        for user, url in ((ann, FILM), (ann, OTHER_FILM)):
            with pytest.raises(AlreadyDownloadingError):
                start(user, url)
        with pytest.raises(InvalidInputError):
            start(ann, folder="..")
    assert callbacks == []


def test_a_start_succeeds_while_the_broker_is_away(
    ann: User, broker: str, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    queue = redis.Redis.from_url(broker)
    queue.delete("transfers")
    with broker_away(queue), django_capture_on_commit_callbacks(execute=True) as callbacks:
        download = start(ann)
    assert len(callbacks) == 1
    assert queue.llen("transfers") == 0, "it was away indeed"
    queue.close()
    assert list(Download.objects.due()) == [download], "the reaper will find it"


@contextmanager
def broker_away(client: redis.Redis) -> Iterator[None]:
    """A block in which nobody but this client reaches the broker."""
    path = embedded_socket(conf.settings.ENVIRONMENT.run_dir)
    elsewhere = path.with_suffix(".away")
    path.rename(elsewhere)
    client.client_kill_filter(_type="normal", skipme=True)
    try:
        yield
    finally:
        elsewhere.rename(path)


# Stopping ------------------------------------------------------------------------------------------------------------


def test_what_no_worker_has_stops_at_once(ann: User) -> None:
    start(ann)
    row = Download.objects.get(pk=stop(ann).pk)
    assert (row.state, row.desired, row.live) == ("stopped", "stop", False)
    assert row.ended_at is not None
    assert Download.objects.claim(row.pk, leases.new_owner()) is None


def test_what_a_dead_worker_had_stops_at_once(ann: User) -> None:
    mine = began(start(ann))
    Download.objects.filter(pk=mine.pk).update(lease_expires_at=in_seconds(-1))
    stop(ann)
    assert Download.objects.get(pk=mine.pk).state == "stopped"
    assert not mine.mark_progress(bytes_done=99), "were it alive, it would know"


def test_what_a_worker_has_is_stopped_by_the_worker(ann: User) -> None:
    mine = began(start(ann))
    row = Download.objects.get(pk=stop(ann).pk)
    assert (row.state, row.desired, row.lease_owner, row.live) == ("running", "stop", mine.lease_owner, False)
    assert mine.mark_stopped()
    row.refresh_from_db()
    assert (row.state, row.bytes_done, row.generation) == ("stopped", 9, mine.generation or f"of {mine.url_key}")


NOT_LIVE: dict[str, Callable[[User], object]] = {
    "never-started": User.refresh_from_db,
    "stopped": lambda ann: (start(ann), stop(ann)),
    "stopping": lambda ann: (claimed(start(ann)), stop(ann)),
    "failed": lambda ann: left_unfinished(start(ann)),
    "completed": lambda ann: finished(start(ann)),
    "under-another-key": lambda ann: start(ann, fid="other"),
    "another-users": lambda ann: start(new_user(f"{ann.username}-2")),
    "in-another-folder": lambda ann: start(ann, folder="a"),
}


@pytest.mark.parametrize("verb", [downloads.stop, downloads.check], ids=["stop", "check"])
@pytest.mark.parametrize("bring_about", NOT_LIVE.values(), ids=NOT_LIVE)
def test_what_is_not_being_downloaded_cannot_be_stopped_or_checked(
    ann: User, bring_about: Callable[[User], object], verb: Callable[..., Download]
) -> None:
    bring_about(ann)
    before = list(Download.objects.values())
    with pytest.raises(NotDownloadingError):
        verb(user=ann, request=ask())
    assert list(Download.objects.values()) == before


def test_a_stop_by_another_user_stops_nothing(ann: User, bob: User) -> None:
    start(ann)
    with pytest.raises(NotDownloadingError):
        stop(bob)
    assert Download.objects.get().live


@pytest.mark.parametrize("bring_to", LIVE.values(), ids=LIVE)
def test_what_is_being_downloaded_can_be_checked(ann: User, bring_to: Callable[[Download], object]) -> None:
    download = start(ann)
    bring_to(download)
    assert downloads.check(user=ann, request=ask(FILM.replace("//", "//ann:x@"))).pk == download.pk


@pytest.mark.django_db(transaction=True)
def test_of_many_stops_at_once_one_is_told_that_it_did(ann: User) -> None:
    download = start(ann)

    def attempt() -> bool:
        try:
            downloads.stop_download(download=download)
        except NotDownloadingError:
            return False
        return True

    assert sum(at_once([attempt] * 6)) == 1
    assert Download.objects.get().state == "stopped"


@pytest.mark.django_db(transaction=True)
def test_a_stop_that_no_worker_does_is_told_on_the_socket(ann: User, broker: str) -> None:
    async def listen() -> dict[str, Any]:
        layer = get_channel_layer()  # type: ignore[no-untyped-call]
        channel = await layer.new_channel()
        await layer.group_add(progress.group_of(ann.pk), channel)
        await asyncio.to_thread(in_a_thread)
        event: dict[str, Any] = {"keys": {}}
        while event["keys"].get("fid") != "f":  # what other tests told may still be on its way
            message = await asyncio.wait_for(layer.receive(channel), WAIT_SECONDS)
            event = message["event"]
        await layer.group_discard(progress.group_of(ann.pk), channel)
        return event

    def in_a_thread() -> None:
        try:
            start(ann, fid="f")
            stop(ann, fid="f")
        finally:
            connections.close_all()

    event = asyncio.run(listen())
    row = Download.objects.get()
    assert event["name"] == "download_stream"
    assert event["keys"] == {"cid": "studio", "fid": "f"}
    assert event["body"] == {
        "cid": "studio",
        "fid": "f",
        "id": str(row.pk),
        "revision": row.revision,
        "message": {
            "action": "stream_status",
            "status": "STREAM_FAIL",
            "data": {"error": "Error: aborted", "reason": "stopped"},
        },
    }


# Starting again ------------------------------------------------------------------------------------------------------


def test_a_restart_is_a_start_of_the_same(ann: User) -> None:
    url = FILM.replace("//", f"//ann:{HUSH}@")
    first = left_unfinished(start(ann, url, fid="f", folder=r"C:\films"))
    again = downloads.restart(download=Download.objects.get(pk=first.pk))
    assert (again.pk, again.state, again.save_path) == (first.pk, "queued", first.save_path)
    assert Download.objects.get().url == url
    with pytest.raises(AlreadyDownloadingError):
        downloads.restart(download=again)


# Waiting for the beginning -------------------------------------------------------------------------------------------


def timed(download: Download, seconds: float) -> tuple[Download, float]:
    began_at = time.monotonic()
    return downloads.await_beginning(download=download, seconds=seconds), time.monotonic() - began_at


def test_a_stream_that_began_is_not_waited_for(ann: User) -> None:
    found, elapsed = timed(began(start(ann)), 5)
    assert found.stream_began_at is not None
    assert elapsed < 1


def test_a_download_that_is_done_is_not_waited_for() -> None:
    found, elapsed = timed(new_download(state="completed"), 5)
    assert (found.state, elapsed < 1) == ("completed", True)


@pytest.mark.parametrize(
    "row", [{"state": "stopped"}, {"state": "running", "desired": "stop"}, {"state": "queued", "desired": "stop"}]
)
def test_a_download_that_somebody_stopped_meanwhile_is_aborted(row: dict[str, Any]) -> None:
    with pytest.raises(StoppedError, match=r"^aborted$"):
        downloads.await_beginning(download=new_download(**row), seconds=5)


@pytest.mark.parametrize("seconds", [0, 0.15])
def test_a_busy_queue_is_waited_for_as_long_as_told(ann: User, seconds: float) -> None:
    found, elapsed = timed(start(ann), seconds)
    assert found.state == "queued"
    assert seconds <= elapsed < seconds + 0.5


@pytest.mark.parametrize(
    ("code", "kind"),
    [("source_refused", SourceRefusedError), ("source_busy", TransferError), ("a code of former times", TransferError)],
)
def test_a_failure_is_raised_as_what_it_was(code: str, kind: type[TransferError]) -> None:
    download = new_download(state="failed", error_code=code, error="it answered 404")
    with pytest.raises(kind, match="it answered 404"):
        downloads.await_beginning(download=download, seconds=5)


@pytest.mark.django_db(transaction=True)
def test_what_happens_meanwhile_is_seen(ann: User) -> None:
    download = start(ann)
    mine = claimed(download)

    def later() -> None:
        try:
            time.sleep(0.15)
            mine.mark_streaming()
        finally:
            connections.close_all()

    worker = threading.Thread(target=later)
    worker.start()
    found, elapsed = timed(download, 10)
    worker.join()
    assert found.stream_began_at is not None
    assert 0.1 < elapsed < 5


# Looking back --------------------------------------------------------------------------------------------------------


def test_the_newest_come_first_and_none_is_lost_between_two_pages(ann: User) -> None:
    together = in_seconds(-5)
    rows = [new_download(ann) for _ in range(30)]
    Download.objects.update(requested_at=together)
    newest = new_download(ann)
    Download.objects.filter(pk__in=[row.pk for row in rows[:3]]).update(requested_at=in_seconds(-60))
    found = downloads.visible(user=ann)
    pages = [list(found[at : at + 7]) for at in range(0, 35, 7)]
    listed = [row.pk for row in itertools.chain(*pages)]
    assert len(listed) == len(set(listed)) == 31
    assert listed == [newest.pk, *sorted(row.pk for row in rows[3:]), *sorted(row.pk for row in rows[:3])]


def test_filters_narrow_the_list(ann: User, bob: User) -> None:
    wanted = new_download(ann, cid="a", fid="1", state="failed")
    new_download(ann, cid="a", fid="1")
    new_download(ann, cid="a", fid="2", state="failed")
    new_download(ann, cid="b", fid="1", state="failed")
    new_download(bob, cid="a", fid="1", state="failed")
    assert list(downloads.visible(user=ann, cid="a", fid="1", state="failed")) == [wanted]
    assert downloads.visible(user=ann).count() == 4


def snapshot(user: User, cid: str = "", fid: str = "") -> list[tuple[str, str]]:
    events = downloads.snapshot(user=user, cid=cid, fid=fid)
    return [(event.body["fid"], event.body["message"]["status"]) for event in events]


def test_a_snapshot_is_what_runs_and_what_ended_just_now_in_the_order_of_their_requests(ann: User, bob: User) -> None:
    new_download(ann, fid="1", requested_at=in_seconds(-50), state="completed")
    new_download(ann, fid="2", requested_at=in_seconds(-90), state="running")
    new_download(ann, fid="3", requested_at=in_seconds(-80), state="failed", ended_at=in_seconds(-55))
    new_download(ann, fid="4", requested_at=in_seconds(-70), state="failed", ended_at=in_seconds(-65))
    new_download(ann, fid="5", requested_at=in_seconds(-10))
    new_download(ann, fid="6", requested_at=in_seconds(-5), desired="stop", state="running")
    new_download(bob, fid="7")
    assert snapshot(ann) == [
        ("2", "STREAM_RUNNING"),
        ("3", "STREAM_FAIL"),
        ("1", "STREAM_COMPLETED"),
        ("5", "STREAM_RUNNING"),
        ("6", "STREAM_FAIL"),
    ]
    assert [fid for fid, _ in snapshot(new_user("root", is_staff=True))] == ["2", "3", "1", "5", "6", "7"]


def test_a_snapshot_of_one_key_tells_also_what_ended_long_ago(ann: User) -> None:
    new_download(ann, cid="a", fid="1", state="failed", ended_at=in_seconds(-3600))
    new_download(ann, cid="b", fid="1", state="completed", ended_at=in_seconds(-3600))
    new_download(ann, cid="a", fid="2", state="failed", ended_at=in_seconds(-3600))
    assert {status for _, status in snapshot(ann, fid="1")} == {"STREAM_FAIL", "STREAM_COMPLETED"}
    assert snapshot(ann, cid="a", fid="1") == [("1", "STREAM_FAIL")]
    assert snapshot(ann, cid="a") == []


def test_a_snapshot_has_an_end(ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "SNAPSHOT_LIMIT", 3)
    for number in range(5):
        new_download(ann, fid=str(number), requested_at=in_seconds(number))
    assert [fid for fid, _ in snapshot(ann)] == ["2", "3", "4"]


@pytest.mark.parametrize("state", DownloadState.values)
def test_what_is_told_of_each_state(state: str) -> None:
    row = new_download(
        state=state, bytes_done=5, size=9, error="it answered 404", error_code="source_refused",
        output_folder=r"C:\films", save_path="/d/C/films/film.mov",
    )  # fmt: skip
    running = ("STREAM_RUNNING", {"downloaded": 5, "totalSize": 9})
    told = {
        "queued": running,
        "running": running,
        "stopped": ("STREAM_FAIL", {"error": "Error: aborted", "reason": "stopped"}),
        "failed": ("STREAM_FAIL", {"error": "Error: it answered 404", "code": "source_refused"}),
        "completed": ("STREAM_COMPLETED", {"savePath": r"C:\films\film.mov"}),
    }
    status, data = told[state]
    assert downloads.stream_status(download=row) == {"action": "stream_status", "status": status, "data": data}


def test_the_size_is_null_while_the_server_has_not_told_it() -> None:
    told = downloads.stream_status(download=new_download(state="running"))
    assert told["data"] == {"downloaded": 0, "totalSize": None}


def test_the_disk_is_only_looked_at(ann: User, root: Path) -> None:
    start(ann, folder="a/b/c")
    stop(ann, folder="a/b/c")
    assert not os.path.lexists(root)
