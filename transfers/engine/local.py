"""Ends on a local or shared file system: files to read, and files that appear only when they are whole."""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG

from transfers.engine.base import CHUNK_BYTES, Reader, SourceInfo, StoredPart, Validator, ValidatorKind
from transfers.engine.plan import Part, Plan
from transfers.errors import (
    FolderUnusableError,
    Interrupted,
    Interruption,
    OutOfSpaceError,
    SinkError,
    SourceChangedError,
    SourceInterruptedError,
    SourceRefusedError,
)

CHECKPOINT_BYTES = 32 * 2**20
"""Unsynced bytes at which a checkpoint begins; twice as many wait for it, so a kill never costs more than 64 MiB."""
CHECKPOINT_SECONDS = 4.0
PART_SUFFIX = ".part"
JOURNAL_SUFFIX = ".part.journal"
_FRESH_SUFFIX = ".new"
MAX_NAME_BYTES = 255 - len(JOURNAL_SUFFIX) - len(_FRESH_SUFFIX)
"""Bytes a file's name may have so that its journal's name still fits a file system (NAME_MAX is 255)."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def _sink_errors(folder: Path) -> Iterator[None]:
    """Tell an OSError as what it means for a transfer."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise OutOfSpaceError(f"no space is left in {folder}") from error
        raise FolderUnusableError(f"{folder}: {error.strerror or error}") from error


class LocalSource:
    """A file to read; it counts as changed when its size, its time or the file itself is another."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._validator: Validator | None = None

    def stat(self) -> SourceInfo:
        """Size, and inode, size and mtime as validator; SourceRefusedError for what is no regular file."""
        with self._opened() as fileno:
            self._validator = _validator(fileno)
            return SourceInfo(size=os.fstat(fileno).st_size, validator=self._validator, ranges=True)

    @contextmanager
    def open(self, offset: int, end: int | None) -> Iterator[Reader]:
        """Open a range; SourceChangedError when the file is not the one that `stat` saw."""
        with self._opened() as fileno:
            self._check(fileno)
            yield _LocalReader(fileno, offset, os.fstat(fileno).st_size if end is None else end)
            self._check(fileno)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            fileno = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise SourceRefusedError(f"{self._path.name}: {error.strerror}") from error
        try:
            if not S_ISREG(os.fstat(fileno).st_mode):
                raise SourceRefusedError(f"{self._path.name}: not a regular file")
            yield fileno
        finally:
            os.close(fileno)

    def _check(self, fileno: int) -> None:
        if self._validator is not None and _validator(fileno) != self._validator:
            raise SourceChangedError(f"{self._path.name} was changed while it was read")


def _validator(fileno: int) -> Validator:
    status = os.fstat(fileno)
    return Validator(ValidatorKind.VERSION, f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}")


class _LocalReader:
    def __init__(self, fileno: int, offset: int, end: int) -> None:
        self._fileno, self._position, self._end = fileno, offset, end

    def readinto(self, buffer: memoryview) -> int:
        wanted = min(len(buffer), self._end - self._position)
        if wanted <= 0:
            return 0
        try:
            count = os.preadv(self._fileno, [buffer[:wanted]], self._position)
        except OSError as error:
            raise SourceInterruptedError(f"reading failed: {error.strerror}") from error
        if count == 0:
            raise SourceInterruptedError(f"the file ends at {self._position}, {self._end} bytes were expected")
        self._position += count
        return count


class _Journal:
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
        header = os.pread(fileno, self._HEADER.size, 0)
        if len(header) < self._HEADER.size or header[: len(self._identity())] != self._identity():
            os.close(fileno)
            return None
        self._fileno = fileno
        return int(self._HEADER.unpack(header)[4])

    def create(self, inode: int) -> None:
        """Write an empty journal, all at once."""
        fresh = self._path.with_name(self._path.name + _FRESH_SUFFIX)
        self._fileno = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        os.pwrite(self._fileno, self._identity() + struct.pack("<Q", inode), 0)
        fresh.replace(self._path)

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
        """Vouch for that many bytes of each part."""
        if self._fileno is None:
            raise SinkError("the journal was closed")
        for number, size in sizes.items():
            slot = self._SLOT.pack(size, self._check(number, size))
            os.pwrite(self._fileno, slot, self._HEADER.size + (number - 1) * self._SLOT.size)
        _fdatasync(self._fileno)

    def close(self) -> None:
        """Close it, if it is open."""
        if self._fileno is not None:
            os.close(self._fileno)
            self._fileno = None

    def _identity(self) -> bytes:
        size = -1 if self._plan.size is None else self._plan.size
        return self._HEADER.pack(self._MAGIC, self._generation, size, self._plan.part_size, 0)[:-8]

    def _check(self, number: int, size: int) -> int:
        return zlib.crc32(struct.pack("<QQ", number, size), zlib.crc32(self._generation))


class LocalSink:
    """A file built beside its place as `<name>.part`, which then appears there whole, by one rename.

    `generation` names whose bytes these are: a part file of another one is never gone on with. With `replace` the
    finished file takes the place of one that has its name; otherwise it takes the next free name as browsers do,
    and `path` tells which. Several processes may fill one file: one begins it, the others `join`.
    """

    def __init__(self, path: Path, *, generation: str, replace: bool = False) -> None:
        self.path = path
        self._generation = generation
        self._replace = replace
        self._part_path = path.with_name(path.name + PART_SUFFIX)
        self._journal_path = path.with_name(path.name + JOURNAL_SUFFIX)
        self._plan: Plan | None = None
        self._journal: _Journal | None = None
        self._fileno: int | None = None
        self._published = False
        self._checkpoints = _Checkpoints(self)

    def begin(self, plan: Plan) -> None:
        """Go on with the part file when it is this generation's and plan's; otherwise start an empty one."""
        with _sink_errors(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self._attach(plan):
                self._start(plan)
            self._allocate(plan)

    def join(self, plan: Plan) -> bool:
        """Take part in what another process began; False when there is nothing of that generation and plan."""
        with _sink_errors(self.path.parent):
            return self._attach(plan)

    def share(self) -> None:
        """Make what is begun known to other processes, so that they can join."""
        with _sink_errors(self.path.parent):
            self._vouched()

    def fileno(self) -> int:
        """The open part file, also after it got its final name."""
        if self._fileno is None:
            raise SinkError("the file is not open")
        return self._fileno

    def stored_parts(self) -> dict[int, StoredPart]:
        """What the journal vouches for, and what this process has synced itself."""
        journal = self._journal
        return journal.read() if journal is not None and not self._published else self._all_parts()

    def write_part(self, part: Part, reader: Reader, start: int = 0) -> StoredPart:
        """Write at the final offset; what came before a failure is synced and kept, unless we are fenced."""
        buffer = memoryview(bytearray(min(CHUNK_BYTES, max(part.size or CHUNK_BYTES, 1))))
        checkpoints = self._checkpoints
        position = start
        try:
            while count := reader.readinto(buffer):
                with _sink_errors(self.path.parent):
                    _write_all(self.fileno(), buffer[:count], part.offset + position)
                position += count
                checkpoints.wrote(part.number, position, count)
        except Interrupted as interrupted:
            if interrupted.reason is not Interruption.FENCED:
                checkpoints.settle()
            raise
        except BaseException:
            with suppress(SinkError):  # the first failure is the one to tell
                checkpoints.settle()
            raise
        if part.size is not None and position != part.size:
            raise SinkError(f"part {part.number} has {position} bytes instead of {part.size}")
        checkpoints.settle(journal=len(self._plan or ()) > 1)
        return StoredPart(part.number, position)

    def complete(self, size: int) -> None:
        """Sync, check that every part is whole, and give the file its name; may be repeated after a crash."""
        if self._published:
            self._clear()
            return
        with _sink_errors(self.path.parent):
            self._check_whole(size)
            self._vouched()
            _fdatasync(self.fileno())
            self._publish()
            _sync_folder(self.path.parent)
        self._published = True
        self._clear()

    def abort(self) -> None:
        """Remove the part file and its journal."""
        self.close()
        with _sink_errors(self.path.parent):
            self._part_path.unlink(missing_ok=True)
            self._journal_path.unlink(missing_ok=True)
            self._journal_path.with_name(self._journal_path.name + _FRESH_SUFFIX).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the files, which stay as they are; fine at any time."""
        self._checkpoints.close()
        if self._journal is not None:
            self._journal.close()
        if self._fileno is not None:
            os.close(self._fileno)
            self._fileno = None

    # How it begins

    def _attach(self, plan: Plan) -> bool:
        self.close()
        self._plan, self._checkpoints = plan, _Checkpoints(self)
        self._journal = _Journal(self._journal_path, self._generation, plan)
        inode = self._journal.open()
        if inode is None:
            return False
        for path in (self._part_path, self.path):
            with suppress(FileNotFoundError):
                fileno = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                if os.fstat(fileno).st_ino == inode:
                    self._fileno = fileno
                    self._published = path == self.path  # a crash came between the rename and the clearing up
                    return True
                os.close(fileno)
        self._journal.close()
        return False

    def _start(self, plan: Plan) -> None:
        # A new inode, so that a writer that still has the old one open can never mix its bytes into ours.
        self._journal_path.unlink(missing_ok=True)
        self._part_path.unlink(missing_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fileno = os.open(self._part_path, flags, 0o644)
        self._journal = _Journal(self._journal_path, self._generation, plan)

    def _allocate(self, plan: Plan) -> None:
        """Claim the space before the first byte is fetched, so that a full disk is told at once."""
        if not plan.size or self._published or os.fstat(self.fileno()).st_size == plan.size:
            return
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self.fileno(), 0, plan.size)
            else:
                os.ftruncate(self.fileno(), plan.size)
        except OSError as error:
            if error.errno in _FULL and not self.stored_parts():
                self.abort()
            raise

    # What is stored

    def _vouched(self) -> _Journal:
        """The journal, made when it is needed for the first time: most small files never need one."""
        if self._journal is None:
            raise SinkError("nothing was begun")
        if not self._journal.exists:
            self._journal.create(os.fstat(self.fileno()).st_ino)
        return self._journal

    def sync(self, sizes: dict[int, int], *, journal: bool = True) -> None:
        """Make the bytes written so far safe, then vouch for `sizes`, bytes by part number."""
        with _sink_errors(self.path.parent):
            _fdatasync(self.fileno())
            if journal or (self._journal is not None and self._journal.exists):
                self._vouched().note(sizes)

    def _all_parts(self) -> dict[int, StoredPart]:
        return {part.number: StoredPart(part.number, part.size or 0) for part in self._plan or ()}

    def _check_whole(self, size: int) -> None:
        plan = self._plan
        if plan is None or (plan.size is not None and plan.size != size):
            raise SinkError(f"{size} bytes do not fit the plan")
        have_by_number = {number: part.size for number, part in self.stored_parts().items()}
        have_by_number.update(self._checkpoints.written)
        for part in plan:
            have = have_by_number.get(part.number, 0)
            if have != (size if part.size is None else part.size):
                raise SinkError(f"part {part.number} has {have} bytes instead of {part.size}")

    # How it appears

    def _publish(self) -> None:
        if self._replace:
            self._part_path.replace(self.path)
            return
        for path in numbered(self.path):
            try:
                os.link(self._part_path, path)  # unlike a rename it never takes the place of another file
            except FileExistsError:
                continue
            self.path = path
            break
        self._part_path.unlink()

    def _clear(self) -> None:
        with _sink_errors(self.path.parent):
            self._part_path.unlink(missing_ok=True)
            self._journal_path.unlink(missing_ok=True)


class _Checkpoints:
    """Makes what several connections write safe, in a thread of its own, every so many bytes or seconds.

    A connection that gets ahead of the disk by twice a checkpoint waits for it.
    """

    def __init__(self, sink: LocalSink) -> None:
        self._sink = sink
        self.written: dict[int, int] = {}
        self._unsynced = 0
        self._changed = threading.Condition()
        self._syncing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._failure: SinkError | None = None
        self._last = time.monotonic()

    def wrote(self, number: int, position: int, count: int) -> None:
        """Note that a part's bytes up to `position` are written, `count` of them just now."""
        with self._changed:
            self.written[number] = position
            self._unsynced += count
            if not self._due():
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._unsynced < 2 * CHECKPOINT_BYTES or self._failure or self._closed)
            if self._failure:
                raise self._failure

    def settle(self, *, journal: bool = True) -> None:
        """Make everything written so far safe before returning."""
        with self._syncing:
            with self._changed:
                sizes, unsynced = dict(self.written), self._unsynced
            if unsynced:
                self._sink.sync(sizes, journal=journal)
            with self._changed:
                self._unsynced -= unsynced
                self._last = time.monotonic()
                self._changed.notify_all()

    def close(self) -> None:
        """End the thread; nothing more is made safe."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _due(self) -> bool:
        if self._unsynced == 0:
            return False
        return self._unsynced >= CHECKPOINT_BYTES or time.monotonic() - self._last >= CHECKPOINT_SECONDS

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._due(), timeout=CHECKPOINT_SECONDS / 4)
                if self._closed:
                    return
                if not self._due():
                    continue
            try:
                self.settle()
            except SinkError as error:
                with self._changed:
                    self._failure = error
                    self._changed.notify_all()
                return


def numbered(path: Path) -> Iterator[Path]:
    """The path, then `name (1).ext`, `name (2).ext` … as browsers do."""
    yield path
    number = 0
    while True:
        number += 1
        yield path.with_name(f"{path.stem} ({number}){path.suffix}")


def _write_all(fileno: int, chunk: memoryview, offset: int) -> None:
    while chunk:
        count = os.pwrite(fileno, chunk, offset)
        chunk, offset = chunk[count:], offset + count


def _fdatasync(fileno: int) -> None:
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(fileno)


def _sync_folder(folder: Path) -> None:
    fileno = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fileno)
    finally:
        os.close(fileno)
