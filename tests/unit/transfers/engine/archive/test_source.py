"""An archive built of files that fail, change and vanish: whose fault it was is told, and what is right is kept."""

from __future__ import annotations

import os
import random
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.sources import fetch, read_all
from tests.unit.transfers.engine.archive.building import FilesOnDisk, build, on_disk, stored
from tests.unit.transfers.engine.fickle import FickleSource
from transfers.engine.archive import ArchiveSource, Layout
from transfers.engine.base import Moving, ObjectRange, Source, ValidatorKind
from transfers.engine.copying import Watch, WholePlan, copy
from transfers.engine.local import LocalSink, LocalSource
from transfers.engine.memory import MemorySource
from transfers.engine.plan import MIB, Plan
from transfers.errors import (
    CarryonError,
    Interrupted,
    Interruption,
    MemberError,
    SourceBusyError,
    SourceChangedError,
    SourceGoneError,
    SourceRefusedError,
)

CONTENTS = {
    f"{number}.bin": random.Random(number).randbytes(size)
    for number, size in enumerate([100, 0, 400_000, 70_000, 3_000_000, 50])
}


@pytest.fixture
def files(tmp_path: Path) -> FilesOnDisk:
    return on_disk(tmp_path / "members", CONTENTS)


def streamed(source: Source) -> bytes:
    source.stat()
    return fetch(source)


def test_it_tells_what_the_layout_says(files: FilesOnDisk) -> None:
    info = files.source().stat()
    assert (info.size, info.content_type, info.resumable) == (files.layout.size, "application/zip", True)
    assert info.validator is not None
    assert (info.validator.kind, info.validator.value) == (ValidatorKind.VERSION, files.layout.validator)


@pytest.mark.parametrize("connections", [1, 4])
@pytest.mark.parametrize("part_size", [123_457, MIB, 2**30])
def test_what_is_built_is_what_is_streamed(
    files: FilesOnDisk, tmp_path: Path, part_size: int, connections: int
) -> None:
    path = build(files, tmp_path / "order.zip", part_size, connections)
    assert path.read_bytes() == streamed(files.source())
    with zipfile.ZipFile(path) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == CONTENTS


@settings(max_examples=25)
@given(
    contents=st.dictionaries(st.text("abc", min_size=1, max_size=3), st.binary(max_size=3000), max_size=5),
    part_size=st.integers(1, 5000),
    data=st.data(),
)
def test_any_archive_is_built_as_it_is_streamed(
    tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes], part_size: int, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("built")
    files = on_disk(folder / "members", contents)
    whole = streamed(files.source())
    part_size = max(part_size, files.layout.size // 20)
    assert build(files, folder / "order.zip", part_size).read_bytes() == whole
    offset = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(offset, len(whole)))
    assert fetch(files.source(), offset, end) == whole[offset:end]


# Whose fault it was ---------------------------------------------------------------------------------------------------


def remove(path: Path) -> None:
    path.unlink()


def shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def lengthen(path: Path) -> None:
    os.truncate(path, path.stat().st_size + 1)


def replace_content(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


@pytest.mark.parametrize(
    ("harm", "cause"),
    [(remove, SourceGoneError), (shorten, SourceChangedError), (lengthen, SourceChangedError)],
)
@pytest.mark.parametrize("number", [0, 2, 4])
def test_a_file_that_is_not_what_it_was(
    files: FilesOnDisk, tmp_path: Path, number: int, harm: Callable[[Path], None], cause: type[CarryonError]
) -> None:
    whole = streamed(files.source())
    harm(files.path(number))
    got = read_until_it_fails(files.source(), number, cause)
    assert whole.startswith(got)
    assert len(got) >= files.layout.offset_of(number), "what comes before it is given out"
    with pytest.raises(MemberError) as raised:
        build(files, tmp_path / "order.zip")
    assert raised.value.number == number
    assert not (tmp_path / "order.zip").exists()


def read_until_it_fails(source: Source, number: int, cause: type[CarryonError]) -> bytes:
    got = bytearray()
    buffer = memoryview(bytearray(2**20))
    source.stat()
    with pytest.raises(MemberError) as raised, source.open(0, None) as reader:  # noqa: PT012
        while count := reader.readinto(buffer):
            got += buffer[:count]
    assert (raised.value.number, type(raised.value.cause)) == (number, cause)
    assert str(number + 1) in raised.value.message
    return bytes(got)


@pytest.mark.parametrize("number", [0, 2, 3, 4])
def test_other_bytes_of_the_same_size_show_by_their_checksum_when_they_are_read(
    files: FilesOnDisk, number: int
) -> None:
    replace_content(files.path(number))
    read_until_it_fails(files.source(), number, SourceChangedError)


def test_a_small_file_is_checked_also_when_others_are_moved(files: FilesOnDisk, tmp_path: Path) -> None:
    replace_content(files.path(3))
    with pytest.raises(MemberError) as raised:
        build(files, tmp_path / "order.zip", part_size=2**30)
    assert raised.value.number == 3


def test_a_piece_of_a_file_cannot_be_checked_and_is_not(files: FilesOnDisk) -> None:
    before = streamed(files.source())
    replace_content(files.path(4))
    middle = files.layout.offset_of(4) + 1000
    assert fetch(files.source(), middle, middle + 500) != before[middle : middle + 500]


def test_a_file_that_changes_between_two_ranges(files: FilesOnDisk) -> None:
    source, middle = files.source(), files.layout.offset_of(4) + 1000
    fetch(source, 0, middle)
    replace_content(files.path(4))
    with pytest.raises(MemberError) as raised:
        fetch(source, middle, middle + 500)
    assert (raised.value.number, type(raised.value.cause)) == (4, SourceChangedError)


@pytest.mark.parametrize("harm", [shorten, replace_content])
def test_a_file_that_changes_while_it_is_moved(
    files: FilesOnDisk, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    end = files.layout.offset_of(5)
    with (tmp_path / "target").open("wb") as target, pytest.raises(MemberError) as raised:  # noqa: PT012, SIM117
        with files.source().open(files.layout.offset_of(4) + 100, end) as reader:
            assert isinstance(reader, Moving)
            assert reader.move(target.fileno(), 0, 1_000_000) == 1_000_000
            harm(files.path(4))
            while reader.move(target.fileno(), 0, 10**6):
                pass
    assert raised.value.number == 4


def test_what_cannot_even_be_looked_up_is_that_members_failure() -> None:
    def lookup(number: int) -> Source:
        raise SourceRefusedError("it was deleted")

    with pytest.raises(MemberError) as raised:
        fetch(ArchiveSource(Layout.of([stored("a", b"abc")]), lookup))
    assert (raised.value.number, raised.value.code) == (0, "member_failed")


def test_a_passing_failure_is_told_as_the_cause() -> None:
    content = b"x" * 9000
    fickle = FickleSource(content, failures={5000: SourceBusyError("later", 7)})
    source = ArchiveSource(Layout.of([stored("a", content)]), lambda _: fickle)
    with pytest.raises(MemberError) as raised:
        fetch(source)
    assert isinstance(raised.value.cause, SourceBusyError)
    assert raised.value.cause.retry_after_seconds == 7


def test_a_reader_that_failed_stays_failed(files: FilesOnDisk) -> None:
    remove(files.path(2))
    with pytest.raises(MemberError), files.source().open(0, None) as reader:  # noqa: PT012
        with pytest.raises(MemberError):
            read_all(reader)
        reader.readinto(memoryview(bytearray(10)))


@pytest.mark.parametrize("harm", [shorten, replace_content])
def test_a_reader_that_failed_to_move_stays_failed(
    files: FilesOnDisk, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    with (tmp_path / "target").open("wb") as target, pytest.raises(MemberError), files.source().open(0, None) as reader:  # noqa: PT012
        assert isinstance(reader, Moving)
        while reader.move(target.fileno(), 0, 200_000) != 200_000:  # to the midst of the large file
            pass
        harm(files.path(2))
        with pytest.raises(MemberError):  # noqa: PT012
            while reader.move(target.fileno(), 0, MIB):
                pass
        reader.move(target.fileno(), 0, MIB)


def test_leaving_early_hides_no_other_failure(files: FilesOnDisk) -> None:
    with pytest.raises(ZeroDivisionError), files.source().open(200, None) as reader:  # noqa: PT012
        reader.readinto(memoryview(bytearray(10)))
        replace_content(files.path(2))
        raise ZeroDivisionError


# How it is read -------------------------------------------------------------------------------------------------------


def test_only_what_is_asked_for_is_opened_and_one_at_a_time() -> None:
    contents = [bytes([number]) * 1000 for number in range(10)]
    members = [FickleSource(content) for content in contents]
    layout = Layout.of(stored(str(number), content) for number, content in enumerate(contents))
    source = ArchiveSource(layout, members.__getitem__)
    fetch(source, layout.offset_of(3), layout.offset_of(5))
    fetch(source, layout.directory_offset, None)
    assert [len(member.opened) for member in members] == [0, 0, 0, 1, 1, 0, 0, 0, 0, 0]


def test_files_are_closed(files: FilesOnDisk) -> None:
    source = files.source()
    with source.open(0, None) as reader:
        buffer = memoryview(bytearray(200_000))
        most = 0
        while reader.readinto(buffer):
            most = max(most, open_members(files.folder))
    assert (most, open_members(files.folder)) == (1, 0)
    with source.open(200, None) as reader:
        reader.readinto(memoryview(bytearray(100_000)))
    assert open_members(files.folder) == 0


def open_members(folder: Path) -> int:
    """How many files of the folder this process has open."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("only Linux tells in /proc what is open")
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            count += entry.readlink().is_relative_to(folder)
        except FileNotFoundError:  # that of the listing itself
            continue
    return count


def test_abort_ends_a_copy_that_waits_for_a_member(tmp_path: Path) -> None:
    content = b"x" * 9000
    fickle = FickleSource(content, blocked_from=4000)
    layout = Layout.of([stored("a", content)])
    plan = Plan(layout.size, 1000)
    sink = LocalSink(tmp_path / "order.zip", generation=layout.validator)
    sink.begin(plan)
    watch = Watch(plan, {}, follow=lambda frontier: watch.interrupt(Interruption.STOPPED) if frontier > 3500 else None)
    with pytest.raises(Interrupted):
        copy(ArchiveSource(layout, lambda _: fickle), sink, WholePlan(plan, {}), watch)
    sink.close()


def test_a_moved_copy_is_told_in_pieces_and_can_be_ended_between_them(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 100 * MIB)
    plan = Plan(100 * MIB, 100 * MIB)
    sink = LocalSink(tmp_path / "copy", generation="1")
    sink.begin(plan)
    told: list[int] = []

    def follow(frontier: int) -> None:
        told.append(frontier)
        if frontier > 40 * MIB:
            watch.interrupt(Interruption.SLICED)

    watch = Watch(plan, {}, follow=follow)
    with pytest.raises(Interrupted):
        copy(LocalSource(path), sink, WholePlan(plan, {}), watch)
    assert 40 * MIB < told[-1] <= 40 * MIB + watch.piece_bytes
    assert len(told) > 2
    assert sink.stored_parts()[1].size == told[-1] == watch.fetched
    sink.close()


def test_a_limit_on_bandwidth_makes_the_pieces_small() -> None:
    class Unlimited:
        def delay_seconds(self, _: int) -> float:
            return 0.0

    plan = Plan(10, 10)
    assert Watch(plan, {}, pacer=Unlimited()).piece_bytes == MIB < Watch(plan, {}).piece_bytes


# Where a store has it -------------------------------------------------------------------------------------------------


class InAStore(MemorySource):
    def stored_at(self, offset: int, end: int) -> ObjectRange:
        return ObjectRange("bucket", "key", "etag", offset, end)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, 0, (0, 1000)), (10, -20, (10, 980)), (-1, 0, None), (0, 1, None), (1000, 0, None)],
    ids=["all of a member", "some of it", "its header too", "the next header too", "nothing"],
)
def test_a_range_within_one_member_is_told_where_it_lies(
    start: int, end: int, expected: tuple[int, int] | None
) -> None:
    content = bytes(range(250)) * 4
    layout = Layout.of(stored(name, content) for name in ("a", "b"))
    source = ArchiveSource(layout, lambda _: InAStore(content))
    first, last = layout.offset_of(1) - 1000 + start, layout.offset_of(1) + end
    whole = fetch(source)
    with source.open(first, last) as reader:
        found = reader.stored_at()  # type: ignore[attr-defined]
        assert found == (expected and ObjectRange("bucket", "key", "etag", *expected))
        assert read_all(reader) == whole[first:last], "to ask changes nothing"


def test_what_lies_in_no_store_has_no_place_there(files: FilesOnDisk) -> None:
    start = files.layout.offset_of(4) + 1000
    with files.source().open(start, start + 1000) as reader:
        assert reader.stored_at() is None  # type: ignore[attr-defined]


def test_a_member_that_was_replaced_is_told_before_a_store_copies_it() -> None:
    content = b"x" * 1000
    layout = Layout.of([stored("a", content), replace(stored("b", content), name="c")])
    source = ArchiveSource(layout, lambda _: InAStore(content[1:]))
    start = layout.offset_of(1) - 1000
    with source.open(start, start + 1000) as reader, pytest.raises(MemberError):
        reader.stored_at()  # type: ignore[attr-defined]
