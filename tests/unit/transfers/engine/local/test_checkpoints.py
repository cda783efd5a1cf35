"""What is written becomes safe often enough, and is vouched for only when it surely is."""

from __future__ import annotations

import errno
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.unit.transfers.engine.local.building import NAME, PLAN, begun, finish, names, sizes, write
from transfers.engine.base import CHUNK_BYTES
from transfers.engine.local import LocalSink, checkpoints
from transfers.engine.plan import MIB, Plan, whole
from transfers.errors import FolderUnusableError, Interrupted, Interruption, OutOfSpaceError, SinkError

WAIT_SECONDS = 10
STEP = 64 * 1024
"""Bytes that a reader here gives at once."""


class Zeros:
    """A reader of so many pieces, which calls `before` ahead of each, and raises `failure` in place of its end."""

    def __init__(
        self,
        pieces: int,
        *,
        piece_bytes: int = STEP,
        before: Callable[[], None] = lambda: None,
        failure: Exception | None = None,
    ) -> None:
        self.left = pieces
        self._piece_bytes, self._before, self._failure = piece_bytes, before, failure

    def readinto(self, buffer: memoryview) -> int:
        if not self.left:
            if self._failure:
                raise self._failure
            return 0
        self._before()
        self.left -= 1
        count = min(self._piece_bytes, len(buffer))
        buffer[:count] = bytes(count)
        return count


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Callable[[Plan], int]]:
    """Tells how many bytes are vouched for, as another process sees it; 0 while there is no journal."""
    others: list[LocalSink] = []

    def vouched(plan: Plan) -> int:
        if not others:
            other = LocalSink(tmp_path / NAME, generation="one")
            if not other.join(plan):
                return 0
            others.append(other)
        return sum(sizes(others[0]).values())

    yield vouched
    for other in others:
        other.close()


def checkpoint_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "checkpoints"]


def test_a_kill_costs_at_most_64_mib_with_eight_connections() -> None:
    in_hand = 2 * CHUNK_BYTES  # just written, and just read
    assert 2 * checkpoints.CHECKPOINT_BYTES + 8 * in_hand <= 64 * MIB


@pytest.mark.parametrize("connections", [1, 4])
def test_writers_wait_for_the_disk_when_they_are_two_checkpoints_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outside: Callable[[Plan], int], connections: int
) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINT_BYTES", 4 * STEP)
    slow_disk(monkeypatch, 0.005)
    plan = Plan(connections * 50 * STEP, 50 * STEP)
    sink = begun(tmp_path, plan=plan)
    pieces = itertools.count()
    ahead: list[int] = []

    def before() -> None:
        vouched = outside(plan)  # first, as it grows meanwhile
        ahead.append(next(pieces) * STEP - vouched)

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(lambda part: sink.write_part(part, Zeros(50, before=before)), plan))
    sink.close()
    assert max(ahead) <= 8 * STEP + connections * STEP
    assert max(ahead) > 4 * STEP, "they do not wait for each checkpoint"
    assert outside(plan) == plan.size
    assert checkpoint_threads() == []


def slow_disk(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    sync = os.fdatasync

    def slow(fileno: int) -> None:
        time.sleep(seconds)
        sync(fileno)

    monkeypatch.setattr(os, "fdatasync", slow)


def test_a_trickle_is_made_safe_as_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outside: Callable[[Plan], int]
) -> None:
    # All the times are a twentieth of the real ones: what is older than a quarter of a second is safe, give or take.
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", checkpoints.CHECKPOINT_SECONDS / 20)
    plan = whole(None)
    sink = begun(tmp_path, plan=plan)
    given: list[float] = []
    oldest: list[float] = []

    def before() -> None:
        time.sleep(0.01)
        now = time.monotonic()
        vouched = outside(plan) // 10
        if vouched < len(given):
            oldest.append(now - given[vouched])
        given.append(now)

    sink.write_part(plan.part(1), Zeros(100, piece_bytes=10, before=before))
    sink.close()
    assert len(oldest) > 50
    assert 0.15 < max(oldest) < 0.6


def test_silence_after_a_checkpoint_leaves_nothing_unsafe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outside: Callable[[Plan], int]
) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.1)
    plan = whole(None)
    sink = begun(tmp_path, plan=plan)

    def before() -> None:
        time.sleep(0.01)
        deadline = time.monotonic() + WAIT_SECONDS
        while reader.left == 1 and outside(plan) < 200:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    reader = Zeros(21, piece_bytes=10, before=before)
    sink.write_part(plan.part(1), reader)
    sink.close()


def test_a_small_file_costs_neither_a_thread_nor_a_journal_until_it_is_whole(tmp_path: Path) -> None:
    plan = whole(5 * STEP)
    sink = begun(tmp_path, plan=plan)
    sink.write_part(plan.part(1), Zeros(5))
    assert checkpoint_threads() == []
    assert names(tmp_path) == [f"{NAME}.part"]
    assert sizes(sink) == {1: 5 * STEP}
    sink.complete(5 * STEP)
    sink.close()
    assert names(tmp_path) == [NAME]


def test_a_whole_part_of_several_is_safe_at_once(tmp_path: Path, outside: Callable[[Plan], int]) -> None:
    sink = begun(tmp_path)
    write(sink, 2)
    assert outside(PLAN) == 6000
    sink.close()


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        (Interruption.STOPPED, 2 * STEP),
        (Interruption.DRAINING, 2 * STEP),
        (Interruption.SLICED, 2 * STEP),
        (Interruption.FENCED, 0),
    ],
)
def test_what_came_before_an_interruption_is_safe_unless_the_file_is_anothers_now(
    tmp_path: Path, outside: Callable[[Plan], int], reason: Interruption, kept: int
) -> None:
    plan = whole(10 * STEP)
    sink = begun(tmp_path, plan=plan)
    with pytest.raises(Interrupted) as raised:
        sink.write_part(plan.part(1), Zeros(2, failure=Interrupted(reason)))
    assert raised.value.reason is reason
    sink.close()
    assert outside(plan) == kept


def test_nothing_is_vouched_for_or_named_before_it_is_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a power cut leaves is what was synced before: so the order is all.
    unsafe: dict[int, int] = {}
    events: list[str] = []
    write_at, sync, link = os.pwrite, os.fdatasync, os.link

    def record_write(fileno: int, content: bytes, offset: int) -> int:
        kind = "bytes" if fileno == sink.fileno() else "journal"
        if kind == "journal":
            assert sink.fileno() not in unsafe, "the journal vouches for what is not safe"
        unsafe[fileno] = unsafe.get(fileno, 0) + len(content)
        events.append(kind)
        return write_at(fileno, content, offset)

    def record_sync(fileno: int) -> None:
        sync(fileno)
        unsafe.pop(fileno, None)
        events.append("sync")

    def record_link(*paths: Path) -> None:
        assert not unsafe, "the name is given before the bytes are safe"
        events.append("link")
        link(*paths)

    monkeypatch.setattr(os, "pwrite", record_write)
    monkeypatch.setattr(os, "fdatasync", record_sync)
    monkeypatch.setattr(os, "link", record_link)
    monkeypatch.setattr(os, "fsync", lambda fileno: events.append(f"folder {os.fstat(fileno).st_ino}"))
    sink = begun(tmp_path)
    for number in (1, 2, 3, 4):
        write(sink, number)
    assert not unsafe
    sink.complete(PLAN.size or 0)
    sink.close()
    assert events.count("link") == 1
    assert events[-1] == f"folder {tmp_path.stat().st_ino}", "the name itself is made safe"
    assert events.count("journal") >= 4


# A disk that fails ---------------------------------------------------------------------------------------------------


@pytest.fixture
def failing_sync(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Makes the next fdatasync fail, once, with this error: as Linux does, which forgets the lost bytes then."""
    sync, pending = os.fdatasync, list[int]()

    def fail_once(fileno: int) -> None:
        if pending:
            number = pending.pop()
            raise OSError(number, os.strerror(number))
        sync(fileno)

    monkeypatch.setattr(os, "fdatasync", fail_once)
    yield pending.append
    assert not pending, "nothing was synced"


FAILURES = [(errno.EIO, FolderUnusableError), (errno.ENOSPC, OutOfSpaceError), (errno.EDQUOT, OutOfSpaceError)]


@pytest.mark.parametrize(("number", "error"), FAILURES, ids=["io", "space", "quota"])
def test_bytes_that_the_disk_may_have_lost_are_never_vouched_for(
    tmp_path: Path,
    failing_sync: Callable[[int], None],
    outside: Callable[[Plan], int],
    number: int,
    error: type[SinkError],
) -> None:
    sink = begun(tmp_path)
    write(sink, 1)
    failing_sync(number)
    with pytest.raises(error):
        write(sink, 2)
    with pytest.raises(error):
        write(sink, 3)  # not before the file is opened anew, and what is lost is known
    assert sizes(sink) == {1: 6000}
    assert outside(PLAN) == 6000
    sink.close()
    sink = begun(tmp_path)
    assert sizes(sink) == {1: 6000}
    finish(sink)


def test_a_failing_checkpoint_ends_the_writers_and_its_bytes_are_not_vouched_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failing_sync: Callable[[int], None],
    outside: Callable[[Plan], int],
) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINT_BYTES", 4 * STEP)
    plan = Plan(400 * STEP, 200 * STEP)
    sink = begun(tmp_path, plan=plan)
    sink.share()
    failing_sync(errno.EIO)
    readers = [Zeros(200), Zeros(200)]
    with ThreadPoolExecutor(2) as pool:
        writes = [pool.submit(sink.write_part, part, reader) for part, reader in zip(plan, readers, strict=True)]
    assert [type(write.exception()) for write in writes] == [FolderUnusableError] * 2
    assert outside(plan) == 0
    assert all(reader.left for reader in readers), "they wrote on to the end"
    sink.close()
    assert checkpoint_threads() == []


def test_the_first_failure_is_told_when_the_disk_fails_too(tmp_path: Path, failing_sync: Callable[[int], None]) -> None:
    sink = begun(tmp_path)
    failing_sync(errno.EIO)
    with pytest.raises(LookupError):
        sink.write_part(PLAN.part(1), Zeros(1, piece_bytes=100, failure=LookupError("the reader's own")))
    sink.close()


def test_closing_in_mid_checkpoint_waits_for_it_and_ends_its_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINT_BYTES", STEP)
    slow_disk(monkeypatch, 0.05)
    plan = whole(None)
    sink = begun(tmp_path, plan=plan)
    with pytest.raises(Interrupted):
        sink.write_part(plan.part(1), Zeros(4, failure=Interrupted(Interruption.FENCED)))
    assert checkpoint_threads() != []
    sink.close()
    assert checkpoint_threads() == []
    sink.close()
