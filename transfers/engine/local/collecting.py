"""Files built on disk from parts that come from outside, in any order, of any size, and more than once."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from transfers.engine.base import CHUNK_BYTES, Collected, Reader, StoredPart, promised_md5
from transfers.engine.local.disk import fdatasync, sink_errors, sync_folder, write_all
from transfers.engine.local.moving import move_in_kernel
from transfers.engine.local.names import inode_of, link, name_of, numbered
from transfers.engine.local.part_journal import IN_PLACE, PartJournal, Slot
from transfers.engine.local.pouring import BlockWriter, streaming
from transfers.engine.plan import MAX_PARTS
from transfers.errors import OutOfSpaceError, PartChecksumError, PartsDifferError, SinkError, UploadEndedError

PATIENCE_SECONDS = 5.0
"""How long whoever completes waits for another who does: a worker has other things to do."""
_PLACE = "the storage of uploads"
_COMPLETE = "the file is complete: no part of it is taken any more"
_GONE = "Nothing is stored of it any more."
MAX_TAIL_BYTES = 2
"""How many bytes a part may have more than expected: a form may lack its last line break, and then the file in it."""


@dataclass(frozen=True, slots=True)
class _Incoming:
    """A part on its way: its bytes, and the MD5 that came with them, if one did."""

    reader: Reader
    md5: str

    def pour(self, fileno: int, offset: int, room: int | None) -> tuple[Slot, bytes]:
        """Write all of it at the offset, where there is room for so many bytes; what its size and MD5 turned out to be.

        A few bytes more than there is room for are handed back; SinkError for more than a few.
        """
        writer, written, tail = BlockWriter(fileno, offset), 0, b""
        with streaming(self.reader) as stream:
            for chunk in stream:
                fitting = len(chunk) if room is None else min(len(chunk), room - written)
                tail += bytes(chunk[fitting:])
                if len(tail) > MAX_TAIL_BYTES:
                    raise SinkError(f"the part has more than {room} bytes, and less were expected")
                writer.write(chunk[:fitting])
                written += fitting
            md5 = stream.md5()
        if (told := self.md5 or promised_md5(self.reader)) and told != md5.hex():
            raise PartChecksumError(f"The part has the MD5 {md5.hex()}, not the {told} that was told.")
        return Slot(written + len(tail), md5, IN_PLACE), tail


class LocalCollection:
    """A folder in which a file is collected part by part; a part is stored whole or not at all.

    Each part has its place in the one data file, `stride` bytes a part, and streams there directly. Only one writer
    may write there, and only while nothing is stored there: it holds the part's lock, which the kernel gives back
    when the writer dies, and which no writer that is merely slow or paused loses. Everybody else (a second sender of
    the part, one that replaces a stored part, a part that is larger than the stride) writes to a file of its own
    beside, which then takes the part's place as soon as nobody else holds it. So completing moves no byte
    unless parts were of odd sizes.
    """

    def __init__(self, folder: Path, stride: int, path: Path) -> None:
        self._folder = folder
        self._stride = stride
        self._path = path
        self._data_path = folder / "data"
        self._whole_path = folder / "whole"
        self._journal = PartJournal(folder / "journal")

    def begin(self, size: int | None) -> str:
        """Make the folder; OutOfSpaceError when its file system has not `size` bytes left. It needs no name.

        The space is not claimed: a number in a request must not be able to fill the disk.
        """
        with sink_errors(_PLACE):
            if not self._journal.is_begun():
                self._folder.mkdir(parents=True, exist_ok=True)
                with self._journal.held():
                    self._data_path.touch(mode=0o644)
                for folder in (self._folder, self._folder.parent, self._folder.parent.parent):
                    sync_folder(folder)
            left = os.statvfs(self._folder)
        if size and size > left.f_bavail * left.f_frsize:
            raise OutOfSpaceError(f"{size} bytes are more than the storage has left")
        return ""

    def stored_parts(self) -> dict[int, StoredPart]:
        """What is stored, by part number; the etag is the MD5 as hex."""
        with sink_errors(_PLACE):
            slots = self._journal.read()
        return {number: StoredPart(number, slot.size, slot.md5.hex()) for number, slot in slots.items()}

    def write_part(self, number: int, reader: Reader, size: int | None, md5: str = "") -> StoredPart:
        """Store the reader's bytes as this part, synced, in the place of what it was before.

        `size` is how many bytes to expect; with it they stream to their final place. A reader that fails, or
        bytes of another MD5 than `md5` as hex (PartChecksumError), leave the part as it was.
        """
        if not 1 <= number <= MAX_PARTS:
            raise ValueError(f"part {number} is not among 1 to {MAX_PARTS}")
        with sink_errors(_PLACE), ExitStack() as closing:
            locked = closing.enter_context(self._lock(number))
            fits = size is not None and size <= self._stride
            part = _Incoming(reader, md5)
            if locked and fits and self._journal.slot(number) is None:
                stored = self._write_in_place(number, part)
            else:
                stored = self._write_beside(number, part, may_move=locked)
        return StoredPart(number, stored.size, stored.md5.hex())

    def complete(self, expected: Mapping[int, str]) -> Collected:
        """Give the whole file its name, or the next free one, durably, and tell which; may be repeated after a crash.

        `expected` is the MD5 of every part as hex, by number: PartsDifferError, which names them, when other parts than
        these are stored. From then on no part is taken any more. The folder stays until `abort` removes it.
        """
        path = self._path
        if not self._journal.exists():
            raise UploadEndedError(_GONE)
        with sink_errors(_PLACE), self._journal.held(PATIENCE_SECONDS) as journal:
            stored = {number: slot.md5.hex() for number, slot in self._journal.read().items()}
            if differing := PartsDifferError.between(expected, stored):
                raise differing
            if not self._whole_path.exists():
                self._lay_out(journal)
            path.parent.mkdir(parents=True, exist_ok=True)
            status = self._whole_path.stat()
            named = name_of(status.st_ino, path) if status.st_nlink > 1 else None
            if named is None:
                named = next(candidate for candidate in numbered(path) if link(self._whole_path, candidate))
            sync_folder(path.parent)
            return Collected(str(named), status.st_size, status.st_mtime_ns)

    def abort(self) -> None:
        """Remove the folder with all that is in it; a file that got its name keeps it."""
        with sink_errors(_PLACE), suppress(FileNotFoundError):
            self._journal.forget()
            for entry in self._folder.iterdir():
                entry.unlink(missing_ok=True)
            self._folder.rmdir()

    # Where a part is written

    @contextmanager
    def _lock(self, number: int) -> Iterator[bool]:
        """The right to write in a part's place, for as long as the block runs; False when another has it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fileno = os.open(self._folder / f"{number}.lock", flags, 0o600)
        try:
            try:
                fcntl.flock(fileno, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(fileno)

    def _write_in_place(self, number: int, part: _Incoming) -> Slot:
        stored, tail = self._write(self._data_path, (number - 1) * self._stride, part, self._stride)
        if tail:  # a little more than was expected: the place is too small for it
            stored = Slot(stored.size, stored.md5, _new_place())
            with self._kept_if_noted(number, stored) as path:
                _copy_into(self._data_path, path, 0, (number - 1) * self._stride, self._stride)
                _append(path, tail)
                sync_folder(self._folder)
                self._note_alone(number, stored)
        else:
            self._note_alone(number, stored)
        return stored

    def _write(self, path: Path, offset: int, part: _Incoming, room: int | None) -> tuple[Slot, bytes]:
        creating = 0 if path == self._data_path else os.O_CREAT
        fileno = os.open(path, os.O_WRONLY | creating | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fileno, fcntl.LOCK_SH)  # whoever completes sees that somebody writes here
            if inode_of(path) != os.fstat(fileno).st_ino:  # it became the file while we waited
                raise SinkError(_COMPLETE)
            stored, tail = part.pour(fileno, offset, room)
            fdatasync(fileno)
        finally:
            os.close(fileno)
        return stored, tail

    def _write_beside(self, number: int, part: _Incoming, *, may_move: bool) -> Slot:
        place = _new_place()
        with self._kept_if_noted(number, Slot(0, b"", place)) as path:
            written, _ = self._write(path, 0, part, None)
            sync_folder(self._folder)
            stored = self._note_alone(number, Slot(written.size, written.md5, place))
        if may_move and stored.place == place and stored.size <= self._stride:
            with suppress(OSError):  # it is stored where it is, too
                self._move_in(number, stored)
        return stored

    @contextmanager
    def _kept_if_noted(self, number: int, slot: Slot) -> Iterator[Path]:
        """The file beside for the slot, which goes again unless the journal knows of it in the end."""
        path = self._beside(number, slot.place)
        try:
            yield path
        finally:
            known = self._journal.slot(number)
            if known is None or known.place != slot.place:
                path.unlink(missing_ok=True)

    def _note_alone(self, number: int, slot: Slot) -> Slot:
        """Let the part be this from now on, unless it is the same already; what it is now."""
        with self._journal.held() as journal:
            before = self._journal.slot(number)
            if before is not None and (before.size, before.md5) == (slot.size, slot.md5):
                return before
            self._note(journal, number, slot)
        return slot

    def _move_in(self, number: int, slot: Slot) -> None:
        """Bring a part from beside to its place, which we hold the lock of, unless it is another, or whole, by then."""
        self._copy_in(number, slot)
        with self._journal.held() as journal:
            if self._journal.slot(number) == slot and not self._whole_path.exists():
                self._note(journal, number, Slot(slot.size, slot.md5, IN_PLACE))

    def _note(self, journal: int, number: int, slot: Slot) -> None:
        """Let the part be this from now on; what it was before is forgotten."""
        if self._whole_path.exists():
            raise SinkError(_COMPLETE)
        before = self._journal.slot(number)
        self._journal.write(journal, number, slot)
        if before is not None and before.place != IN_PLACE:
            self._beside(number, before.place).unlink(missing_ok=True)

    def _copy_in(self, number: int, slot: Slot) -> None:
        """Copy a part from beside to its place, which we hold the lock of."""
        _copy_into(self._beside(number, slot.place), self._data_path, (number - 1) * self._stride)

    def _beside(self, number: int, place: int) -> Path:
        return self._folder / f"{number}.{place:08x}"

    # How the parts become the file

    def _lay_out(self, journal: int) -> None:
        """Bring every part to where the file has it: for parts of one size, each at once, they are there already."""
        for number, slot in self._journal.read().items():
            if slot.place != IN_PLACE and slot.size <= self._stride:
                with self._lock(number) as locked:
                    if locked:
                        self._copy_in(number, slot)
                        self._note(journal, number, Slot(slot.size, slot.md5, IN_PLACE))
        slots = self._journal.read()
        if not slots:  # somebody else has completed it meanwhile, and removed the rest
            raise UploadEndedError(_GONE)
        last = max(slots)
        aligned = all(slot.size == self._stride or number == last for number, slot in slots.items())
        if not (aligned and all(slot.place == IN_PLACE for slot in slots.values()) and self._cut(slots)):
            self._assemble(slots)

    def _cut(self, slots: Mapping[int, Slot]) -> bool:
        """Cut the data file to its size and call it whole; False while somebody writes in it."""
        fileno = os.open(self._data_path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fileno, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(fileno, sum(slot.size for slot in slots.values()))
            os.fsync(fileno)
            self._data_path.rename(self._whole_path)
        except BlockingIOError:
            return False
        finally:
            os.close(fileno)
        return True

    def _assemble(self, slots: Mapping[int, Slot]) -> None:
        """Put the parts together in a new file, which no late writer has open, by moving ranges in the kernel."""
        fresh = self._folder / "whole.new"
        fresh.unlink(missing_ok=True)
        offset = 0
        for number, slot in slots.items():
            if slot.place == IN_PLACE:
                _copy_into(self._data_path, fresh, offset, (number - 1) * self._stride, slot.size)
            else:
                _copy_into(self._beside(number, slot.place), fresh, offset)
            offset += slot.size
        fresh.replace(self._whole_path)


def _new_place() -> int:
    return secrets.randbelow(2**32 - 1) + 1


def _append(path: Path, tail: bytes) -> None:
    with path.open("ab") as file:
        file.write(tail)
        file.flush()
        fdatasync(file.fileno())


def _copy_into(source: Path, target: Path, offset: int, start: int = 0, size: int | None = None) -> None:
    """Copy `size` bytes (None: all) of the source from `start` into the target at the offset, and sync them."""
    with ExitStack() as closing:
        reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        closing.callback(os.close, reading)
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        closing.callback(os.close, writing)
        left = os.fstat(reading).st_size - start if size is None else size
        while left:
            count = _copy_range(reading, writing, left, start, offset)
            if count == 0:
                raise SinkError(f"{source.name} is shorter than it was")
            start, offset, left = start + count, offset + count, left - count
        fdatasync(writing)


def _copy_range(reading: int, writing: int, count: int, start: int, offset: int) -> int:
    if (moved := move_in_kernel(reading, start, writing, offset, count)) is not None:
        return moved
    chunk = os.pread(reading, min(count, CHUNK_BYTES), start)
    write_all(writing, memoryview(chunk), offset)
    return len(chunk)
