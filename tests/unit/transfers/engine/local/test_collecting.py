"""A file collected from parts: any order, twice, two at once, odd sizes, and `kill -9` between any two changes."""

from __future__ import annotations

import hashlib
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.transfers.engine.local.test_crashes import crash_at
from transfers.engine.base import Reader
from transfers.engine.local.collecting import LocalCollection
from transfers.engine.local.part_journal import PartJournal, Slot
from transfers.engine.memory import MemorySource
from transfers.engine.plan import MAX_PARTS
from transfers.errors import (
    OutOfSpaceError,
    PartChecksumError,
    PartsDifferError,
    SinkError,
    SourceInterruptedError,
    UploadEndedError,
)

STRIDE = 4096
PARTS = {1: b"a" * STRIDE, 2: b"b" * STRIDE, 3: b"c" * 100}
WHOLE = b"".join(PARTS.values())


@pytest.fixture
def collection(tmp_path: Path) -> LocalCollection:
    made = LocalCollection(tmp_path / "upload", STRIDE, tmp_path / "files" / "film.mov")
    made.begin(None)
    return made


def send(collection: LocalCollection, number: int, content: bytes, size: int | None = -1) -> str:
    with MemorySource(content).open(0, len(content)) as reader:
        return collection.write_part(number, reader, len(content) if size == -1 else size).etag


def md5s(parts: dict[int, bytes]) -> dict[int, str]:
    return {number: hashlib.md5(content).hexdigest() for number, content in parts.items()}  # noqa: S324


def completed(collection: LocalCollection, parts: dict[int, bytes], tmp_path: Path) -> bytes:
    content = Path(collection.complete(md5s(parts)).location).read_bytes()
    collection.abort()
    return content


def test_who_completes_while_another_did_is_told_that_nothing_is_left(
    collection: LocalCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, part in PARTS.items():
        send(collection, number, part)
    read = PartJournal.read

    def read_and_lose_the_race(journal: PartJournal) -> dict[int, Slot]:
        found = read(journal)
        monkeypatch.undo()
        completed(LocalCollection(tmp_path / "upload", STRIDE, tmp_path / "files" / "faster.mov"), PARTS, tmp_path)
        return found

    monkeypatch.setattr(PartJournal, "read", read_and_lose_the_race)
    monkeypatch.setattr(PartJournal, "held", lambda *_: nullcontext(0))  # of a file that is gone, any lock is free
    with pytest.raises(UploadEndedError):
        collection.complete(md5s(PARTS))
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["faster.mov"]


class Broken(Reader):
    """Gives a few bytes, then breaks off."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def readinto(self, buffer: memoryview) -> int:
        if not self._content:
            raise SourceInterruptedError("cut")
        buffer[: len(self._content)] = self._content
        count, self._content = len(self._content), b""
        return count


class Gated(Reader):
    """Waits before its last bytes."""

    def __init__(self, content: bytes) -> None:
        self._pieces = [content[:10], content[10:]]
        self.reached, self.go_on = threading.Event(), threading.Event()

    def readinto(self, buffer: memoryview) -> int:
        if len(self._pieces) == 1:
            self.reached.set()
            assert self.go_on.wait(10)
        piece = self._pieces.pop(0) if self._pieces else b""
        buffer[: len(piece)] = piece
        return len(piece)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)], ids=str)
@pytest.mark.parametrize("told", [True, False], ids=["size told", "size not told"])
def test_parts_in_any_order_become_the_file(
    collection: LocalCollection, tmp_path: Path, order: tuple[int, ...], *, told: bool
) -> None:
    for number in order:
        assert send(collection, number, PARTS[number], -1 if told else None) == md5s(PARTS)[number]
    assert completed(collection, PARTS, tmp_path) == WHOLE
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


def test_completing_parts_that_are_in_place_moves_no_byte(collection: LocalCollection, tmp_path: Path) -> None:
    for number, content in PARTS.items():
        send(collection, number, content)
    inode = (tmp_path / "upload" / "data").stat().st_ino
    assert Path(collection.complete(md5s(PARTS)).location).stat().st_ino == inode


def test_a_part_sent_again_takes_the_place_of_what_it_was(collection: LocalCollection, tmp_path: Path) -> None:
    for content in (b"x" * STRIDE, b"y" * 17, PARTS[1], PARTS[1]):
        send(collection, 1, content)
    for number in (2, 3):
        send(collection, number, PARTS[number])
    assert collection.stored_parts()[1].size == STRIDE
    assert completed(collection, PARTS, tmp_path) == WHOLE


def test_a_part_that_breaks_off_leaves_what_was_stored(collection: LocalCollection) -> None:
    with pytest.raises(SourceInterruptedError):
        collection.write_part(1, Broken(b"zzz"), STRIDE)
    assert collection.stored_parts() == {}
    send(collection, 1, PARTS[1])
    with pytest.raises(SourceInterruptedError):
        collection.write_part(1, Broken(b"zzz"), STRIDE)
    assert {number: part.etag for number, part in collection.stored_parts().items()} == md5s({1: PARTS[1]})


def test_a_part_of_much_more_than_was_expected_is_refused(collection: LocalCollection) -> None:
    with pytest.raises(SinkError):
        send(collection, 1, b"x" * (STRIDE + 3), STRIDE)
    assert collection.stored_parts() == {}


def test_a_part_of_a_little_more_than_was_expected_is_kept_and_touches_no_other(
    collection: LocalCollection, tmp_path: Path
) -> None:
    parts = {1: b"a" * (STRIDE + 2), 2: b"b" * (STRIDE + 1), 3: b"c" * 9}
    for number in (2, 1, 3):
        send(collection, number, parts[number], min(len(parts[number]), STRIDE))
    assert completed(collection, parts, tmp_path) == b"".join(parts.values())


def test_a_part_of_another_md5_than_told_leaves_what_was_stored(collection: LocalCollection) -> None:
    for kept in ({}, {1: PARTS[1]}):
        with MemorySource(b"wrong").open(0, 5) as reader, pytest.raises(PartChecksumError):
            collection.write_part(1, reader, 5, md5s(PARTS)[1])
        assert {number: part.etag for number, part in collection.stored_parts().items()} == md5s(kept)
        send(collection, 1, PARTS[1])


def test_a_file_for_which_there_is_no_space_is_refused_before_its_first_byte(collection: LocalCollection) -> None:
    with pytest.raises(OutOfSpaceError):
        collection.begin(2**60)


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_two_senders_of_one_part_leave_one_of_the_two(
    collection: LocalCollection, tmp_path: Path, *, first_ends_first: bool
) -> None:
    first, second = Gated(b"1" * STRIDE), Gated(b"2" * STRIDE)
    threads = [threading.Thread(target=collection.write_part, args=(1, each, STRIDE)) for each in (first, second)]
    for thread, each in zip(threads, (first, second), strict=True):
        thread.start()
        assert each.reached.wait(10)
    order = [(first, threads[0]), (second, threads[1])]
    for each, thread in order if first_ends_first else reversed(order):
        each.go_on.set()
        thread.join()
    kept = {1: (b"2" if first_ends_first else b"1") * STRIDE}
    assert completed(collection, kept, tmp_path) == kept[1]


def test_completing_while_somebody_still_writes_gives_them_no_part_in_it(
    collection: LocalCollection, tmp_path: Path
) -> None:
    for number, content in PARTS.items():
        send(collection, number, content)
    late = Gated(b"late" * (STRIDE // 4))
    outcome: list[SinkError] = []

    def write_late() -> None:
        try:
            collection.write_part(9, late, STRIDE)
        except SinkError as error:
            outcome.append(error)

    thread = threading.Thread(target=write_late)
    thread.start()
    assert late.reached.wait(10)
    whole = Path(collection.complete(md5s(PARTS)).location)
    late.go_on.set()
    thread.join()
    assert whole.read_bytes() == WHOLE
    assert outcome


@pytest.mark.parametrize(
    ("expected", "at_odds"),
    [
        ({1: PARTS[1], 2: PARTS[2]}, [3]),
        ({**PARTS, 4: b"d"}, [4]),
        ({**PARTS, 2: b"other"}, [2]),
        ({}, [1, 2, 3]),
    ],
    ids=["one left out", "one never sent", "one that differs", "none"],
)
def test_other_parts_than_the_stored_ones_are_named(
    collection: LocalCollection, tmp_path: Path, expected: dict[int, bytes], at_odds: list[int]
) -> None:
    for number, content in PARTS.items():
        send(collection, number, content)
    with pytest.raises(PartsDifferError) as refusal:
        collection.complete(md5s(expected))
    assert list(refusal.value.differences) == at_odds
    assert completed(collection, PARTS, tmp_path) == WHOLE


@pytest.mark.parametrize("number", [0, -1, MAX_PARTS + 1])
def test_numbers_that_no_part_has_are_refused(collection: LocalCollection, number: int) -> None:
    with pytest.raises(ValueError, match="part"):
        send(collection, number, b"x")


@settings(max_examples=60, deadline=None)
@given(sent=st.lists(st.tuples(st.integers(1, 5), st.binary(max_size=3 * 64)), max_size=20), told=st.booleans())
def test_whatever_was_sent_last_is_what_the_file_has(
    tmp_path_factory: pytest.TempPathFactory, sent: list[tuple[int, bytes]], *, told: bool
) -> None:
    folder = tmp_path_factory.mktemp("any")
    collection = LocalCollection(folder / "upload", 64, folder / "file")
    collection.begin(None)
    model: dict[int, bytes] = {}
    for number, content in sent:
        send(collection, number, content, -1 if told else None)
        model[number] = content
    if sorted(model) != list(range(1, len(model) + 1)) or not model:
        with pytest.raises(PartsDifferError):
            collection.complete(md5s(model))
        return
    assert completed(collection, dict(sorted(model.items())), folder) == b"".join(model[n] for n in sorted(model))


def test_a_kill_anywhere_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    nth, died = 0, True
    while died:
        nth += 1
        folder = tmp_path / str(nth)
        target = folder / "files" / "film.mov"
        acknowledged = folder / "acknowledged"
        folder.mkdir()
        acknowledged.touch()

        def work(folder: Path = folder, target: Path = target, acknowledged: Path = acknowledged) -> None:
            collection = LocalCollection(folder / "upload", STRIDE, target)
            collection.begin(None)
            for number, content in [(2, PARTS[2]), (1, b"first"), (3, PARTS[3]), (1, PARTS[1])]:
                etag = send(collection, number, content)
                with acknowledged.open("a") as file:
                    file.write(f"{number} {etag}\n")
            collection.complete(md5s(PARTS))
            collection.abort()

        died = crash_at(nth, work)
        told = dict(line.split() for line in acknowledged.read_text().splitlines())
        collection = LocalCollection(folder / "upload", STRIDE, target)
        if target.exists():
            assert target.read_bytes() == WHOLE
            if (folder / "upload" / "journal").exists():
                collection.complete(md5s(PARTS))
        else:
            collection.begin(None)
            stored = {str(number): part.etag for number, part in collection.stored_parts().items()}
            assert stored.keys() >= told.keys()
            assert all(stored[number] == etag for number, etag in told.items() if number != "1")
            for number, content in PARTS.items():
                if stored.get(str(number)) != md5s(PARTS)[number]:
                    send(collection, number, content)
            collection.complete(md5s(PARTS))
        collection.abort()
        assert [path.name for path in target.parent.iterdir()] == ["film.mov"]
        assert target.read_bytes() == WHOLE
        assert not (folder / "upload").exists()
    assert nth > 30  # it really was killed in many places
