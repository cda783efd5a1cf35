"""Where every byte of a zip archive comes from: pure, and known before the first of them is read."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Self

from transfers.engine.archive.columns import Columns
from transfers.engine.archive.headers import directory_entry, end_records, local_header
from transfers.engine.archive.members import Member, MemberRange

_ENTRIES_AT_ONCE = 256
"""Entries of the central directory that are given as one run of bytes."""


class Layout:
    """The bytes of an archive of these members, in this order; immutable, of 53 bytes a member beside its name.

    The same members always give the same bytes, whoever asks and wherever.
    """

    def __init__(self, columns: Columns) -> None:
        """Take over the columns; `of` fills them."""
        self._columns = columns
        self.count = len(columns)
        """Members."""
        self.directory_offset = columns.offsets[-1]
        """Where the central directory begins."""
        directory_size = columns.entry_offsets[-1]
        self._end = end_records(self.count, self.directory_offset, directory_size)
        self._end_offset = self.directory_offset + directory_size
        self.size = self._end_offset + len(self._end)
        """Bytes of the whole archive."""
        self.validator = columns.digest()
        """A hash of all that determines the bytes, as hex."""

    @classmethod
    def of(cls, members: Iterable[Member]) -> Self:
        """Lay these out. ValueError when two have the same name."""
        columns = Columns()
        names = set()
        for member in members:
            names.add(member.name)
            columns.add(member)
        if len(names) != len(columns):
            raise ValueError("two members have the same name")
        return cls(columns)

    def member(self, number: int) -> Member:
        """The member with this number, from 0. IndexError when there is none."""
        return self._columns.member(self._checked(number))

    def offset_of(self, number: int) -> int:
        """Where the local header of the member with this number, from 0, begins. IndexError when there is none."""
        return self._columns.offsets[self._checked(number)]

    def count_before(self, offset: int) -> int:
        """How many members lie wholly before this offset."""
        return max(bisect_right(self._columns.offsets, offset) - 1, 0)

    def runs(self, offset: int, end: int) -> Iterator[bytes | MemberRange]:
        """What the archive's bytes from `offset` up to before `end` are, none of them empty.

        Made as they are asked for, in time that grows with the range alone. ValueError for what is not in the archive.
        """
        if not 0 <= offset <= end <= self.size:
            raise ValueError(f"an archive of {self.size} bytes has no range from {offset} to {end}")
        return self._runs(offset, end)

    def _checked(self, number: int) -> int:
        if not 0 <= number < self.count:
            raise IndexError(f"member {number} is not among 0 to {self.count - 1}")
        return number

    def _runs(self, offset: int, end: int) -> Iterator[bytes | MemberRange]:
        yield from self._member_runs(offset, min(end, self.directory_offset))
        for start, content in self._directory(max(offset, self.directory_offset), end):
            if piece := content[max(offset - start, 0) : max(end - start, 0)]:
                yield piece

    def _member_runs(self, offset: int, end: int) -> Iterator[bytes | MemberRange]:
        offsets = self._columns.offsets
        number = bisect_right(offsets, offset) - 1
        while offset < end:
            start, next_start = offsets[number], offsets[number + 1]
            content_start = next_start - self._columns.stored_sizes[number]
            if offset < content_start:
                yield local_header(self._columns.member(number))[offset - start : end - start]
            first, last = max(offset, content_start), min(end, next_start)
            if first < last:
                yield MemberRange(number, first - content_start, last - content_start)
            number, offset = number + 1, next_start

    def _directory(self, offset: int, end: int) -> Iterator[tuple[int, bytes]]:
        """The blocks of the central directory, and the records behind it, that this range is in, with their offsets."""
        if offset >= end:
            return
        entry_offsets = self._columns.entry_offsets
        number = bisect_right(entry_offsets, offset - self.directory_offset) - 1
        while number < self.count and self.directory_offset + entry_offsets[number] < end:
            until = min(number + _ENTRIES_AT_ONCE, self.count)
            last = bisect_right(entry_offsets, end - self.directory_offset - 1, number, until)
            yield self.directory_offset + entry_offsets[number], self._entries(number, last)
            number = until
        if end > self._end_offset:
            yield self._end_offset, self._end

    def _entries(self, number: int, until: int) -> bytes:
        columns = self._columns
        return b"".join(directory_entry(columns.member(each), columns.offsets[each]) for each in range(number, until))
