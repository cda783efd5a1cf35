"""The journal of a file that is collected from parts: which are stored, how large, of which MD5, and where."""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from transfers.engine.local.disk import fdatasync, write_all
from transfers.errors import SinkError

IN_PLACE = 0
_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Slot:
    """What the journal knows of one part: its size and MD5, and where its bytes are."""

    size: int
    md5: bytes
    place: int
    """`IN_PLACE`, or the number in the name of the file beside that has the part."""


@dataclass(slots=True)
class _Known:
    """What was read of a journal so far."""

    inode: int
    offset: int = 0
    slots: dict[int, Slot] = field(default_factory=dict)


class _KnownJournals:
    """The journals that this process last read: with 10,000 parts, reading all of it for each would take minutes."""

    _MAX = 256

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._journals: OrderedDict[str, _Known] = OrderedDict()

    def of(self, path: str, inode: int, size: int) -> _Known:
        """What is known of the journal that has this inode and size now."""
        known = self._journals.pop(path, None)
        if known is None or known.inode != inode or known.offset > size:
            known = _Known(inode)
        self._journals[path] = known
        if len(self._journals) > self._MAX:
            self._journals.popitem(last=False)
        return known

    def forget(self, path: str) -> None:
        """It is about to be removed, and another may get its inode."""
        self._journals.pop(path, None)


_KNOWN = _KnownJournals()


class PartJournal:
    """The stored parts: a record each, added after the bytes are synced; a part's last record counts.

    What stood there is never written over, so a write that is torn loses nothing: its record fails its check.
    """

    _RECORD = struct.Struct("<IQ16sII")  # number, size, MD5, place, check

    def __init__(self, path: Path) -> None:
        self._path = path

    def exists(self) -> bool:
        """Whether there is one."""
        return self._path.exists()

    def is_begun(self) -> bool:
        """Whether a part was ever stored: whoever stored it has made sure of the journal's own name."""
        return self.exists() and self._path.stat().st_size > 0

    @contextmanager
    def held(self, patience_seconds: float | None = None) -> Iterator[int]:
        """Open the journal for ourselves alone, among all threads, processes and hosts.

        SinkError when others have it for longer than we have patience; without any number, that has no end.
        """
        fileno = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if patience_seconds is None:
                fcntl.flock(fileno, fcntl.LOCK_EX)
            else:
                _lock_within(fileno, patience_seconds)
            yield fileno
        finally:
            os.close(fileno)

    def read(self) -> dict[int, Slot]:
        """All stored parts by number, in order."""
        with _KNOWN.lock:
            return dict(sorted(self._known().items()))

    def slot(self, number: int) -> Slot | None:
        """What is stored of one part."""
        with _KNOWN.lock:
            return self._known().get(number)

    def _known(self) -> dict[int, Slot]:
        """What the records tell: only those are read that are new since this process last looked."""
        try:
            fileno = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return {}
        try:
            status = os.fstat(fileno)
            known = _KNOWN.of(str(self._path), status.st_ino, status.st_size)
            new = os.pread(fileno, self._whole(status.st_size) - known.offset, known.offset)
        finally:
            os.close(fileno)
        for number, size, md5, place, check in self._RECORD.iter_unpack(new[: self._whole(len(new))]):
            if check == self._check(number, size, md5, place):
                known.slots[number] = Slot(size, md5, place)
        known.offset += self._whole(len(new))
        return known.slots

    def forget(self) -> None:
        """Know nothing of it any more."""
        with _KNOWN.lock:
            _KNOWN.forget(str(self._path))

    def write(self, fileno: int, number: int, slot: Slot) -> None:
        """Note a part, durably."""
        check = self._check(number, slot.size, slot.md5, slot.place)
        record = self._RECORD.pack(number, slot.size, slot.md5, slot.place, check)
        write_all(fileno, memoryview(record), self._whole(os.fstat(fileno).st_size))
        fdatasync(fileno)

    def _whole(self, size: int) -> int:
        """The size without a last record that was torn."""
        return size // self._RECORD.size * self._RECORD.size

    def _check(self, number: int, size: int, md5: bytes, place: int) -> int:
        return zlib.crc32(struct.pack("<IQ16sI", number, size, md5, place), 1)


def numbers_in(records: bytes) -> set[int]:
    """The numbers of the parts that a piece of a journal tells of; a torn record at its end tells nothing."""
    record = PartJournal._RECORD  # noqa: SLF001 - the format is the class's
    whole = len(records) // record.size * record.size
    return {number for number, *_ in record.iter_unpack(records[:whole])}


def _lock_within(fileno: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fileno, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise SinkError("somebody else is at this upload: ask again") from None
            time.sleep(_LOOK_SECONDS)
        else:
            return
