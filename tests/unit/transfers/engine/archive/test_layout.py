"""Archives of any members are what others read them as, and any range of one is that range of the whole."""

from __future__ import annotations

import io
import random
import sys
import time
import zipfile
import zlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.transfers.engine.archive.building import MODIFIED, deflated, pieces, stored, zipped
from transfers.engine.archive import Layout, Member, MemberRange, Method
from transfers.engine.archive.headers import FULL_16, FULL_32, directory_entry, local_header, most_framing_bytes

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\"), min_size=1, max_size=30)
TIMES = st.floats(-(2**40), 2**40) | st.integers(0, 2**32)
MEMBERS = st.lists(
    st.tuples(NAMES, st.binary(max_size=600), TIMES, st.booleans()), max_size=8, unique_by=lambda m: m[0]
)
MIB, GIB = 2**20, 2**30
SPARSE = 5 * GIB


def made(drawn: list[tuple[str, bytes, float, bool]]) -> dict[Member, bytes]:
    """Members and their stored bytes."""
    return dict(
        deflated(name, content, when) if is_deflated else (stored(name, content, when), content)
        for name, content, when, is_deflated in drawn
    )


def of_size(name: str, size: int) -> Member:
    """A stored member of so many zeros, of which nobody reads all if they are many."""
    crc32 = zlib.crc32(bytes(size)) if size < MIB else 0
    return Member(name, size, crc32, MODIFIED, Method.STORED, size)


@given(MEMBERS)
def test_the_standard_library_reads_every_archive(drawn: list[tuple[str, bytes, float, bool]]) -> None:
    with zipfile.ZipFile(io.BytesIO(zipped(made(drawn)))) as archive:
        assert archive.testzip() is None
        assert [info.orig_filename for info in archive.infolist()] == [name for name, *_ in drawn]
        for info, (_, content, when, is_deflated) in zip(archive.infolist(), drawn, strict=True):
            assert archive.read(info) == content
            assert info.compress_type == (zipfile.ZIP_DEFLATED if is_deflated else zipfile.ZIP_STORED)
            assert info.date_time == as_dos(when)
            assert info.external_attr >> 16 == 0o100644
            assert info.flag_bits == 0x800


def as_dos(when: float) -> tuple[int, ...]:
    """The nearest time that MS-DOS can tell, in UTC."""
    if when < datetime(1980, 1, 1, tzinfo=UTC).timestamp():
        return (1980, 1, 1, 0, 0, 0)
    if when >= datetime(2108, 1, 1, tzinfo=UTC).timestamp():
        return (2107, 12, 31, 23, 59, 58)
    told = datetime.fromtimestamp(int(when), tz=UTC)
    return (*told.timetuple()[:5], told.second // 2 * 2)


@given(MEMBERS, st.data())
def test_any_range_is_that_of_the_whole(drawn: list[tuple[str, bytes, float, bool]], data: st.DataObject) -> None:
    members = made(drawn)
    layout, contents, whole = Layout.of(members), list(members.values()), zipped(members)
    assert layout.size == len(whole)
    offset = data.draw(st.integers(0, layout.size))
    end = data.draw(st.integers(offset, layout.size))
    runs = list(pieces(layout, contents, offset, end))
    assert b"".join(runs) == whole[offset:end]
    assert all(runs), "no run is empty"


@given(MEMBERS, st.lists(st.sampled_from([0, MIB, 5 * GIB]), max_size=3))
def test_the_most_that_is_beside_the_files_is_known_by_their_names(
    drawn: list[tuple[str, bytes, float, bool]], more: list[int]
) -> None:
    members = [*made(drawn), *(of_size(f"/{number}", size) for number, size in enumerate(more))]
    framing_bytes = Layout.of(members).size - sum(member.stored_size for member in members)
    most = most_framing_bytes(len(members), sum(len(member.name.encode()) for member in members))
    assert most - 66 * len(members) - 76 <= framing_bytes <= most, "nor is much more promised"


@given(MEMBERS)
def test_offsets_and_members_are_told_as_they_are(drawn: list[tuple[str, bytes, float, bool]]) -> None:
    members = made(drawn)
    layout, whole = Layout.of(members), zipped(members)
    assert layout.count == len(members)
    for number, member in enumerate(members):
        at = layout.offset_of(number)
        assert whole[at : at + 4] == b"PK\3\4"
        told = layout.member(number)
        assert (told.name, told.crc32, told.method) == (member.name, member.crc32, member.method)
        assert (told.size, told.stored_size, told.seconds) == (member.size, member.stored_size, member.seconds)
    assert whole[layout.directory_offset :][:4] == (b"PK\1\2" if members else b"PK\5\6")


def test_an_empty_archive() -> None:
    assert zipped({}) == b"PK\5\6" + bytes(18)


def test_the_validator_is_of_all_that_determines_the_bytes() -> None:
    base = {"name": "a", "size": 5, "crc32": 7, "modified": 1000.0, "method": Method.DEFLATED, "stored_size": 5}
    changes = ({}, {"name": "b"}, {"size": 6}, {"crc32": 8}, {"modified": 1001.5}, {"stored_size": 6})
    members = [Member(**(base | change)) for change in (*changes, {"method": Method.STORED})]  # type: ignore[arg-type]
    layouts = [*([member] for member in members), [members[0], members[1]], [members[1], members[0]], []]
    assert len({Layout.of(each).validator for each in layouts}) == len(layouts)
    assert Layout.of(iter(members[:2])).validator == Layout.of(members[:2]).validator
    assert Layout.of([Member(**(base | {"modified": 1000.9}))]).validator == Layout.of(members[:1]).validator  # type: ignore[arg-type]


def test_the_bytes_never_change_by_themselves() -> None:
    """Archives are gone on with by newer releases: if this fails for a reason, `FORMAT` needs another value."""
    members = [stored("a", b"abc"), Member("b", 999, 5, 10, Method.DEFLATED, 12)]
    layout = Layout.of(members)
    assert (layout.size, layout.validator[:16]) == (229, "cbf23f73c9f512b8")


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "x" * 65_536},
        {"size": -1},
        {"size": 6},
        {"stored_size": 6},
        {"crc32": 2**32},
        {"modified": float("nan")},
        {"modified": float("inf")},
    ],
    ids=str,
)
def test_what_no_archive_can_hold(change: dict[str, object]) -> None:
    base = {"name": "a", "size": 5, "crc32": 7, "modified": 0, "method": Method.STORED, "stored_size": 5}
    with pytest.raises(ValueError, match=r"member|CRC-32|time"):
        Member(**(base | change))  # type: ignore[arg-type]


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        Layout.of([stored("a", b"1"), stored("b", b"2"), stored("a", b"3")])


@pytest.mark.parametrize(("offset", "end"), [(-1, 3), (3, 2), (0, 23), (23, 23)])
def test_ranges_that_are_not_in_the_archive(offset: int, end: int) -> None:
    with pytest.raises(ValueError, match="22 bytes"):
        Layout.of([]).runs(offset, end)


@pytest.mark.parametrize("number", [-1, 1])
def test_members_that_are_not_in_the_archive(number: int) -> None:
    layout = Layout.of([stored("a", b"1")])
    with pytest.raises(IndexError):
        layout.offset_of(number)
    with pytest.raises(IndexError):
        layout.member(number)


# Zip64 is used exactly where it must be -------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "is_zip64"), [(FULL_32 - 1, False), (FULL_32, True), (2**40, True)])
def test_a_local_header_has_zip64_where_a_size_needs_it(size: int, *, is_zip64: bool) -> None:
    header = local_header(of_size("a", size))
    assert (b"\1\0\x10\0" in header) == is_zip64
    assert int.from_bytes(header[4:6], "little") == (45 if is_zip64 else 20)
    assert int.from_bytes(header[18:22], "little") == int.from_bytes(header[22:26], "little") == min(size, FULL_32)


def test_a_deflated_member_that_only_was_large_has_both_sizes_there() -> None:
    header = local_header(Member("a", 2**33, 0, 0, Method.DEFLATED, 1000))
    assert header[31:51] == b"\1\0\x10\0" + (2**33).to_bytes(8, "little") + (1000).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("size", "offset", "numbers"),
    [
        (5, FULL_32 - 1, []),
        (5, FULL_32, [FULL_32]),
        (FULL_32, 5, [FULL_32, FULL_32]),
        (2**33, 2**34, [2**33, 2**33, 2**34]),
    ],
)
def test_a_directory_entry_has_only_what_does_not_fit(size: int, offset: int, numbers: list[int]) -> None:
    entry = directory_entry(of_size("a", size), offset)
    extra = b"".join(number.to_bytes(8, "little") for number in numbers)
    expected = b"\1\0" + len(extra).to_bytes(2, "little") + extra if extra else b""
    assert entry[47 : len(entry) - 9] == expected


@pytest.mark.parametrize(("count", "is_zip64"), [(FULL_16 - 1, False), (FULL_16, True), (70_000, True)])
def test_many_members(count: int, *, is_zip64: bool) -> None:
    layout = Layout.of(stored(f"folder/{number}.txt", b"") for number in range(count))
    whole = b"".join(pieces(layout, [b""] * count))
    assert (b"PK\6\6" in whole[-98:]) == is_zip64
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert len(archive.namelist()) == count
        assert archive.testzip() is None


class Sparse(io.RawIOBase):
    """An archive whose members' bytes are all zero, as a file: of one of many gigabytes only what is read is made."""

    def __init__(self, layout: Layout) -> None:
        self._layout, self._at = layout, 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._layout.size)[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._layout.size if size < 0 else min(self._at + size, self._layout.size)
        runs = self._layout.runs(self._at, end)
        self._at = end
        return b"".join(bytes(run.end - run.offset) if isinstance(run, MemberRange) else run for run in runs)


@pytest.mark.parametrize(
    "sizes",
    [(10, SPARSE, 10), (3 * GIB, 3 * GIB, 10), (FULL_32, 0), (FULL_32 - 31, 3)],
    ids=["a large member", "a large archive", "as large as can be told", "just beyond"],
)
def test_more_than_four_gigabytes(sizes: tuple[int, ...]) -> None:
    layout = Layout.of(of_size(f"{number}.bin", size) for number, size in enumerate(sizes))
    with zipfile.ZipFile(Sparse(layout)) as archive:  # type: ignore[arg-type]
        assert [(info.file_size, info.compress_size) for info in archive.infolist()] == [(size, size) for size in sizes]
        assert [info.header_offset for info in archive.infolist()] == [layout.offset_of(n) for n in range(len(sizes))]
        for info in archive.infolist():
            with archive.open(info) as member:
                assert member.read(3) == bytes(min(3, info.file_size))


# What it costs --------------------------------------------------------------------------------------------------------


def test_a_range_anywhere_is_found_without_making_what_is_before_it() -> None:
    layout = Layout.of(stored(f"{number}", b"x") for number in range(50_000))
    rng = random.Random(1)
    began = time.perf_counter()
    for _ in range(300):
        offset = rng.randrange(layout.size - 2)
        assert sum(len(run) if isinstance(run, bytes) else run.size for run in layout.runs(offset, offset + 2)) == 2
    assert time.perf_counter() - began < 10, "all that is before such a range takes seconds, each time"


def test_a_layout_is_small() -> None:
    layout = Layout.of(stored(f"{number:05}", b"x") for number in range(10_000))
    columns = vars(layout._columns).values()
    assert sum(sys.getsizeof(column) for column in columns) < 10_000 * (100 + 5)
