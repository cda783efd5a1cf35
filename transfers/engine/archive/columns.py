"""The members of a layout, kept small: an archive may have a hundred thousand."""

from __future__ import annotations

import hashlib
import struct
from array import array

from transfers.engine.archive.headers import directory_entry_size, local_header_size
from transfers.engine.archive.members import Member, Method

FORMAT = b"carryon zip 1"
"""Another one whenever the same members would give other bytes: an archive that is half built is then begun anew."""
_FIXED = struct.Struct("<QQIqBI")
"""What a member's bytes depend on besides its name, and how long that is."""


class Columns:
    """What is known of each member, one array a property: 53 bytes a member beside its name."""

    def __init__(self) -> None:
        self.sizes = array("Q")
        self.stored_sizes = array("Q")
        self.crc32s = array("I")
        self.seconds = array("q")
        self.methods = array("B")
        self.names = bytearray()
        self.name_offsets = array("Q", [0])
        self.offsets = array("Q", [0])
        """Of the local headers in the archive, and of what follows the last member."""
        self.entry_offsets = array("Q", [0])
        """Of the entries in the central directory, and of what follows the last one."""
        self._digest = hashlib.sha256(FORMAT)

    def __len__(self) -> int:
        return len(self.sizes)

    def add(self, member: Member) -> None:
        """Put the member behind all others."""
        name, offset = member.name.encode(), self.offsets[-1]
        self._note(member, name)
        self.offsets.append(offset + local_header_size(member, len(name)) + member.stored_size)
        self.entry_offsets.append(self.entry_offsets[-1] + directory_entry_size(member, len(name), offset))

    def member(self, number: int) -> Member:
        """The member with this number, from 0."""
        return Member(
            name=self.names[self.name_offsets[number] : self.name_offsets[number + 1]].decode(),
            size=self.sizes[number],
            crc32=self.crc32s[number],
            modified=self.seconds[number],
            method=Method(self.methods[number]),
            stored_size=self.stored_sizes[number],
        )

    def digest(self) -> str:
        """A hash over all members, as hex."""
        return self._digest.hexdigest()

    def _note(self, member: Member, name: bytes) -> None:
        self.sizes.append(member.size)
        self.stored_sizes.append(member.stored_size)
        self.crc32s.append(member.crc32)
        self.seconds.append(member.seconds)
        self.methods.append(member.method)
        self.names += name
        self.name_offsets.append(len(self.names))
        numbers = (member.size, member.stored_size, member.crc32, member.seconds, member.method, len(name))
        self._digest.update(_FIXED.pack(*numbers) + name)
