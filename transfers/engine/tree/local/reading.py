"""Reading a listed file: as the version that was listed, or not at all."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

from transfers.engine.base import CHUNK_BYTES, Reader, SourceInfo, Validator, ValidatorKind
from transfers.engine.tree.base import Checksum, Content, Entry, checksum_of_parts, md5_of
from transfers.engine.tree.local import stamps
from transfers.engine.tree.local.failures import names_to_read, reading
from transfers.engine.tree.local.folders import Folders
from transfers.engine.tree.local.renaming import Spot
from transfers.engine.tree.local.versions import is_listed, settled, unsettled_ns
from transfers.errors import ChecksumMismatchError, SourceChangedError, SourceInterruptedError

FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""To open what should be a regular file and may be anything."""


@contextmanager
def opened(folders: Folders, entry: Entry) -> Iterator[int]:
    """Open a listed file; SourceChangedError, before or after, when it is not as it was listed."""
    with reading(entry.path):
        names = names_to_read(entry.path)
        with folders.opened(names[:-1]) as folder:
            fileno = os.open(names[-1], FILE_FLAGS, dir_fd=folder)
    try:
        _check(fileno, entry)
        # What was edited just now could be edited once more without a trace: its time has to pass first.
        if wait_ns := unsettled_ns(entry.mtime_ns, time.time_ns()):
            time.sleep(wait_ns / 10**9)
            _check(fileno, entry)
        yield fileno
        _check(fileno, entry)
    finally:
        os.close(fileno)


def read(folders: Folders, entry: Entry, *, keeps_checksums: bool) -> Content:
    """All of a small file; ChecksumMismatchError when it is not what a checksum that is kept with it says."""
    with opened(folders, entry) as fileno, reading(entry.path):
        content = read_all(fileno, entry.size)
        kept = stamps.kept_checksum(fileno) if keeps_checksums else None
    md5 = md5_of([content])
    found = Checksum(md5) if kept is None or not kept.part_size else _checksum_by_parts(content, kept.part_size)
    if kept not in (None, found):
        raise ChecksumMismatchError(f"{entry.path} has the checksum {found} now, it was written with {kept}")
    return Content(content, md5, entry.mtime_ns)


def read_all(fileno: int, size: int) -> bytes:
    """The first so many bytes of an open file, or all when there are fewer."""
    content = os.pread(fileno, size, 0)
    while len(content) < size and (more := os.pread(fileno, size - len(content), len(content))):
        content += more
    return content


def has_same_bytes(spot: Spot, fileno: int) -> bool:
    """Whether what has this name is another file with just the bytes of the open one."""
    try:
        other = os.open(spot.name, FILE_FLAGS, dir_fd=spot.folder)
    except OSError:
        return False
    try:
        before, ours = os.fstat(other), os.fstat(fileno)
        if not stat.S_ISREG(before.st_mode) or before.st_size != ours.st_size:
            return False
        offsets = range(0, ours.st_size, CHUNK_BYTES)
        is_same = all(os.pread(other, CHUNK_BYTES, at) == os.pread(fileno, CHUNK_BYTES, at) for at in offsets)
        return is_same and os.fstat(other).st_mtime_ns == before.st_mtime_ns
    finally:
        os.close(other)


class LocalTreeSource:
    """A listed file to read in parts; whatever it is opened for, it is the version that was listed."""

    def __init__(self, folders: Folders, entry: Entry) -> None:
        self._folders, self._entry = folders, entry

    def stat(self) -> SourceInfo:
        """Size and version as they were listed; SourceChangedError when they are others now."""
        with opened(self._folders, self._entry):
            validator = Validator(ValidatorKind.VERSION, settled(self._entry.version))
            return SourceInfo(size=self._entry.size, validator=validator, ranges=True)

    @contextmanager
    def open(self, offset: int, end: int | None) -> Iterator[Reader]:
        """Open a range."""
        with opened(self._folders, self._entry) as fileno:
            yield _Reader(fileno, offset, self._entry.size if end is None else end)


class _Reader:
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


def _checksum_by_parts(content: bytes, part_size: int) -> Checksum:
    parts = (content[offset : offset + part_size] for offset in range(0, max(len(content), 1), part_size))
    return checksum_of_parts([md5_of([part]) for part in parts], part_size)


def _check(fileno: int, entry: Entry) -> None:
    with reading(entry.path):
        status = os.fstat(fileno)
    if not is_listed(status, entry):
        raise SourceChangedError(f"{entry.path} was changed since it was listed")
