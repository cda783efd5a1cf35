"""Files built on a local or shared file system, which appear there only when they are whole."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from transfers.engine.base import CHUNK_BYTES, Moving, Reader, StoredPart
from transfers.engine.local.checkpoints import Checkpoints
from transfers.engine.local.disk import fdatasync, sink_errors, sync_folder, write_all
from transfers.engine.local.journal import Journal
from transfers.engine.local.names import (
    FRESH_SUFFIX,
    JOURNAL_SUFFIX,
    PART_SUFFIX,
    inode_of,
    link,
    name_of,
    numbered,
    open_own,
    unlink_own,
)
from transfers.engine.plan import Part, Plan
from transfers.errors import IncompleteFileError, Interrupted, Interruption, OutOfSpaceError, SinkError

JOURNALLED_BYTES = 4 * 2**20
"""A file of this size has its journal from the start: once it has filled the disk, there would be no room for one."""


class LocalSink:
    """A file built beside its place as `<name>.part`, which then appears there whole, by one rename.

    `generation` names whose bytes these are: a part file of another one is never gone on with. With `replace` the
    finished file takes the place of one that has its name; otherwise it takes the next free name as browsers do,
    and `path` tells which. Several processes may fill one file: one begins it, the others `join`.
    """

    def __init__(self, path: Path, *, generation: str, replace: bool = False) -> None:
        self.path = self._wanted_path = path
        self._generation = generation
        self._replace = replace
        self._part_path = path.with_name(path.name + PART_SUFFIX)
        self._journal_path = path.with_name(path.name + JOURNAL_SUFFIX)
        self._plan: Plan | None = None
        self._journal: Journal | None = None
        self._fileno: int | None = None
        self._published = False
        self._checkpoints = Checkpoints(self._sync)

    def begin(self, plan: Plan) -> None:
        """Go on with the part file when it is this generation's and plan's; otherwise start an empty one."""
        with sink_errors(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self._attach(plan):
                self._start(plan)
            try:
                self._allocate(plan)
                if (plan.size or 0) >= JOURNALLED_BYTES:
                    self._vouched()
            except (OSError, SinkError):
                if not self.stored_parts():
                    self.abort()
                raise

    def join(self, plan: Plan) -> bool:
        """Take part in what another process began; False when there is nothing of that generation and plan."""
        with sink_errors(self.path.parent):
            return self._attach(plan)

    def share(self) -> None:
        """Make what is begun known to other processes, so that they can join."""
        with sink_errors(self.path.parent):
            self._vouched()

    def fileno(self) -> int:
        """The open part file, also after it got its final name."""
        if self._fileno is None:
            raise SinkError("the file is not open")
        return self._fileno

    def stored_parts(self) -> dict[int, StoredPart]:
        """What the journal vouches for; while there is none, what this process has synced itself."""
        if self._published:
            return self._all_parts()
        if self._journal is not None and self._journal.exists:
            return self._journal.read()
        return {number: StoredPart(number, size) for number, size in self._checkpoints.synced.items()}

    def write_part(self, part: Part, reader: Reader, start: int = 0) -> StoredPart:
        """Write at the final offset; what came before a failure is synced and kept, unless we are fenced."""
        buffer = memoryview(bytearray(min(CHUNK_BYTES, max(part.size or CHUNK_BYTES, 1))))
        mover = reader if isinstance(reader, Moving) else None
        checkpoints = self._checkpoints
        position = start
        try:
            while count := self._take(part, position, reader, mover, buffer):
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

    @property
    def published(self) -> bool:
        """Whether the file has its name: nothing of it is missing."""
        return self._published

    def publish(self, size: int) -> None:
        """Sync, check that every part is whole, and give the file its name.

        The journal stays until `complete`: a sink that begins or joins after a crash finds the file published. So
        who keeps a record of finished files writes it between the two, and never fetches a file twice.
        """
        if self._published:
            return
        with sink_errors(self.path.parent):
            self._check_whole(size)
            self._vouched()
            fdatasync(self.fileno())
            self._give_name()
            sync_folder(self.path.parent)
        self._published = True

    def complete(self, size: int) -> None:
        """Publish the file and clear up behind it; may be repeated after a crash."""
        self.publish(size)
        with sink_errors(self.path.parent):
            if self._fileno is not None:
                unlink_own(self._part_path, os.fstat(self._fileno).st_ino)
            if self._journal is not None:
                self._journal.remove()

    def abort(self) -> None:
        """Remove the part file and its journal."""
        self.close()
        with sink_errors(self.path.parent):
            # The journal first: it must never vouch for an inode that is another file's by now.
            self._journal_path.unlink(missing_ok=True)
            self._journal_path.with_name(self._journal_path.name + FRESH_SUFFIX).unlink(missing_ok=True)
            self._part_path.unlink(missing_ok=True)

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
        self.path, self._published = self._wanted_path, False
        self._plan, self._checkpoints = plan, Checkpoints(self._sync)
        self._journal = Journal(self._journal_path, self._generation, plan)
        inode = self._journal.open()
        if inode is None:
            return False
        named = name_of(inode, self.path)
        self._fileno = open_own(named or self._part_path, inode)
        if self._fileno is None or not self._fits(self._fileno, plan, whole=named is not None):
            self.close()
            return False
        if named is not None:  # a crash came between the naming and the clearing up
            self.path, self._published = named, True
        return True

    def _fits(self, fileno: int, plan: Plan, *, whole: bool) -> bool:
        """Whether the file is as long as it was left: somebody else may have cut it, or have put another there."""
        size = os.fstat(fileno).st_size
        stored = sum(part.size for part in self.stored_parts().values())
        return plan.size in (None, size) and (stored == size if whole else stored <= size)

    def _start(self, plan: Plan) -> None:
        # A new inode, so that a writer that still has the old one open can never mix its bytes into ours.
        self._journal_path.unlink(missing_ok=True)
        self._part_path.unlink(missing_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fileno = os.open(self._part_path, flags, 0o644)
        self._journal = Journal(self._journal_path, self._generation, plan)

    def _allocate(self, plan: Plan) -> None:
        """Give the file its size, which takes no space yet, if all of it fits: a full disk is told at once."""
        if not plan.size or self._published:
            return
        status = os.fstat(self.fileno())
        space = os.fstatvfs(self.fileno())
        if plan.size - status.st_blocks * 512 > space.f_bavail * space.f_frsize:
            raise OutOfSpaceError(f"no space is left in {self.path.parent}")
        if status.st_size != plan.size:
            os.ftruncate(self.fileno(), plan.size)

    # What is stored

    def _take(self, part: Part, position: int, reader: Reader, mover: Moving | None, buffer: memoryview) -> int:
        """Write what comes next at the part's byte `position`; 0 at the reader's end, where it is asked once more."""
        left = sys.maxsize if part.size is None else part.size - position
        if mover is not None and left:
            with sink_errors(self.path.parent):
                return mover.move(self.fileno(), part.offset + position, left)
        if count := reader.readinto(buffer):
            self._write(part, position, buffer[:count])
        return count

    def _write(self, part: Part, position: int, chunk: memoryview) -> None:
        if part.size is not None and position + len(chunk) > part.size:  # the bytes behind it are another part's
            self._checkpoints.wrote(part.number, 0, 0)  # and these may be anybody's: none of them counts
            raise SinkError(f"part {part.number} got more than its {part.size} bytes")
        with sink_errors(self.path.parent):
            write_all(self.fileno(), chunk, part.offset + position)

    def _vouched(self) -> Journal:
        """The journal, made when it is needed for the first time: most small files never need one."""
        if self._journal is None:
            raise SinkError("nothing was begun")
        if not self._journal.exists:
            self._journal.create(os.fstat(self.fileno()).st_ino, self._checkpoints.synced)
        return self._journal

    def _sync(self, sizes: dict[int, int], *, journal: bool) -> None:
        """Make the bytes written so far safe, then vouch for `sizes`, bytes by part number."""
        with sink_errors(self.path.parent):
            fdatasync(self.fileno())
            if journal or (self._journal is not None and self._journal.exists):
                self._vouched().note(sizes)

    def _all_parts(self) -> dict[int, StoredPart]:
        size = os.fstat(self.fileno()).st_size
        return {
            part.number: StoredPart(part.number, size if part.size is None else part.size) for part in self._plan or ()
        }

    def _check_whole(self, size: int) -> None:
        plan = self._plan
        if plan is None or (plan.size is not None and plan.size != size):
            raise IncompleteFileError(f"{size} bytes do not fit the plan")
        stored = self.stored_parts()
        for part in plan:
            have = stored[part.number].size if part.number in stored else 0
            if have != (size if part.size is None else part.size):
                raise IncompleteFileError(f"part {part.number} has {have} bytes instead of {part.size}")
        there = os.fstat(self.fileno()).st_size
        if there < size:
            raise IncompleteFileError(f"somebody cut the file to {there} of its {size} bytes")
        if there > size:  # an earlier run came further before it was cut off, and its last bytes count for nothing
            os.ftruncate(self.fileno(), size)

    # How it appears

    def _give_name(self) -> None:
        inode = os.fstat(self.fileno()).st_ino
        named = name_of(inode, self.path)
        if named is not None:  # by somebody who held the same generation before us
            self.path = named
            return
        if inode_of(self._part_path) != inode:
            raise SinkError(f"{self._part_path.name} was removed or begun anew by somebody else")
        if self._replace:
            self._part_path.replace(self.path)
            return
        self.path = next(path for path in numbered(self.path) if link(self._part_path, path))
        self._part_path.unlink(missing_ok=True)
