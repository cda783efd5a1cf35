"""What an archive holds, told before a byte of it is read."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

MAX_NAME_BYTES = 0xFFFF
"""What the two bytes of a name's length can tell (APPNOTE 6.3.10, section 4.4.10)."""
MAX_SIZE = 2**63 - 1
"""Bytes; no file system has files of more."""
MAX_CRC32 = 2**32 - 1
MAX_SECONDS = 2**48
"""Before and after the epoch; what file systems tell beyond is no time at all."""


class Method(enum.IntEnum):
    """How a member's bytes lie in the archive (APPNOTE 6.3.10, section 4.4.5)."""

    STORED = 0
    DEFLATED = 8


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive. ValueError for what no archive can hold."""

    name: str
    """Its path in the archive, unique there and safe: `EntryNames` makes such ones."""
    size: int
    """Bytes of the file."""
    crc32: int
    """Of the file's bytes."""
    modified: float
    """Seconds since the epoch; what is less than a second is not told."""
    method: Method
    stored_size: int
    """Bytes in the archive."""

    def __post_init__(self) -> None:
        length = len(self.name.encode())
        if not 0 < length <= MAX_NAME_BYTES:
            raise ValueError(f"a member's name has 1 to {MAX_NAME_BYTES} bytes, not {length}")
        if not (0 <= self.size <= MAX_SIZE and 0 <= self.stored_size <= MAX_SIZE):
            raise ValueError(f"no member has {self.size} bytes, {self.stored_size} of them stored")
        if self.method is Method.STORED and self.size != self.stored_size:
            raise ValueError(f"a stored member of {self.size} bytes takes as many, not {self.stored_size}")
        if not 0 <= self.crc32 <= MAX_CRC32:
            raise ValueError(f"{self.crc32} is no CRC-32")
        if not -MAX_SECONDS <= self.modified <= MAX_SECONDS:
            raise ValueError(f"{self.modified} seconds after the epoch is no time of a file")

    @property
    def seconds(self) -> int:
        """Whole seconds since the epoch."""
        return math.floor(self.modified)


@dataclass(frozen=True, slots=True)
class MemberRange:
    """A half-open run of a member's stored bytes."""

    number: int
    """Which member, from 0 in the order of the layout."""
    offset: int
    end: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.offset
