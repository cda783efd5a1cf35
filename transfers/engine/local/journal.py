"""The journal beside an unfinished file: which of its bytes are safe."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from pathlib import Path

from transfers.engine.base import StoredPart
from transfers.engine.local.disk import fdatasync
from transfers.engine.local.names import FRESH_SUFFIX, unlink_own
from transfers.engine.plan import Plan
from transfers.errors import SinkError


class Journal:
    """Which bytes of a part file are safe against power loss: one slot a part, each written by that part's holder.

    The header binds it to one generation of one plan and to the part file's inode, so that bytes of anything else
    are never taken for ours. A slot is written after the bytes it vouches for are synced; a torn one fails its
    check and counts as empty.
    """

    _HEADER = struct.Struct("<8s32sqqQ")  # magic, generation, size or -1, part size, inode of the part file
    _SLOT = struct.Struct("<QI4x")  # bytes stored from the part's start, check
    _MAGIC = b"carryon1"

    def __init__(self, path: Path, generation: str, plan: Plan) -> None:
        self._path = path
        self._plan = plan
        self._generation = hashlib.sha256(generation.encode()).digest()
        self._fileno: int | None = None

    def open(self) -> int | None:
        """Open a journal that is this generation's and plan's, and tell its part file's inode; None without one."""
        try:
            fileno = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            header = os.pread(fileno, self._HEADER.size, 0)
        except OSError:
            header = b""
        if len(header) < self._HEADER.size or header[: len(self._identity())] != self._identity():
            os.close(fileno)
            return None
        self._fileno = fileno
        return int(self._HEADER.unpack(header)[4])

    def create(self, inode: int, sizes: dict[int, int]) -> None:
        """Write a journal that vouches for that many bytes of each part, all at once."""
        fresh = self._path.with_name(self._path.name + FRESH_SUFFIX)
        fileno = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fileno, self._identity() + struct.pack("<Q", inode), 0)
            self._write_slots(fileno, sizes)
            fresh.replace(self._path)
        except OSError:
            os.close(fileno)
            raise
        self._fileno = fileno

    @property
    def exists(self) -> bool:
        """Whether it is open."""
        return self._fileno is not None

    def read(self) -> dict[int, StoredPart]:
        """What every holder has noted so far."""
        if self._fileno is None:
            return {}
        content = os.pread(self._fileno, len(self._plan) * self._SLOT.size, self._HEADER.size)
        slots = self._SLOT.iter_unpack(content[: len(content) // self._SLOT.size * self._SLOT.size])
        return {
            number: StoredPart(number, size)
            for number, (size, check) in enumerate(slots, start=1)
            if size and check == self._check(number, size)
        }

    def note(self, sizes: dict[int, int]) -> None:
        """Vouch for that many bytes of each part; never for fewer than somebody did, who took it over from us."""
        if self._fileno is None:
            raise SinkError("the journal was closed")
        known = self.read()
        grown = {number: size for number, size in sizes.items() if number not in known or size > known[number].size}
        self._write_slots(self._fileno, grown)
        fdatasync(self._fileno)

    def remove(self) -> None:
        """Remove it, unless its name is another journal's by now."""
        if self._fileno is not None:
            unlink_own(self._path, os.fstat(self._fileno).st_ino)

    def close(self) -> None:
        """Close it, if it is open."""
        if self._fileno is not None:
            os.close(self._fileno)
            self._fileno = None

    def _write_slots(self, fileno: int, sizes: dict[int, int]) -> None:
        for number, size in sizes.items():
            slot = self._SLOT.pack(size, self._check(number, size))
            os.pwrite(fileno, slot, self._HEADER.size + (number - 1) * self._SLOT.size)

    def _identity(self) -> bytes:
        size = -1 if self._plan.size is None else self._plan.size
        return self._HEADER.pack(self._MAGIC, self._generation, size, self._plan.part_size, 0)[:-8]

    def _check(self, number: int, size: int) -> int:
        return zlib.crc32(struct.pack("<QQ", number, size), zlib.crc32(self._generation))


def bound_inode(journal: Path) -> int | None:
    """The inode that a journal is bound to; None when it is no journal."""
    header = Journal._HEADER  # noqa: SLF001 - the format is the class's
    with journal.open("rb") as file:
        content = file.read(header.size)
    if len(content) < header.size or not content.startswith(Journal._MAGIC):  # noqa: SLF001
        return None
    return int(header.unpack(content)[4])


def rebind(journal: Path, part_file: Path) -> None:
    """Bind the copy of a journal to the copy of its part file: what it vouches for is in there, as before.

    The journal must have been copied first: a part file only gains what its journal does not vouch for yet.
    """
    offset = Journal._HEADER.size - 8  # noqa: SLF001
    with journal.open("r+b") as file:
        file.seek(offset)
        file.write(struct.pack("<Q", part_file.stat().st_ino))
