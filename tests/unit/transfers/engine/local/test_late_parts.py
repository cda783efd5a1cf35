"""Parts that come while others complete, fill the disk or are killed: the file and what was stored stay right."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import battery
from tests.unit.transfers.engine.local.test_collecting import (
    PARTS,
    STRIDE,
    WHOLE,
    Gated,
    completed,
    md5s,
    send,
)
from tests.unit.transfers.engine.local.test_crashes import crash_at
from transfers.engine.local import collecting, part_journal
from transfers.engine.local.collecting import LocalCollection
from transfers.engine.local.part_journal import PartJournal
from transfers.errors import (
    CarryonError,
    OutOfSpaceError,
    PartsDifferError,
    SinkError,
    UploadEndedError,
)

WAIT_SECONDS = 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the parts come together."""
    return tmp_path / "upload"


@pytest.fixture
def collection(folder: Path, tmp_path: Path) -> LocalCollection:
    made = LocalCollection(folder, STRIDE, tmp_path / "files" / "film.mov")
    made.begin(None)
    return made


def beside(folder: Path) -> list[str]:
    """The files that hold a part of their own."""
    return [path.name for path in folder.iterdir() if path.stem.isdigit() and path.suffix != ".lock"]


def stored(collection: LocalCollection) -> dict[int, str]:
    return {number: part.etag for number, part in collection.stored_parts().items()}


def send_all(collection: LocalCollection) -> None:
    for number, content in PARTS.items():
        send(collection, number, content)


class Late(threading.Thread):
    """Somebody who does this in a thread of their own; what became of it."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__()
        self._call = call
        self.answer: object = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = self._call()
        except CarryonError as error:
            self.answer = error

    def finish(self) -> object:
        self.join(WAIT_SECONDS)
        assert not self.is_alive()
        return self.answer


# While the file is completed -----------------------------------------------------------------------------------------


class Pause:
    """Stops whoever syncs the data file until it is let go on."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._inode = path.stat().st_ino
        self._sync = os.fsync
        self.reached, self.go_on = threading.Event(), threading.Event()
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, fileno: int) -> None:
        if os.fstat(fileno).st_ino == self._inode:
            self.reached.set()
            assert self.go_on.wait(WAIT_SECONDS)
        self._sync(fileno)


@pytest.mark.parametrize("number", [1, 3, 4, 9], ids=["the first", "the last", "behind the last", "far behind"])
def test_a_part_that_comes_while_the_file_is_cut_changes_nothing_of_it(
    collection: LocalCollection, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    send_all(collection)
    inode = (folder / "data").stat().st_ino
    pause = Pause(folder / "data", monkeypatch)
    completer = Late(lambda: collection.complete(md5s(PARTS)))
    assert pause.reached.wait(WAIT_SECONDS)
    late = Late(lambda: send(collection, number, b"late" * (STRIDE // 4)))
    late.join(0.1)
    assert late.is_alive(), "it is told before it is known"
    pause.go_on.set()
    refused, done = late.finish(), completer.finish()
    assert isinstance(done, collecting.Collected), done
    whole = Path(done.location)
    assert isinstance(refused, SinkError), refused
    assert "complete" in refused.message
    assert (whole.read_bytes(), whole.stat().st_ino) == (WHOLE, inode)
    assert beside(folder) == []
    assert not (folder / "data").exists(), "a part made a file that nobody needs"


def test_a_part_that_comes_when_the_file_is_complete_makes_nothing(collection: LocalCollection, folder: Path) -> None:
    send_all(collection)
    collection.complete(md5s(PARTS))
    for number in (1, 4):
        with pytest.raises(SinkError):
            send(collection, number, b"late" * (STRIDE // 4))
    assert beside(folder) == []
    assert not (folder / "data").exists()


@pytest.mark.parametrize("turn", range(battery.rounds(10, 200)))
def test_a_part_and_a_completion_at_once(collection: LocalCollection, turn: int) -> None:
    send_all(collection)
    gate = threading.Barrier(3)

    def late(number: int) -> object:
        gate.wait(WAIT_SECONDS)
        time.sleep(turn % 5 / 5000)
        return send(collection, number, PARTS[1])

    parts = [Late(lambda number=number: late(number)) for number in (4, 5)]  # type: ignore[misc]
    gate.wait(WAIT_SECONDS)
    try:
        whole = Path(collection.complete(md5s(PARTS)).location)
    except PartsDifferError:  # one of them was faster
        assert any(isinstance(part.finish(), str) for part in parts)
        return
    assert all(isinstance(part.finish(), SinkError) for part in parts)
    assert whole.read_bytes() == WHOLE


def test_whoever_completes_beside_another_waits_only_so_long(
    collection: LocalCollection, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "PATIENCE_SECONDS", 0.1)
    send_all(collection)
    with PartJournal(folder / "journal").held():
        began = time.monotonic()
        second = Late(lambda: collection.complete(md5s(PARTS)))
        refusal = second.finish()
    assert isinstance(refusal, SinkError)
    assert not isinstance(refusal, OutOfSpaceError)
    assert "again" in refusal.message
    assert 0.1 <= time.monotonic() - began < 5
    assert completed(collection, PARTS, tmp_path) == WHOLE


def test_whoever_completes_beside_another_who_ends_soon_is_told_the_same(
    collection: LocalCollection, folder: Path
) -> None:
    send_all(collection)
    with PartJournal(folder / "journal").held():
        second = Late(lambda: collection.complete(md5s(PARTS)))
        second.join(0.1)
        assert second.is_alive()
    assert second.finish() == collection.complete(md5s(PARTS))


@pytest.mark.parametrize("first_name", ["freed", "another's"])
def test_completing_again_links_no_second_time(collection: LocalCollection, tmp_path: Path, first_name: str) -> None:
    taken = tmp_path / "files" / "film.mov"
    taken.parent.mkdir()
    taken.write_bytes(b"another's")
    send_all(collection)
    told = collection.complete(md5s(PARTS))
    assert Path(told.location).name == "film (1).mov"
    if first_name == "freed":
        taken.unlink()
    assert [collection.complete(md5s(PARTS)) for _ in range(2)] == [told, told]
    collection.abort()
    assert Path(told.location).stat().st_nlink == 1
    assert taken.exists() == (first_name != "freed")


def test_what_was_removed_cannot_be_completed_and_nothing_is_made_for_it(
    collection: LocalCollection, folder: Path
) -> None:
    send_all(collection)
    collection.abort()
    for _ in range(2):
        with pytest.raises(UploadEndedError):
            collection.complete(md5s(PARTS))
    folder.mkdir()
    with pytest.raises(UploadEndedError):
        collection.complete(md5s(PARTS))
    assert list(folder.iterdir()) == []


# A full disk ---------------------------------------------------------------------------------------------------------


def full(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, *, after: int = 0) -> None:
    """Let the disk be full for this call, once so many of its calls have been made."""
    real, calls = getattr(module, name), iter(range(after))

    def fail(*arguments: Any, **options: Any) -> Any:
        if next(calls, None) is not None:
            return real(*arguments, **options)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, name, fail)


@pytest.mark.parametrize("step", ["_copy_into", "_copy_range"])
def test_a_replaced_part_that_finds_no_room_in_its_place_is_stored_all_the_same(
    collection: LocalCollection, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    send_all(collection)
    send(collection, 2, b"before")
    with monkeypatch.context() as patch:
        full(patch, collecting, step)
        assert send(collection, 2, PARTS[2]) == md5s(PARTS)[2]
    assert stored(collection) == md5s(PARTS)
    assert len(beside(folder)) == 1
    assert completed(collection, PARTS, tmp_path) == WHOLE


def test_a_replaced_part_whose_move_cannot_be_noted_is_stored_all_the_same(
    collection: LocalCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_all(collection)
    send(collection, 2, b"before")
    with monkeypatch.context() as patch:
        full(patch, part_journal, "write_all", after=1)
        assert send(collection, 2, PARTS[2]) == md5s(PARTS)[2]
    assert completed(collection, PARTS, tmp_path) == WHOLE


def test_a_replaced_part_whose_move_ends_after_the_file_is_complete_is_stored_all_the_same(
    collection: LocalCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_all(collection)
    send(collection, 2, b"before")
    copy = LocalCollection._copy_in
    told: list[object] = []

    def complete_meanwhile(moved: LocalCollection, *arguments: Any) -> None:
        copy(moved, *arguments)
        told.append(collection.complete(md5s(PARTS)))

    with monkeypatch.context() as patch:
        patch.setattr(LocalCollection, "_copy_in", complete_meanwhile)
        assert send(collection, 2, PARTS[2]) == md5s(PARTS)[2]
    assert told == [collection.complete(md5s(PARTS))]
    assert completed(collection, PARTS, tmp_path) == WHOLE


@pytest.mark.parametrize("before", [{}, {2: b"before"}, {2: b"x" * (STRIDE + 2)}], ids=["none", "one", "a large one"])
@pytest.mark.parametrize("size", [-1, None], ids=["size told", "size not told"])
@pytest.mark.parametrize(("module", "step"), [(part_journal, "write_all"), (collecting, "sync_folder")])
def test_a_part_that_cannot_be_noted_leaves_no_file_and_what_was_there(  # noqa: PLR0917 - a table
    collection: LocalCollection,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: dict[int, bytes],
    size: int | None,
    module: Any,
    step: str,
) -> None:
    for number, content in before.items():
        send(collection, number, content)
    had = beside(folder)
    if size == -1 and not before and step == "sync_folder":
        pytest.skip("what is in its place needs no folder synced")
    with monkeypatch.context() as patch:
        full(patch, module, step)
        with pytest.raises(OutOfSpaceError):
            send(collection, 2, PARTS[2], size)
    assert beside(folder) == had
    assert stored(collection) == md5s(before)


@pytest.mark.parametrize("tail", [1, 2])
@pytest.mark.parametrize(
    ("module", "step"),
    [
        (collecting, "_copy_range"),
        (collecting, "_append"),
        (collecting, "sync_folder"),
        (part_journal, "write_all"),
    ],
    ids=["copying", "adding", "syncing", "noting"],
)
def test_a_part_whose_tail_finds_no_room_leaves_no_file(  # noqa: PLR0917 - a table
    collection: LocalCollection, folder: Path, monkeypatch: pytest.MonkeyPatch, tail: int, module: Any, step: str
) -> None:
    content = PARTS[1] + b"\r\n"[:tail]
    with monkeypatch.context() as patch:
        full(patch, module, step)
        with pytest.raises(OutOfSpaceError):
            send(collection, 1, content, STRIDE)
    assert (beside(folder), stored(collection)) == ([], {})
    assert send(collection, 1, content, STRIDE) == md5s({1: content})[1]
    assert len(beside(folder)) == 1


def test_a_tail_that_comes_when_the_file_is_complete_leaves_no_file(collection: LocalCollection, folder: Path) -> None:
    send_all(collection)
    late = Gated(b"late" * (STRIDE // 4) + b"\r\n")
    thread = Late(lambda: collection.write_part(4, late, STRIDE))
    assert late.reached.wait(WAIT_SECONDS)
    whole = Path(collection.complete(md5s(PARTS)).location)
    late.go_on.set()
    assert isinstance(thread.finish(), SinkError)
    assert beside(folder) == []
    assert whole.read_bytes() == WHOLE


def test_a_torn_record_loses_no_other(collection: LocalCollection, tmp_path: Path) -> None:
    send(collection, 1, PARTS[1])
    with (tmp_path / "upload" / "journal").open("ab") as journal:
        journal.write(b"torn")
    assert stored(collection) == md5s({1: PARTS[1]})
    send(collection, 2, PARTS[2])
    send(collection, 3, PARTS[3])
    assert completed(collection, PARTS, tmp_path) == WHOLE


# A beginning that was cut short --------------------------------------------------------------------------------------


def synced_by(call: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The inodes that the call syncs."""
    inodes: set[int] = set()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda fileno: inodes.add(os.fstat(fileno).st_ino))
        call()
    return inodes


def test_a_beginning_that_was_killed_anywhere_is_made_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nth, died = 0, True
    while died:
        nth += 1
        place = tmp_path / str(nth)
        place.mkdir()
        collection = LocalCollection(place / "uploads" / "1", STRIDE, place / "film.mov")
        died = crash_at(nth, lambda collection=collection: collection.begin(None))  # type: ignore[misc]
        synced = synced_by(lambda collection=collection: collection.begin(None), monkeypatch)  # type: ignore[misc]
        folders = (place, place / "uploads", place / "uploads" / "1")
        assert synced == {folder.stat().st_ino for folder in folders}, f"killed at {nth}"
        send_all(collection)
        assert completed(collection, PARTS, place) == WHOLE
    assert nth > 5


def test_nothing_is_synced_again_once_a_part_is_stored(
    collection: LocalCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(collection, 1, PARTS[1])
    assert synced_by(lambda: collection.begin(None), monkeypatch) == set()


def test_a_writer_and_a_cutter_lock_the_data(collection: LocalCollection, folder: Path) -> None:
    """A part on its way has the lock that whoever completes looks for, and lets go of it when it has come."""
    late = Gated(PARTS[1])
    writer = Late(lambda: collection.write_part(1, late, STRIDE))
    assert late.reached.wait(WAIT_SECONDS)
    with (folder / "data").open("rb") as data:
        with pytest.raises(BlockingIOError):
            fcntl.flock(data, fcntl.LOCK_EX | fcntl.LOCK_NB)
        late.go_on.set()
        writer.finish()
        fcntl.flock(data, fcntl.LOCK_EX | fcntl.LOCK_NB)
