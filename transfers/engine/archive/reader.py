"""An open range of an archive: headers and members, one after the other."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from itertools import chain
from typing import Protocol

from transfers.engine.archive.members import MemberRange
from transfers.engine.base import CHUNK_BYTES, Moving, ObjectRange, Reader
from transfers.engine.local.disk import write_all
from transfers.errors import SourceChangedError, SourceError, SourceInterruptedError

LARGE_BYTES = 2**18
"""Smaller ranges of members are gathered in memory: fewer calls than to move each, and their CRC-32 is checked."""
ENOUGH_BYTES = 2**16
"""Once so much is there nobody waits for another member to be opened."""


class Members(Protocol):
    """Where the reader has its members from: the source that opened it."""

    def opened(self, wanted: MemberRange) -> AbstractContextManager[Reader]:
        """Open a range of a member's stored bytes."""

    def stored_at(self, wanted: MemberRange) -> ObjectRange | None:
        """Where a store has this range of a member, if one does."""

    def crc32_to_check(self, wanted: MemberRange) -> int | None:
        """What the bytes of the range must have; None where nothing tells."""

    def failures(self, number: int) -> AbstractContextManager[None]:
        """Tell what goes wrong with a member as that."""


class ArchiveReader:
    """Reads the runs of a layout; one member is open at a time."""

    def __init__(self, members: Members, runs: Iterator[bytes | MemberRange]) -> None:
        self._members = members
        self._runs = runs
        self._next = next(runs, None)
        self._bytes = memoryview(b"")
        """What is left of the last run of bytes."""
        self._member: _OpenMember | None = None
        self._failure: SourceError | None = None
        """What to tell once all bytes before it were given out."""
        self._buffer = memoryview(b"")

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the start of the buffer with what is there, waiting for at least a byte; 0 only at the end.

        MemberError for the first member that fails, once all that is before it was read.
        """
        return self._fill(buffer, before_large=False)

    def move(self, fileno: int, offset: int, most: int, /) -> int:
        """Write the next bytes to the open file from `offset` on, past memory where that is worthwhile."""
        try:
            member = self._large_member()
            if member is not None and isinstance(member.reader, Moving):
                return member.move(member.reader, fileno, offset, most)
        except SourceError as error:
            self._failure = error
            raise
        if not self._buffer:
            self._buffer = memoryview(bytearray(CHUNK_BYTES))
        chunk = self._buffer[: self._fill(self._buffer[:most], before_large=True)]
        write_all(fileno, chunk, offset)
        return len(chunk)

    def stored_at(self) -> ObjectRange | None:
        """Where a store has all that is left to read, if that is a range of one member."""
        if self._bytes or self._member is not None or not isinstance(self._next, MemberRange):
            return None
        if (after := next(self._runs, None)) is not None:
            self._runs = chain((after,), self._runs)
            return None
        return self._members.stored_at(self._next)

    def close(self) -> None:
        """Close what is open; MemberError when it is not what it was."""
        member, self._member = self._member, None
        if member is not None:
            member.close()

    def drop(self) -> None:
        """Close what is open, whatever it is by now: something else has failed."""
        with suppress(SourceError):
            self.close()

    def _fill(self, buffer: memoryview, *, before_large: bool) -> int:
        """Fill the start of the buffer; with `before_large` up to before the next large range of a member."""
        if self._failure is not None:
            raise self._failure
        filled = 0
        try:
            while filled < len(buffer) and self._goes_on(filled, before_large=before_large):
                if not (count := self._some(buffer[filled:])):
                    break
                filled += count
        except SourceError as error:
            self._failure = error
            if not filled:
                raise
        return filled

    def _goes_on(self, filled: int, *, before_large: bool) -> bool:
        """Whether more should be had for a buffer that has so many bytes already."""
        if self._bytes or not filled:
            return True
        if self._member is not None and self._member.left:
            return False  # it has no more just now
        if isinstance(self._next, MemberRange):
            return filled < ENOUGH_BYTES and not (before_large and self._next.size >= LARGE_BYTES)
        return True

    def _some(self, buffer: memoryview) -> int:
        """The next bytes, at least one; 0 at the end."""
        if not self._bytes and not (self._member is not None and self._member.left):
            self._advance()
        if self._bytes:
            count = min(len(buffer), len(self._bytes))
            buffer[:count], self._bytes = self._bytes[:count], self._bytes[count:]
            return count
        return self._member.readinto(buffer) if self._member is not None else 0

    def _large_member(self) -> _OpenMember | None:
        """The member that is open, or a large one that comes next; None where neither is."""
        if self._bytes or self._failure is not None:
            return None
        if (self._member is None or not self._member.left) and isinstance(self._next, MemberRange):
            if self._next.size < LARGE_BYTES:
                return None
            self._advance()
        return self._member if self._member is not None and self._member.left else None

    def _advance(self) -> None:
        """Leave the run that is done, and begin the next one if there is one."""
        self.close()
        run, self._next = self._next, next(self._runs, None)
        if isinstance(run, MemberRange):
            self._member = _OpenMember(self._members, run)
        elif run is not None:
            self._bytes = memoryview(run)


class _OpenMember:
    """A range of a member's stored bytes that is being read."""

    def __init__(self, members: Members, wanted: MemberRange) -> None:
        self.left = wanted.size
        self._members = members
        self._number = wanted.number
        self._expected = members.crc32_to_check(wanted)
        self._crc32 = 0
        self._stack = ExitStack()
        with members.failures(wanted.number):
            self.reader = self._stack.enter_context(members.opened(wanted))

    def readinto(self, buffer: memoryview) -> int:
        """As a reader does, for what is left of the range."""
        with self._members.failures(self._number):
            count = self._took(self.reader.readinto(buffer[: self.left]))
        if self._expected is not None:
            self._crc32 = zlib.crc32(buffer[:count], self._crc32)
        return count

    def move(self, reader: Moving, fileno: int, offset: int, most: int) -> int:
        """As a moving reader does; nobody sees these bytes, so their CRC-32 cannot be checked."""
        self._expected = None
        with self._members.failures(self._number):
            return self._took(reader.move(fileno, offset, min(most, self.left)))

    def close(self) -> None:
        """Close it; MemberError when it is not what it was."""
        with self._members.failures(self._number):
            self._stack.close()
            if not self.left and self._expected not in (None, self._crc32):
                raise SourceChangedError(f"its CRC-32 is {self._crc32:08x}, not the {self._expected:08x} it had")

    def _took(self, count: int) -> int:
        if not count:
            raise SourceInterruptedError(f"it ended {self.left} bytes too early")
        self.left -= count
        return count
