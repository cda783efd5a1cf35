"""A row is one worker's at a time, whoever pauses, dies or comes late; and a worker knows when it is no longer its."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import django.db
import pytest
from django.db import connections
from django.db.models import F
from pytest_django.fixtures import Settings

from tests.integration.transfers.rows import at_once, in_seconds, new_download, use
from transfers import leases
from transfers.models import Download, DownloadPart
from transfers.models.download import DownloadState

pytestmark = pytest.mark.django_db

WAIT_SECONDS = 10


def fields(row: Download) -> dict[str, Any]:
    """Everything the database has of the row now."""
    return dict(Download.objects.values().get(pk=row.pk))


def claim(row: Download, owner: str | None = None, **changes: Any) -> Download | None:
    return leases.claim(Download.objects.all(), row.pk, owner or leases.new_owner(), **changes)


def claimed(row: Download) -> Download:
    mine = claim(row)
    assert mine is not None
    return mine


def expire(row: Download) -> None:
    Download.objects.filter(pk=row.pk).update(lease_expires_at=in_seconds(-1))


# Claiming ------------------------------------------------------------------------------------------------------------


def test_a_claim_makes_the_row_its_owners_alone() -> None:
    row = new_download()
    mine = claim(row, "me:1:x", cid="mine")
    assert mine is not None
    assert (mine.lease_owner, mine.lease_epoch, mine.cid) == ("me:1:x", 1, "mine")
    assert mine.lease_expires_at is not None
    assert claim(row, "you:1:x", cid="yours") is None
    assert (fields(row)["lease_owner"], fields(row)["lease_epoch"], fields(row)["cid"]) == ("me:1:x", 1, "mine")


def test_only_rows_among_the_given_ones_are_claimed() -> None:
    row = new_download()
    before = fields(row)
    assert leases.claim(Download.objects.filter(cid="other"), row.pk, leases.new_owner()) is None
    assert leases.claim(Download.objects.none(), row.pk, leases.new_owner()) is None
    assert leases.claim(Download.objects.all(), "00000000-0000-0000-0000-000000000000", leases.new_owner()) is None
    assert fields(row) == before


def test_an_expired_claim_can_be_taken_over_and_each_has_an_epoch_of_its_own() -> None:
    row = new_download()
    epochs = []
    for _ in range(3):
        epochs.append(claimed(row).lease_epoch)
        expire(row)
    assert epochs == [1, 2, 3]


def test_a_term_is_the_databases_own(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    use(settings, lease_seconds=0.4)
    row = new_download()
    claimed(row)
    real = time.time
    for wrong in (0, real() + 10**6):  # a worker whose clock is far off
        monkeypatch.setattr(time, "time", lambda wrong=wrong: wrong)
        assert claim(row) is None
        assert not Download.objects.filter(leases.free(), pk=row.pk).exists()
    monkeypatch.undo()
    deadline = time.monotonic() + WAIT_SECONDS
    while not Download.objects.filter(leases.free(), pk=row.pk).exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert claim(row) is not None


def test_a_row_that_nobody_ever_held_is_free() -> None:
    row = new_download()
    assert Download.objects.filter(leases.free(), pk=row.pk).exists()


def test_every_run_of_work_has_a_name_of_its_own() -> None:
    names = {leases.new_owner() for _ in range(100)}
    assert len(names) == 100
    assert max(map(len, names)) <= 120
    assert {name.rsplit(":", 2)[1] for name in names} == {str(os.getpid())}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("expired", [False, True], ids=["never-held", "expired"])
def test_of_many_at_once_one_gets_it(*, expired: bool) -> None:
    for turn in range(10):
        row = new_download()
        if expired:
            claimed(row)
            expire(row)
        winners = [mine for mine in at_once([lambda row=row: claim(row)] * 8) if mine is not None]  # type: ignore[misc]
        assert len(winners) == 1, f"turn {turn}"
        assert winners[0].lease_epoch == 1 + expired
        assert winners[0].lease_owner == fields(row)["lease_owner"]
        row.delete()


@pytest.mark.django_db(transaction=True)
def test_many_at_once_share_many_rows_without_one_given_twice() -> None:
    rows = [new_download() for _ in range(12)]

    def take_all() -> list[Any]:
        return [row.pk for row in rows if claim(row) is not None]

    taken = [pk for got in at_once([take_all] * 6) for pk in got]
    assert sorted(taken) == sorted(row.pk for row in rows)
    assert set(Download.objects.values_list("lease_epoch", flat=True)) == {1}


# Holding -------------------------------------------------------------------------------------------------------------


def test_the_holder_renews_and_writes() -> None:
    mine = claimed(new_download())
    Download.objects.filter(pk=mine.pk).update(lease_expires_at=in_seconds(1))
    before = fields(mine)["lease_expires_at"]
    assert leases.renew(mine, bytes_done=5)
    assert fields(mine)["bytes_done"] == 5
    assert fields(mine)["lease_expires_at"] > before


def test_a_holder_that_is_late_renews_while_nobody_has_taken_over() -> None:
    mine = claimed(new_download())
    expire(mine)
    assert leases.renew(mine)
    assert claim(mine) is None


def test_the_holder_gives_back() -> None:
    mine = claimed(new_download())
    assert leases.release(mine, cid="done")
    after = fields(mine)
    assert (after["cid"], after["lease_owner"], after["lease_expires_at"], after["lease_epoch"]) == (
        "done",
        "",
        None,
        1,
    )
    assert claimed(mine).lease_epoch == 2


def test_giving_back_on_a_condition() -> None:
    mine = claimed(new_download())
    before = fields(mine)
    assert not leases.release(mine, django.db.models.Q(cid="other"), cid="done")
    assert fields(mine) == before
    assert leases.release(mine, django.db.models.Q(cid="studio"), cid="done")


FENCED: dict[str, Callable[[Download], bool]] = {
    "renew": lambda row: leases.renew(row, bytes_done=99),
    "release": lambda row: leases.release(row, bytes_done=99),
    "mark_streaming": lambda row: row.mark_streaming(size=99),
    "mark_progress": lambda row: row.mark_progress(bytes_done=99),
    "mark_failed": lambda row: row.mark_failed("x", "y"),
    "mark_stopped": lambda row: row.mark_stopped(),
    "hand_back": lambda row: row.hand_back(delay_seconds=99),
}


@pytest.mark.parametrize("write", FENCED.values(), ids=FENCED)
@pytest.mark.parametrize("now", ["taken over", "given back", "given back and taken", "gone"])
def test_who_lost_its_lease_changes_nothing(write: Callable[[Download], bool], now: str) -> None:
    old = leases.claim(Download.objects.all(), new_download(desired="stop").pk, leases.new_owner(), state="running")
    assert old is not None
    if now == "taken over":
        expire(old)
        claimed(old)
    elif now == "gone":
        Download.objects.filter(pk=old.pk).delete()
    else:  # the old holder's own thread gave it back, another of its threads does not know yet
        same = Download.objects.get(pk=old.pk)
        assert leases.release(same, state="queued")
        if now == "given back and taken":
            claimed(old)
    before = Download.objects.values().filter(pk=old.pk).first()
    assert write(old) is False
    assert Download.objects.values().filter(pk=old.pk).first() == before


@pytest.mark.parametrize("state", DownloadState.values)
@pytest.mark.parametrize("write", FENCED.values(), ids=FENCED)
def test_who_only_looked_at_a_row_that_nobody_holds_changes_nothing(
    write: Callable[[Download], bool], state: str
) -> None:
    row = new_download(state=state, desired="stop", lease_epoch=1, lease_owner="", lease_expires_at=None)
    before = fields(row)
    assert write(row) is False
    assert fields(row) == before


def test_a_beat_that_comes_after_the_end_does_not_hold_the_row_again() -> None:
    # The thread that works and the thread that beats share one row: the last beat may come after the release.
    mine = claimed(new_download())
    assert mine.hand_back()
    assert not mine.mark_progress(bytes_done=1)
    assert claim(mine) is not None, "others need not wait for a lease that nobody has"


@pytest.mark.django_db(transaction=True)
def test_a_beat_and_an_end_at_once_leave_no_lease_behind() -> None:
    for _ in range(10):
        row = new_download()
        mine = leases.claim(Download.objects.all(), row.pk, leases.new_owner(), state="running")
        assert mine is not None
        beating = Download.objects.get(pk=row.pk)
        at_once([lambda mine=mine: mine.hand_back(), *([lambda beating=beating: leases.renew(beating)] * 3)])  # type: ignore[misc]
        after = fields(row)
        assert (after["state"], after["lease_expires_at"], after["lease_owner"]) == ("queued", None, "")
        row.delete()


# The dead ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def dead_owner() -> str:
    """An owner in a process of this host that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return leases.new_owner().replace(f":{os.getpid()}:", f":{process.pid}:")


def test_only_the_dead_of_this_host_are_known_to_be_dead(dead_owner: str) -> None:
    assert leases.owner_is_gone(dead_owner)
    assert not leases.owner_is_gone(leases.new_owner())
    assert not leases.owner_is_gone(f"another-{dead_owner}")
    place = dead_owner.partition(":")[0]
    assert not leases.owner_is_gone(f"{place}:1:-0123456789ab")  # not ours to signal, or of unknown start
    for nonsense in ("", place, f"{place}:", f"{place}:me:x"):
        assert not leases.owner_is_gone(nonsense)


def test_containers_of_one_name_do_not_judge_each_other(dead_owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert leases.owner_is_gone(dead_owner)
    monkeypatch.setattr(Path, "readlink", lambda _: Path("pid:[4026531836000]"))  # as in another namespace of pids
    leases._place.cache_clear()
    try:
        assert not leases.owner_is_gone(dead_owner)
        assert leases.new_owner().partition(":")[0] != dead_owner.partition(":")[0]
    finally:
        leases._place.cache_clear()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells cheaply when a process began")
def test_a_later_process_of_its_number_does_not_stand_for_the_dead() -> None:
    place, pid, run = leases.new_owner().split(":")
    assert leases.owner_is_gone(f"{place}:{pid}:1-{run.partition('-')[2]}")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells cheaply of what a process died")
def test_the_dead_that_nobody_has_buried_are_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = leases.new_owner().replace(
        f":{os.getpid()}:{leases._start(os.getpid())}", f":{process.pid}:{leases._start(process.pid)}"
    )
    try:
        assert not leases.owner_is_gone(owner)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert leases.owner_is_gone(owner)
    finally:
        process.communicate()


def test_what_the_dead_held_is_free_at_once(dead_owner: str) -> None:
    theirs, alive, elsewhere, nobodys = (new_download() for _ in range(4))
    for row, owner in ((theirs, dead_owner), (alive, leases.new_owner()), (elsewhere, f"another-{dead_owner}")):
        assert claim(row, owner)
    before = {row.pk: fields(row) for row in (alive, elsewhere, nobodys)}
    assert leases.take_from_the_dead(Download.objects.all()) == 1
    assert {row.pk: fields(row) for row in (alive, elsewhere, nobodys)} == before
    assert claimed(theirs).lease_epoch == 2
    assert leases.take_from_the_dead(Download.objects.all()) == 0


def test_only_the_given_rows_are_taken_from_the_dead(dead_owner: str) -> None:
    row = new_download()
    assert claim(row, dead_owner)
    assert leases.take_from_the_dead(Download.objects.exclude(pk=row.pk)) == 0
    assert leases.take_from_the_dead(DownloadPart.objects.all()) == 0
    assert claim(row) is None


# Heartbeat -----------------------------------------------------------------------------------------------------------


class Beats:
    """What a heartbeat did: its beats, whose outcomes are given in turn, the last one again and again; and its loss."""

    def __init__(self, *outcomes: bool | Exception) -> None:
        self._outcomes = list(outcomes)
        self.times: list[float] = []
        self.losses = 0
        self.lost = threading.Event()

    def beat(self) -> bool:
        self.times.append(time.monotonic())
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def lose(self) -> None:
        self.losses += 1
        self.lost.set()


def heart_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def test_it_beats_while_its_block_runs() -> None:
    beats = Beats(True)
    with leases.Heartbeat(beats.beat, beats.lose, 0.02):
        time.sleep(0.4)
    count = len(beats.times)
    assert 4 <= count <= 20
    assert beats.losses == 0
    assert heart_threads() == []
    time.sleep(0.05)
    assert len(beats.times) == count


def test_work_shorter_than_an_interval_costs_no_beat() -> None:
    beats = Beats(True)
    began = time.monotonic()
    with leases.Heartbeat(beats.beat, beats.lose, 60):
        pass
    assert (beats.times, beats.losses) == ([], 0)
    assert time.monotonic() - began < 1, "the block's end does not wait for the next beat"


def test_a_slow_beat_is_not_made_up_for() -> None:
    beats = Beats(True)

    def beat() -> bool:
        if not beats.times:
            time.sleep(0.5)  # ten more were due meanwhile
        return beats.beat()

    with leases.Heartbeat(beat, beats.lose, 0.05):
        time.sleep(0.75)
    assert 2 <= len(beats.times) <= 6


def test_a_lost_lease_is_told_once_and_ends_the_beats() -> None:
    beats = Beats(True, True, False)
    with leases.Heartbeat(beats.beat, beats.lose, 0.01):
        assert beats.lost.wait(WAIT_SECONDS)
        time.sleep(0.1)
    assert (len(beats.times), beats.losses) == (3, 1)


TROUBLES = {
    "database-locked": django.db.OperationalError("database is locked"),
    "connection-closed": django.db.InterfaceError("connection already closed"),
    "anything": RuntimeError("a fault of ours"),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_a_trouble_that_passes_loses_nothing(settings: Settings, trouble: Exception) -> None:
    use(settings, lease_seconds=60)
    beats = Beats(True, *[trouble] * 5, True)
    with leases.Heartbeat(beats.beat, beats.lose, 0.01):
        deadline = time.monotonic() + WAIT_SECONDS
        while len(beats.times) < 10:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert beats.losses == 0


@pytest.mark.parametrize("trouble", [TROUBLES["connection-closed"]])
def test_a_trouble_that_stays_fences_well_before_the_lease_is_over(settings: Settings, trouble: Exception) -> None:
    use(settings, lease_seconds=2)
    beats = Beats(True, trouble)
    with leases.Heartbeat(beats.beat, beats.lose, 0.02):
        assert beats.lost.wait(WAIT_SECONDS)
        lost_at = time.monotonic()
        count = len(beats.times)
        time.sleep(0.1)
    assert 1.3 < lost_at - beats.times[0] < 2
    assert beats.losses == 1
    assert len(beats.times) <= count + 1  # one may have been under way


def test_a_beat_that_hangs_fences_well_before_the_lease_is_over_and_holds_up_nobody(settings: Settings) -> None:
    use(settings, lease_seconds=2)
    beats, answered = Beats(True), threading.Event()

    def beat() -> bool:
        if len(beats.times) == 2:
            answered.wait(60)
        return beats.beat()

    try:
        with leases.Heartbeat(beat, beats.lose, 0.02):
            assert beats.lost.wait(WAIT_SECONDS)
            lost_at = time.monotonic()
        assert 1.3 < lost_at - beats.times[-1] < 2
        assert time.monotonic() - lost_at < 2, "the block's end does not wait for it"
    finally:
        answered.set()
    for thread in heart_threads():
        thread.join(WAIT_SECONDS)
    assert (beats.losses, len(beats.times), heart_threads()) == (1, 3, [])


def test_a_hanging_beat_does_not_keep_its_block_for_ever(settings: Settings) -> None:
    use(settings, lease_seconds=2)
    beats, begun, answered = Beats(True), threading.Event(), threading.Event()

    def beat() -> bool:
        begun.set()
        return answered.wait(60)

    try:
        with leases.Heartbeat(beat, beats.lose, 0.02):
            assert begun.wait(WAIT_SECONDS)
            began = time.monotonic()
        assert time.monotonic() - began < 2
        assert beats.losses == 0, "the work was done in time"
    finally:
        answered.set()
    for thread in heart_threads():
        thread.join(WAIT_SECONDS)


def test_one_thread_watches_all_heartbeats(settings: Settings) -> None:
    use(settings, lease_seconds=1)
    answered, all_beats = threading.Event(), [Beats(True) for _ in range(5)]
    try:
        with ExitStack() as running:
            for beats in all_beats:
                running.enter_context(leases.Heartbeat(lambda: answered.wait(60), beats.lose, 0.02))
            assert all(beats.lost.wait(WAIT_SECONDS) for beats in all_beats)
            assert [thread.name for thread in threading.enumerate()].count("watchdog") == 1
            answered.set()
    finally:
        answered.set()
    assert [beats.losses for beats in all_beats] == [1] * 5


def test_one_loss_that_cannot_be_told_keeps_no_other_from_it(settings: Settings) -> None:
    use(settings, lease_seconds=1)
    answered, beats = threading.Event(), Beats(True)

    def break_() -> None:
        raise RuntimeError("a fault of ours")

    try:
        for lost in (break_, beats.lose):  # the second finds the watchdog alive
            with leases.Heartbeat(lambda: answered.wait(60), lost, 0.02):
                time.sleep(1.2)
    finally:
        answered.set()
    assert beats.losses == 1
    for thread in heart_threads():
        thread.join(WAIT_SECONDS)


@pytest.mark.django_db(transaction=True)
def test_it_tells_when_somebody_else_has_taken_the_row() -> None:
    mine = claimed(new_download())
    lost = threading.Event()
    with leases.Heartbeat(lambda: leases.renew(mine, bytes_fetched=F("bytes_fetched") + 1), lost.set, 0.02):
        deadline = time.monotonic() + WAIT_SECONDS
        while fields(mine)["bytes_fetched"] < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        Download.objects.filter(pk=mine.pk).update(lease_epoch=2, lease_owner=leases.new_owner())
        assert lost.wait(WAIT_SECONDS)
    assert fields(mine)["lease_epoch"] == 2


@pytest.mark.django_db(transaction=True)
def test_it_leaves_no_database_connection_behind() -> None:
    mine = claimed(new_download())
    used: list[Any] = []

    def beat() -> bool:
        used.append(connections["default"])
        return leases.renew(mine)

    with leases.Heartbeat(beat, lambda: None, 0.01):
        deadline = time.monotonic() + WAIT_SECONDS
        while len(used) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert used[0].connection is not None
    assert used[0].connection is None
    assert used[0] is not connections["default"]


def test_the_states_of_a_download_are_not_known_here() -> None:
    # Whoever leases rows says himself which of them may be claimed.
    row = new_download(state=DownloadState.COMPLETED)
    assert Download.objects.claim(row.pk, leases.new_owner()) is None
