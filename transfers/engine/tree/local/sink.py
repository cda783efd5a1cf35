"""Large files on their way into a tree on disk."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from transfers.engine.base import CHUNK_BYTES, Reader, StoredPart
from transfers.engine.local import JOURNAL_SUFFIX, PART_SUFFIX, LocalSink
from transfers.engine.local.disk import sink_errors
from transfers.engine.local.journal import Journal
from transfers.engine.local.names import inode_of
from transfers.engine.plan import Part, Plan
from transfers.engine.tree.base import Checksum, Description, Entry, checksum_of_parts, md5_of
from transfers.engine.tree.local import stamps
from transfers.engine.tree.local.failures import names_to_write, writing
from transfers.engine.tree.local.ground import Ground, beside
from transfers.engine.tree.local.placing import place
from transfers.engine.tree.local.reading import FILE_FLAGS
from transfers.engine.tree.local.renaming import Spot, look
from transfers.engine.tree.local.versions import entry_of, settled
from transfers.engine.tree.names import is_conflict_path
from transfers.errors import ChangedElsewhereError, FolderUnusableError, OutOfSpaceError, SinkError

PUBLISHERS = 4
"""How often a file is tried to be published while others who held it before, and do not know it yet, are at it, too."""
PATIENCE_SECONDS = 0.02
"""What one of them needs for the next of the few system calls of it."""
HASHING_THREADS = 4
"""Parts that are read back at once: MD5 goes at 540 MiB/s a core."""


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A file that an earlier run brought into the tree, and whose journal it did not remove."""

    name: bytes
    """Its own in its folder, or, where the run was cut off, one for what is kept beside it."""
    fileno: int
    journal: Journal

    def close(self) -> None:
        os.close(self.fileno)
        self.journal.close()


class LocalTreeSink:
    """A file that is built in the staging folder, under a name made of its path, and then put where it belongs.

    Its journal stays until `complete`: so whoever begins or joins after a crash finds by the inode in it that the file
    has its name already, or was about to get it.
    """

    def __init__(
        self, ground: Ground, path: str, source_version: str, description: Description, replaced: Entry | None
    ) -> None:
        self._ground = ground
        self._path, self._names = path, names_to_write(path)
        self._generation = settled(source_version)
        self._description = description
        self._replaced = replaced
        self._staged = ground.staging / hashlib.sha256(path.encode()).hexdigest()
        self._sink = LocalSink(self._staged, generation=self._generation, replace=True)
        self._plan = Plan(0, 1)
        self._checksum: Checksum | None = None
        """Of what is stored, when somebody has asked for it."""
        self._arrived: _Arrived | None = None
        self._is_placed = False

    def begin(self, plan: Plan) -> None:
        """Go on with what an earlier run left of this version, wherever it lies by now; otherwise begin anew."""
        with self._told():
            if not self._resume(plan):
                self._sink.begin(plan)
                self._sink.share()

    def join(self, plan: Plan) -> bool:
        """Take part in what another process began; False when there is nothing of this version."""
        with self._told():
            return self._resume(plan) or self._sink.join(plan)

    def stored_parts(self) -> dict[int, StoredPart]:
        """What the journal vouches for."""
        if self._arrived is None:
            return self._sink.stored_parts()
        return {part.number: StoredPart(part.number, self._size_of(part)) for part in self._plan}

    def trust(self, part: Part, md5: Callable[[], str]) -> bool:  # noqa: ARG002 - nobody else's bytes are in the file
        """Whether the part is stored whole; the journal is bound to one version of the source."""
        stored = self.stored_parts().get(part.number)
        return stored is not None and stored.size == part.size

    def write_part(self, part: Part, reader: Reader, start: int = 0) -> StoredPart:
        """Write at the final offset; what came before a failure is kept."""
        with self._told():
            return self._sink.write_part(part, reader, start)

    def checksum(self, part_size: int | None = None) -> Checksum:
        """Read all of it back."""
        size = sum(map(self._size_of, self._plan))
        plan = self._plan if part_size is None else Plan(size, part_size or max(size, 1))
        with self._told(), ThreadPoolExecutor(HASHING_THREADS, thread_name_prefix="checksum") as pool:
            md5s = list(pool.map(lambda part: md5_of(self._chunks(part)), plan))
        checksum = Checksum(md5s[0]) if part_size == 0 else checksum_of_parts(md5s, plan.part_size)
        if plan == self._plan:
            self._checksum = checksum
        return checksum

    def publish(self, size: int) -> Entry:
        """Put the file in its place; durable once the tree is settled, and repeatable until `complete`."""
        with self._told():
            for tries_left in reversed(range(PUBLISHERS)):
                try:
                    self._publish(size)
                    break
                except (SinkError, ChangedElsewhereError):
                    if not tries_left or not self._is_being_placed():
                        raise
                    time.sleep(PATIENCE_SECONDS)
            now_ns = time.time_ns()
            return entry_of(self._path, os.fstat(self._fileno()), now_ns)

    def complete(self, size: int) -> None:
        """Publish the file, and forget how it came."""
        self.publish(size)
        with self._told():
            if self._arrived is None:
                self._sink.complete(size)
            else:
                self._arrived.journal.remove()

    def abort(self) -> None:
        """Remove what is staged."""
        self.close()
        with self._told():
            self._sink.abort()
            self._staged.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of what is open."""
        self._sink.close()
        if self._arrived is not None:
            self._arrived.close()
            self._arrived = None

    # What an earlier run has brought into the tree

    def _resume(self, plan: Plan) -> bool:
        """Have the file that has arrived, or nothing yet."""
        self._take(plan, self._look_for(plan))
        self._checksum = None
        return self._arrived is not None

    def _is_being_placed(self) -> bool:
        """Whether somebody else who has all of the file has come further with it; if it has arrived, we have it so."""
        arrived = self._look_for(self._plan)
        if arrived is not None:
            self._take(self._plan, arrived)
            return True
        status = os.fstat(self._fileno())
        return status.st_nlink > 0 and status.st_ino != inode_of(self._beside_staged(PART_SUFFIX))

    def _take(self, plan: Plan, arrived: _Arrived | None) -> None:
        self.close()
        self._plan, self._arrived, self._is_placed = plan, arrived, False

    def _look_for(self, plan: Plan) -> _Arrived | None:
        journal = Journal(self._beside_staged(JOURNAL_SUFFIX), self._generation, plan)
        inode = journal.open()
        if inode is None:
            return None
        arrived = None
        if inode not in (inode_of(self._staged), inode_of(self._beside_staged(PART_SUFFIX))):
            arrived = self._look_in_tree(inode, plan.size, journal)
        if arrived is None:
            journal.close()
        return arrived

    def _look_in_tree(self, inode: int, size: int | None, journal: Journal) -> _Arrived | None:
        try:
            with self._ground.folders.opened(self._names[:-1]) as folder:
                name = self._name_of(inode, folder)
                if name is None:
                    return None
                fileno = os.open(name, FILE_FLAGS, dir_fd=folder)
        except OSError:
            return None
        # The inode of a file that was removed may be another's by now, but hardly one with the same time and size.
        status = os.fstat(fileno)
        expected = (inode, self._description.mtime_ns, status.st_size if size is None else size)
        if stat.S_ISREG(status.st_mode) and (status.st_ino, status.st_mtime_ns, status.st_size) == expected:
            return _Arrived(name, fileno, journal)
        os.close(fileno)
        return None

    def _name_of(self, inode: int, folder: int) -> bytes | None:
        """The name that this inode has in the open folder: the file's own, or one for what is kept beside it."""
        own = Spot(folder, self._names[-1])
        if _has_inode(own, inode):
            return own.name
        with os.scandir(folder) as found:
            names = [os.fsencode(child.name) for child in found if child.inode() == inode]
        path = self._path.rpartition("/")[2]
        kept = next((name for name in names if is_conflict_path(name.decode(errors="replace"), path)), None)
        if kept is None and _has_inode(own, inode):  # somebody else has just given it its name
            return own.name
        return kept

    # How it gets its place

    def _publish(self, size: int) -> None:
        name = self._names[-1]
        if self._is_placed or (self._arrived is not None and self._arrived.name == name):
            return
        ground = self._ground
        with writing(self._path), ground.target(self._names, make=True) as target, ground.staging_folder() as staging:
            if self._arrived is None:
                self._finish(size, look(target))
                ours = Spot(staging, os.fsencode(self._staged.name))
            else:
                ours = Spot(target.folder, self._arrived.name)
            place(ours, self._fileno(), target, self._replaced, lambda: beside(self._path))
        self._is_placed = True

    def _finish(self, size: int, replaced: os.stat_result | None) -> None:
        """Have all of it safe in the staging folder, with its time and all else that it comes with."""
        self._sink.publish(size)
        checksum = None
        if self._ground.keeps_checksums:
            checksum = self._checksum or self._description.checksum or self.checksum()
        stamps.stamp(self._fileno(), self._description.mtime_ns, checksum)
        stamps.take_over_mode(self._fileno(), replaced)
        os.fsync(self._fileno())

    # The file itself

    def _fileno(self) -> int:
        return self._sink.fileno() if self._arrived is None else self._arrived.fileno

    def _size_of(self, part: Part) -> int:
        return os.fstat(self._fileno()).st_size if part.size is None else part.size

    def _chunks(self, part: Part) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(CHUNK_BYTES))
        position, end = part.offset, part.offset + self._size_of(part)
        while position < end:
            count = os.preadv(self._fileno(), [buffer[: end - position]], position)
            if count == 0:
                raise SinkError(f"somebody cut the file to {position} of its bytes")
            yield buffer[:count]
            position += count

    def _beside_staged(self, suffix: str) -> Path:
        return self._staged.with_name(self._staged.name + suffix)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Speak of the file and not of the staging folder, which is nobody's business."""
        place_of = f"the place of {self._path}"
        with sink_errors(place_of):
            try:
                yield
            except OutOfSpaceError as error:
                raise OutOfSpaceError(f"no space is left in {place_of}") from error
            except FolderUnusableError as error:
                if not isinstance(error.__cause__, OSError):
                    raise
                raise error.__cause__ from None


def _has_inode(spot: Spot, inode: int) -> bool:
    there = look(spot)
    return there is not None and there.st_ino == inode
