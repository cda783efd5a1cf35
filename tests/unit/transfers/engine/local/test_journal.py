"""What an unfinished file is taken for after its journal, or the file itself, was damaged."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.transfers.engine.local.building import (
    CONTENT,
    NAME,
    OTHER,
    PLAN,
    SIZE,
    begun,
    finish,
    half_built,
    names,
    sizes,
    write,
    write_beginning,
)
from transfers.engine.local import LocalSink
from transfers.engine.local.journal import Journal, bound_inode, rebind
from transfers.engine.plan import Plan, whole
from transfers.errors import FolderUnusableError, SinkError

HEADER_BYTES = 64
SLOT_BYTES = 16
KEPT = {1: 6000, 2: 3000, 3: 6000}


def part_of(folder: Path) -> Path:
    return folder / f"{NAME}.part"


def journal_of(folder: Path) -> Path:
    return folder / f"{NAME}.part.journal"


def _flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def _replaced_by_other_bytes(folder: Path) -> None:
    fresh = folder / "fresh"
    fresh.write_bytes(OTHER)
    fresh.replace(part_of(folder))


def _replaced_by_a_pipe(folder: Path) -> None:
    journal_of(folder).unlink()
    os.mkfifo(journal_of(folder))


def _moved_behind_a_symlink(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def _with_another_generations_slots(folder: Path) -> None:
    other = folder.parent / "other"
    sink = begun(other, generation="two")
    for number in (1, 2, 3, 4):
        write(sink, number, content=OTHER)
    sink.close()
    ours, theirs = journal_of(folder), journal_of(other)
    ours.write_bytes(ours.read_bytes()[:HEADER_BYTES] + theirs.read_bytes()[HEADER_BYTES:])


DAMAGES: dict[str, tuple[Callable[[Path], object], dict[int, int]]] = {
    "none": (names, KEPT),
    "torn-slot": (lambda folder: _flip(journal_of(folder), HEADER_BYTES + SLOT_BYTES), {1: 6000, 3: 6000}),
    "torn-check": (lambda folder: _flip(journal_of(folder), HEADER_BYTES + 8), {2: 3000, 3: 6000}),
    "cut-in-a-slot": (
        lambda folder: os.truncate(journal_of(folder), HEADER_BYTES + 2 * SLOT_BYTES + 5),
        {1: 6000, 2: 3000},
    ),
    "cut-behind-the-header": (lambda folder: os.truncate(journal_of(folder), HEADER_BYTES), {}),
    "cut-in-the-header": (lambda folder: os.truncate(journal_of(folder), HEADER_BYTES - 1), {}),
    "empty-journal": (lambda folder: os.truncate(journal_of(folder), 0), {}),
    "zeroed-journal": (lambda folder: journal_of(folder).write_bytes(bytes(128)), {}),
    "another-format": (lambda folder: _flip(journal_of(folder), 0), {}),
    "another-generation-in-the-header": (lambda folder: _flip(journal_of(folder), 8), {}),
    "another-size-in-the-header": (lambda folder: _flip(journal_of(folder), 40), {}),
    "another-part-size-in-the-header": (lambda folder: _flip(journal_of(folder), 48), {}),
    "another-inode-in-the-header": (lambda folder: _flip(journal_of(folder), 56), {}),
    "another-generations-slots": (_with_another_generations_slots, {}),
    "no-journal": (lambda folder: journal_of(folder).unlink(), {}),
    "a-journal-that-cannot-be-read": (_replaced_by_a_pipe, {}),
    "a-journal-behind-a-symlink": (lambda folder: _moved_behind_a_symlink(journal_of(folder)), {}),
    "no-part-file": (lambda folder: part_of(folder).unlink(), {}),
    "another-part-file": (_replaced_by_other_bytes, {}),
    "a-part-file-behind-a-symlink": (lambda folder: _moved_behind_a_symlink(part_of(folder)), {}),
    "a-shorter-part-file": (lambda folder: os.truncate(part_of(folder), SIZE - 1), {}),
    "a-longer-part-file": (lambda folder: os.truncate(part_of(folder), SIZE + 1), {}),
}


@pytest.mark.parametrize(("damage", "kept"), DAMAGES.values(), ids=DAMAGES)
def test_only_what_is_surely_ours_is_kept(
    tmp_path: Path, damage: Callable[[Path], object], kept: dict[int, int]
) -> None:
    folder = tmp_path / "folder"
    half_built(folder)
    damage(folder)
    sink = begun(folder)
    assert sizes(sink) == kept
    assert finish(sink) == SIZE - sum(kept.values())
    assert (folder / NAME).read_bytes() == CONTENT
    assert names(folder) == [NAME]


OTHERS: dict[str, tuple[str, Plan]] = {
    "another-generation": ("two", PLAN),
    "another-plan": ("one", Plan(SIZE, 7000)),
    "another-size": ("one", Plan(SIZE - 1, 6000)),
    "another-size-with-as-many-parts": ("one", Plan(SIZE + 1, 6000)),
    "no-size": ("one", whole(None)),
    "an-empty-generation": ("", PLAN),
}


@pytest.mark.parametrize(("generation", "plan"), OTHERS.values(), ids=OTHERS)
def test_another_generation_or_plan_starts_with_a_new_file(tmp_path: Path, generation: str, plan: Plan) -> None:
    half_built(tmp_path)
    with part_of(tmp_path).open("rb") as old:
        sink = begun(tmp_path, generation=generation, plan=plan)
        assert sink.stored_parts() == {}
        assert os.fstat(old.fileno()).st_nlink == 0, "whoever has the old file open writes nowhere"
        assert not os.path.sameopenfile(old.fileno(), sink.fileno())
        sink.close()


@pytest.mark.parametrize("generation", ["x" * 10_000, "\N{SNOWMAN}", "a\nb"])
def test_a_generation_may_be_any_text(tmp_path: Path, generation: str) -> None:
    sink = begun(tmp_path, generation=generation)
    write(sink, 2)
    sink.close()
    sink = begun(tmp_path, generation=generation)
    assert sizes(sink) == {2: 6000}
    sink.close()


def test_joining_what_is_damaged_is_refused_and_destroys_nothing(tmp_path: Path) -> None:
    half_built(tmp_path)
    _flip(journal_of(tmp_path), 8)
    before = part_of(tmp_path).read_bytes(), journal_of(tmp_path).read_bytes()
    assert LocalSink(tmp_path / NAME, generation="one").join(PLAN) is False
    assert (part_of(tmp_path).read_bytes(), journal_of(tmp_path).read_bytes()) == before


def test_a_folder_in_the_journals_place_is_told(tmp_path: Path) -> None:
    journal_of(tmp_path).mkdir()
    with pytest.raises(FolderUnusableError):
        begun(tmp_path)
    assert names(tmp_path) == [f"{NAME}.part.journal"]


def test_joiners_see_what_the_other_stored(tmp_path: Path) -> None:
    first = begun(tmp_path)
    first.share()
    second = LocalSink(tmp_path / NAME, generation="one")
    assert second.join(PLAN)
    write(first, 1)
    write(second, 3)
    assert sizes(first) == sizes(second) == {1: 6000, 3: 6000}
    write(second, 2)
    write(second, 4)
    second.close()
    first.complete(SIZE)
    first.close()
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert names(tmp_path) == [NAME]


def test_nothing_can_be_joined_before_it_is_shared(tmp_path: Path) -> None:
    first = begun(tmp_path)
    second = LocalSink(tmp_path / NAME, generation="one")
    assert not second.join(PLAN)
    with pytest.raises(SinkError):
        second.fileno()
    first.share()
    assert second.join(PLAN)
    first.close()
    second.close()


def test_who_left_a_part_to_another_does_not_unsay_what_the_other_stored(tmp_path: Path) -> None:
    first = begun(tmp_path)
    write_beginning(first, 3, 1000)
    second = LocalSink(tmp_path / NAME, generation="one")
    assert second.join(PLAN)
    write_beginning(second, 3, 4000, start=1000)
    write(first, 4)
    assert sizes(first) == {3: 5000, 4: 2480}
    write(second, 3)
    write_beginning(first, 2, 10)
    assert sizes(second) == {2: 10, 3: 6000, 4: 2480}
    first.close()
    second.close()


def test_a_slot_is_never_torn_by_a_sector() -> None:
    # What a power cut may tear is a sector of 512 bytes; no slot lies in two.
    assert HEADER_BYTES % SLOT_BYTES == 0
    assert 512 % SLOT_BYTES == 0
    assert (Journal._HEADER.size, Journal._SLOT.size) == (HEADER_BYTES, SLOT_BYTES)


def test_a_closed_journal_vouches_for_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", "one", PLAN)
    journal.create(1, {})
    journal.note({1: 10})
    journal.close()
    journal.close()
    assert journal.read() == {}
    with pytest.raises(SinkError):
        journal.note({1: 20})
    assert journal.open() == 1
    assert {number: part.size for number, part in journal.read().items()} == {1: 10}
    journal.close()


def test_a_journal_that_cannot_be_made_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    journal = Journal(tmp_path / "journal", "one", PLAN)
    with pytest.raises(OSError, match="directory"):
        journal.create(1, {})
    assert not journal.exists


def test_only_the_own_journal_is_removed(tmp_path: Path) -> None:
    old, new = (Journal(tmp_path / "journal", "one", PLAN) for _ in range(2))
    old.create(1, {})
    new.create(2, {})
    old.remove()
    assert (tmp_path / "journal").exists()
    new.remove()
    new.remove()
    assert not (tmp_path / "journal").exists()
    old.close()
    new.close()


def test_ten_thousand_parts(tmp_path: Path) -> None:
    plan = Plan(10_000, 1)
    journal = Journal(tmp_path / "journal", "one", plan)
    journal.create(1, {10_000: 1})
    journal.note({1: 1, 5000: 1})
    assert sorted(journal.read()) == [1, 5000, 10_000]
    assert (tmp_path / "journal").stat().st_size == HEADER_BYTES + 10_000 * SLOT_BYTES
    assert struct.calcsize("<QI4x") == SLOT_BYTES
    journal.close()


def test_a_copy_is_gone_on_with_once_its_journal_is_bound_to_it(tmp_path: Path) -> None:
    half_built(tmp_path)
    restored = tmp_path / "restored"
    restored.mkdir()
    for path in (part_of(tmp_path), journal_of(tmp_path)):
        shutil.copy(path, restored)
    assert bound_inode(journal_of(restored)) == part_of(tmp_path).stat().st_ino
    rebind(journal_of(restored), part_of(restored))
    assert bound_inode(journal_of(restored)) == part_of(restored).stat().st_ino
    sink = begun(restored)
    assert sizes(sink) == KEPT
    sink.close()


def test_what_is_no_journal_is_bound_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"carryon1")
    (tmp_path / "other").write_bytes(bytes(HEADER_BYTES))
    assert bound_inode(tmp_path / "short") is None
    assert bound_inode(tmp_path / "other") is None
