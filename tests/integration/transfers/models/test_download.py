"""Which moves a download can make from where, who may make them, and what the database itself refuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from pytest_django.fixtures import Settings

from tests.integration.transfers.rows import in_seconds, new_download, new_user
from transfers import leases
from transfers.engine.base import Validator, ValidatorKind
from transfers.engine.plan import Plan
from transfers.models import Download, DownloadPart, StoredFile
from transfers.models.encryption import SecretLostError

pytestmark = pytest.mark.django_db

STOP: dict[str, Any] = {"desired": "stop"}
EXPIRED: dict[str, Any] = {"lease_expires_at": in_seconds(-1)}


def anothers() -> Download:
    """A running download as somebody knows it who lost it to another worker."""
    row = new_download(state="running", **EXPIRED)
    assert Download.objects.claim(row.pk, leases.new_owner()) is not None
    return row


SITUATIONS: dict[str, Callable[[], Download]] = {
    "queued": new_download,
    "queued-later": lambda: new_download(next_attempt_at=in_seconds(60)),
    "queued-to-stop": lambda: new_download(**STOP),
    "queued-later-to-stop": lambda: new_download(next_attempt_at=in_seconds(60), **STOP),
    "running": lambda: new_download(state="running"),
    "running-to-stop": lambda: new_download(state="running", **STOP),
    "left-behind": lambda: new_download(state="running", **EXPIRED),
    "left-behind-to-stop": lambda: new_download(state="running", **EXPIRED, **STOP),
    "anothers": anothers,
    "stopped": lambda: new_download(state="stopped", **STOP),
    "failed": lambda: new_download(state="failed"),
    "completed": lambda: new_download(state="completed"),
}


def stored_file(row: Download) -> StoredFile:
    return StoredFile.objects.create(owner=row.user, name="film.mov", path=f"{row.save_path}-stored", size=7)


MOVES: dict[str, tuple[Callable[[Download], object], dict[str, str]]] = {
    "claim": (
        lambda row: Download.objects.claim(row.pk, leases.new_owner()),
        {"queued": "running", "left-behind": "running"},
    ),
    "stop_unclaimed": (
        lambda row: Download.objects.filter(pk=row.pk).stop_unclaimed(),
        {"queued-to-stop": "stopped", "queued-later-to-stop": "stopped", "left-behind-to-stop": "stopped"},
    ),
    "mark_completed": (
        lambda row: row.mark_completed(stored_file(row)),
        dict.fromkeys(("running", "running-to-stop", "left-behind", "left-behind-to-stop"), "completed"),
    ),
    "mark_failed": (
        lambda row: row.mark_failed("source_refused", "it answered 404"),
        dict.fromkeys(("running", "running-to-stop", "left-behind", "left-behind-to-stop"), "failed"),
    ),
    "mark_stopped": (
        lambda row: row.mark_stopped(),
        {"running-to-stop": "stopped", "left-behind-to-stop": "stopped"},
    ),
    "hand_back": (
        lambda row: row.hand_back(),
        dict.fromkeys(("running", "running-to-stop", "left-behind", "left-behind-to-stop"), "queued"),
    ),
    "mark_streaming": (
        lambda row: row.mark_streaming(size=7),
        dict.fromkeys(("running", "running-to-stop", "left-behind", "left-behind-to-stop"), "running"),
    ),
    "mark_progress": (
        lambda row: row.mark_progress(bytes_done=7),
        dict.fromkeys(("running", "running-to-stop", "left-behind", "left-behind-to-stop"), "running"),
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("move", MOVES)
def test_a_move_leads_where_it_should_or_nowhere(move: str, situation: str) -> None:
    make, leads = MOVES[move]
    row = SITUATIONS[situation]()
    before = Download.objects.values().get(pk=row.pk)
    moved = bool(make(row))
    after = Download.objects.values().get(pk=row.pk)
    assert moved is (situation in leads)
    if moved:
        assert after["state"] == leads[situation]
        assert after["desired"] == before["desired"]
        ended = after["state"] in ("stopped", "failed", "completed")
        assert (after["ended_at"] is not None) is ended
        assert (after["lease_expires_at"] is not None) is (after["state"] == "running")
        assert bool(after["lease_owner"]) is (after["state"] == "running")
    else:
        assert after == before


def test_a_claim_is_a_new_epoch() -> None:
    row = new_download(state="running", **EXPIRED)
    mine = Download.objects.claim(row.pk, "me:1:x")
    assert mine is not None
    assert (mine.lease_epoch, mine.lease_owner, mine.state) == (row.lease_epoch + 1, "me:1:x", "running")


def test_completed_is_what_the_stored_file_is() -> None:
    row = new_download(state="running", error="cut", error_code="x", bytes_per_second=5, bytes_done=3)
    stored = stored_file(row)
    assert row.mark_completed(stored, bytes_fetched=9)
    row.refresh_from_db()
    assert (row.stored_file, row.save_path, row.bytes_done, row.size) == (stored, stored.path, 7, 7)
    assert (row.error, row.error_code, row.bytes_per_second, row.bytes_fetched) == ("", "", 0, 9)


def test_a_failure_keeps_what_is_here() -> None:
    row = new_download(state="running", bytes_done=3, high_water=3, generation="g", validator_kind="etag")
    assert row.mark_failed("source_refused", "it answered 404")
    row.refresh_from_db()
    assert (row.error_code, row.error) == ("source_refused", "it answered 404")
    assert (row.bytes_done, row.high_water, row.generation, row.validator_kind) == (3, 3, "g", "etag")


def test_handed_back_is_due_after_the_delay() -> None:
    now, later = (new_download(state="running", bytes_per_second=5) for _ in range(2))
    assert now.hand_back(bytes_done=4)
    assert later.hand_back(delay_seconds=60)
    assert list(Download.objects.due()) == [now]
    now.refresh_from_db()
    later.refresh_from_db()
    assert (now.bytes_done, now.bytes_per_second) == (4, 0)
    assert timedelta(seconds=55) < later.next_attempt_at - now.next_attempt_at < timedelta(seconds=65)


def test_every_event_has_a_later_revision() -> None:
    row = new_download(state="running")
    revisions = [row.revision]
    for count in (1, 2):
        assert row.mark_progress(bytes_done=count)
        revisions.append(Download.objects.get(pk=row.pk).revision)
    assert row.hand_back()
    mine = Download.objects.claim(row.pk, leases.new_owner())
    assert mine is not None
    assert mine.mark_failed("x", "y")
    revisions.append(Download.objects.get(pk=row.pk).revision)
    assert revisions == sorted(set(revisions))
    stopping = new_download(**STOP)
    Download.objects.filter(pk=stopping.pk).stop_unclaimed()
    assert Download.objects.get(pk=stopping.pk).revision > stopping.revision


def test_what_is_due_and_what_is_live() -> None:
    rows = {name: make() for name, make in SITUATIONS.items()}
    names = {row.pk: name for name, row in rows.items()}
    assert {names[row.pk] for row in Download.objects.due()} == {
        "queued", "queued-to-stop", "left-behind", "left-behind-to-stop",
    }  # fmt: skip
    assert {names[row.pk] for row in Download.objects.live()} == set(SITUATIONS) - {"stopped", "failed", "completed"}
    assert {name for name, row in rows.items() if row.live} == {
        "queued", "queued-later", "running", "left-behind", "anothers",
    }  # fmt: skip


# What the database refuses -------------------------------------------------------------------------------------------

REFUSED: dict[str, dict[str, Any]] = {
    "unknown-state": {"state": "paused"},
    "running-without-a-claim": {"state": "running", "lease_epoch": 0},
    "ended-and-held": {"state": "failed", "lease_expires_at": in_seconds(60)},
    "stopped-and-held-too-long": {"state": "stopped", "lease_expires_at": in_seconds(-60)},
    "completed-and-held": {"state": "completed", "lease_expires_at": in_seconds(60)},
}


@pytest.mark.parametrize("facts", REFUSED.values(), ids=REFUSED)
def test_a_row_that_cannot_be(facts: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        new_download(**facts)
    row = new_download()
    with pytest.raises(IntegrityError), transaction.atomic():
        Download.objects.filter(pk=row.pk).update(**facts)


@pytest.mark.parametrize("first", ["queued", "running"])
@pytest.mark.parametrize("second", ["queued", "running"])
def test_two_live_downloads_never_write_one_file(first: str, second: str) -> None:
    path = new_download(state=first).save_path
    with pytest.raises(IntegrityError), transaction.atomic():
        new_download(new_user("bob"), state=second, save_path=path)


@pytest.mark.parametrize("ended", ["stopped", "failed", "completed"])
def test_an_ended_download_leaves_its_path_to_others(ended: str) -> None:
    old = new_download(state=ended)
    new_download(state=ended, save_path=old.save_path)
    new_download(save_path=old.save_path)
    with pytest.raises(IntegrityError), transaction.atomic():
        Download.objects.filter(pk=old.pk).update(state="queued")


def test_a_name_names_one_download_of_one_user() -> None:
    row = new_download()
    new_download(new_user("bob"), request_key=row.request_key)
    with pytest.raises(IntegrityError), transaction.atomic():
        new_download(state="failed", request_key=row.request_key)


def test_a_part_of_a_download_is_there_once() -> None:
    row = new_download()
    DownloadPart.objects.create(download=row, number=1, generation="g")
    DownloadPart.objects.create(download=new_download(), number=1, generation="g")
    with pytest.raises(IntegrityError), transaction.atomic():
        DownloadPart.objects.create(download=row, number=1, generation="h")


def test_a_path_is_one_stored_file() -> None:
    row = new_download()
    stored_file(row)
    with pytest.raises(IntegrityError), transaction.atomic():
        stored_file(row)


def test_a_user_with_downloads_is_not_deleted_and_a_stored_file_is() -> None:
    row = new_download(state="running")
    stored = stored_file(row)
    row.mark_completed(stored)
    with pytest.raises(ProtectedError):
        row.user.delete()
    stored.delete()
    row.refresh_from_db()
    assert (row.state, row.stored_file) == ("completed", None)


# What a row tells ----------------------------------------------------------------------------------------------------


def test_who_sees_which() -> None:
    ann, bob, root = new_user("ann"), new_user("bob"), new_user("root", is_staff=True)
    mine, theirs = new_download(ann), new_download(bob)
    assert set(Download.objects.visible_to(ann)) == {mine}
    assert set(Download.objects.visible_to(bob)) == {theirs}
    assert set(Download.objects.visible_to(root)) == {mine, theirs}


@pytest.mark.parametrize(
    ("facts", "remaining"),
    [
        ({"state": "running", "size": 100, "bytes_done": 40, "bytes_per_second": 20}, 3),
        ({"state": "running", "size": 100, "bytes_done": 40, "bytes_per_second": 0}, None),
        ({"state": "running", "size": None, "bytes_done": 40, "bytes_per_second": 20}, None),
        ({"state": "queued", "size": 100, "bytes_done": 40, "bytes_per_second": 20}, None),
        ({"state": "running", "size": 100, "bytes_done": 100, "bytes_per_second": 20}, 0),
    ],
)
def test_how_long_the_rest_takes(facts: dict[str, Any], remaining: float | None) -> None:
    assert new_download(**facts).remaining_seconds == remaining


def test_what_else_it_tells() -> None:
    row = new_download(
        url_shown="https://Media.Example:8443/a", size=9, part_size=4, bytes_done=5, bytes_fetched=7,
        validator_kind="etag", validator_value='"v1"', save_path="/d/film.mov",
    )  # fmt: skip
    assert (str(row), row.host, row.bytes_refetched) == ("film.mov", "media.example:8443", 2)
    assert row.plan == Plan(9, 4)
    assert row.validator == Validator(ValidatorKind.ETAG, '"v1"')
    assert row.duration is None
    bare = new_download(bytes_done=7, bytes_fetched=5)
    assert (bare.plan, bare.validator, bare.bytes_refetched) == (None, None, 0)


def test_a_duration_is_from_the_request_to_the_end() -> None:
    row = new_download(state="failed", requested_at=in_seconds(-90), ended_at=in_seconds(-30))
    assert row.duration is not None
    assert 59 < row.duration.total_seconds() < 61


# The URL with its credentials ----------------------------------------------------------------------------------------

URL = "https://ann:hush@media.example/a?token=hush"


def stored_text(row: Download) -> str:
    """All that the database has of the row, as the database has it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM transfers_download")
        return repr(cursor.fetchall())


def test_a_url_is_kept_whole_and_never_in_clear() -> None:
    row = new_download(url=URL)
    assert Download.objects.get(pk=row.pk).url == URL
    assert "media.example" in stored_text(row)
    assert "hush" not in stored_text(row)


def test_a_new_key_reads_what_the_old_one_wrote_while_it_is_known(settings: Settings) -> None:
    row = new_download(url=URL)
    old = settings.SECRET_KEY
    settings.SECRET_KEY = "another"
    settings.SECRET_KEY_FALLBACKS = [old]
    assert Download.objects.get(pk=row.pk).url == URL
    settings.SECRET_KEY_FALLBACKS = []
    row = Download.objects.get(pk=row.pk)  # all else can be read
    with pytest.raises(SecretLostError):
        _ = row.url


def test_the_same_url_is_never_stored_alike() -> None:
    first, second = (new_download(url=URL) for _ in range(2))
    assert first.url_encrypted != second.url_encrypted
