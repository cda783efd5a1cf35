"""The records around the members of a zip archive, as APPNOTE.TXT 6.3.10 has them.

Sizes and CRC-32 are known before the first byte, so no data descriptors are needed (section 4.4.4, bit 3 is not set).
Zip64 is used where a number does not fit, and nowhere else: some readers know nothing of it.
"""

from __future__ import annotations

import stat
import struct
import time
from typing import Final

from transfers.engine.archive.members import Member

FULL_16: Final = 0xFFFF
FULL_32: Final = 0xFFFFFFFF
"""These stand where the number is in a Zip64 record instead (section 4.4.1.4), so they are no numbers themselves."""

_LOCAL = struct.Struct("<4s5H3I2H")
"""Local file header (section 4.3.7)."""
_ENTRY = struct.Struct("<4s6H3I5H2I")
"""Central directory header (section 4.3.12)."""
_END = struct.Struct("<4s4H2IH")
"""End of central directory record (section 4.3.16)."""
_ZIP64_END = struct.Struct("<4sQ2H2I4Q")
"""Zip64 end of central directory record (section 4.3.14)."""
_ZIP64_LOCATOR = struct.Struct("<4sIQI")
"""Zip64 end of central directory locator (section 4.3.15)."""
_EXTRA = struct.Struct("<2H")
"""The head of an extra field: its kind, and the bytes behind it (section 4.5.1)."""
_ZIP64_KIND = 0x0001
"""Section 4.5.3."""
_TIME_KIND = 0x5455
"""The extended timestamp of Info-ZIP (section 4.6.1 and proginfo/extrafld.txt of Zip): seconds since the epoch."""
_TIME = struct.Struct("<2HBi")
_IS_MODIFIED = 1
"""Of the times that an extended timestamp may have, only that of the last change is told."""

_UTF_8 = 1 << 11
"""The name is UTF-8 (section 4.4.4)."""
_VERSION, _ZIP64_VERSION = 20, 45
"""What a reader must know: 2.0 for deflate, 4.5 for Zip64 (section 4.4.3.2)."""
_MADE_BY = 3 << 8 | _ZIP64_VERSION
"""Unix, whose attributes these are (section 4.4.2)."""
_ATTRIBUTES = (stat.S_IFREG | 0o644) << 16
_FIRST_YEAR = 1980
_FIRST_SECOND, _LAST_SECOND = 315_532_800, 4_354_819_199
"""Between these, the first of 1980 and the last of 2107, are the times that MS-DOS can tell (section 4.4.6)."""


def local_header(member: Member) -> bytes:
    """What stands before the member's stored bytes."""
    name, extra = member.name.encode(), _local_extra(member)
    stored_size, size = (FULL_32, FULL_32) if is_large(member) else (member.stored_size, member.size)
    clock, date = _dos_time(member.seconds)
    head = _LOCAL.pack(
        b"PK\3\4",
        _ZIP64_VERSION if is_large(member) else _VERSION,
        _UTF_8,
        member.method,
        clock,
        date,
        member.crc32,
        stored_size,
        size,
        len(name),
        len(extra),
    )
    return head + name + extra


def local_header_size(member: Member, name_bytes: int) -> int:
    """Bytes of the local header of a member whose name has so many bytes."""
    extra = (_EXTRA.size + 16) * is_large(member)
    return _LOCAL.size + name_bytes + extra + _time_size(member)


def directory_entry(member: Member, offset: int) -> bytes:
    """What the central directory has of a member whose local header is at `offset`."""
    name, zip64 = member.name.encode(), _directory_zip64(member, offset)
    extra = zip64 + _timestamp(member)
    stored_size, size = (FULL_32, FULL_32) if is_large(member) else (member.stored_size, member.size)
    clock, date = _dos_time(member.seconds)
    head = _ENTRY.pack(
        b"PK\1\2",
        _MADE_BY,
        _ZIP64_VERSION if zip64 else _VERSION,
        _UTF_8,
        member.method,
        clock,
        date,
        member.crc32,
        stored_size,
        size,
        len(name),
        len(extra),
        0,  # bytes of comment
        0,  # number of the disk
        0,  # internal attributes
        _ATTRIBUTES,
        min(offset, FULL_32),
    )
    return head + name + extra


def directory_entry_size(member: Member, name_bytes: int, offset: int) -> int:
    """Bytes of the central directory's entry for a member whose name has so many, at `offset`."""
    numbers = 16 * is_large(member) + 8 * (offset >= FULL_32)
    return _ENTRY.size + name_bytes + (_EXTRA.size + numbers if numbers else 0) + _time_size(member)


def end_records(count: int, directory_offset: int, directory_size: int) -> bytes:
    """What follows the central directory of `count` entries, and tells where it is."""
    end = _END.pack(
        b"PK\5\6",
        0,  # number of this disk
        0,  # and of the one with the directory
        min(count, FULL_16),
        min(count, FULL_16),
        min(directory_size, FULL_32),
        min(directory_offset, FULL_32),
        0,  # bytes of comment
    )
    if count < FULL_16 and directory_size < FULL_32 and directory_offset < FULL_32:
        return end
    zip64_end = _ZIP64_END.pack(
        b"PK\6\6",
        _ZIP64_END.size - 12,  # without the signature and this number
        _MADE_BY,
        _ZIP64_VERSION,
        0,
        0,
        count,
        count,
        directory_size,
        directory_offset,
    )
    return zip64_end + _ZIP64_LOCATOR.pack(b"PK\6\7", 0, directory_offset + directory_size, 1) + end


def most_framing_bytes(count: int, names_bytes: int) -> int:
    """What `count` members, whose names have so many bytes together, can need in an archive beside their own bytes."""
    local = _LOCAL.size + (_EXTRA.size + 16) + _TIME.size
    entry = _ENTRY.size + (_EXTRA.size + 24) + _TIME.size
    end = _ZIP64_END.size + _ZIP64_LOCATOR.size + _END.size
    return count * (local + entry) + 2 * names_bytes + end


def is_large(member: Member) -> bool:
    """Whether its sizes need Zip64; if one does, a local header must have both there (section 4.5.3)."""
    return member.size >= FULL_32 or member.stored_size >= FULL_32


def _local_extra(member: Member) -> bytes:
    numbers = struct.pack("<2Q", member.size, member.stored_size) if is_large(member) else b""
    return _zip64(numbers) + _timestamp(member)


def _directory_zip64(member: Member, offset: int) -> bytes:
    numbers = struct.pack("<2Q", member.size, member.stored_size) if is_large(member) else b""
    return _zip64(numbers + (struct.pack("<Q", offset) if offset >= FULL_32 else b""))


def _zip64(numbers: bytes) -> bytes:
    return _EXTRA.pack(_ZIP64_KIND, len(numbers)) + numbers if numbers else b""


def _timestamp(member: Member) -> bytes:
    if not _time_size(member):
        return b""
    return _TIME.pack(_TIME_KIND, _TIME.size - _EXTRA.size, _IS_MODIFIED, member.seconds)


def _time_size(member: Member) -> int:
    """Bytes of the extended timestamp: none beyond 2038, which it cannot tell, and before 1970, where `jar` fails."""
    return _TIME.size if 0 <= member.seconds < 2**31 else 0


def _dos_time(modified: int) -> tuple[int, int]:
    """Time and date as MS-DOS tells them, here in UTC, to two seconds, or the nearest that it can tell."""
    year, month, day, hour, minute, second, *_ = time.gmtime(min(max(modified, _FIRST_SECOND), _LAST_SECOND))
    return hour << 11 | minute << 5 | second // 2, (year - _FIRST_YEAR) << 9 | month << 5 | day
