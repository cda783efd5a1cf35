"""Files to read on a local or shared file system."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG

from transfers.engine.base import CHUNK_BYTES, Reader, SourceInfo, Validator, ValidatorKind
from transfers.engine.local.disk import write_all
from transfers.engine.local.moving import move_in_kernel
from transfers.errors import (
    SourceChangedError,
    SourceError,
    SourceGoneError,
    SourceInterruptedError,
    SourceRefusedError,
)

_GONE = (errno.ENOENT, errno.ENOTDIR)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO)
"""What no second look makes better; anything else (too many open files, a disk that is away) passes."""


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
            raise _meaning(error)(f"{self._path.name}: {error.strerror}") from error
        try:
            if not S_ISREG(os.fstat(fileno).st_mode):
                raise SourceRefusedError(f"{self._path.name}: not a regular file")
            yield fileno
        finally:
            os.close(fileno)

    def _check(self, fileno: int) -> None:
        if self._validator is not None and _validator(fileno) != self._validator:
            raise SourceChangedError(f"{self._path.name} was changed while it was read")


def _meaning(error: OSError) -> type[SourceError]:
    if error.errno in _GONE:
        return SourceGoneError
    return SourceRefusedError if error.errno in _REFUSED else SourceInterruptedError


def _validator(fileno: int) -> Validator:
    status = os.fstat(fileno)
    return Validator(ValidatorKind.VERSION, f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}")


class _LocalReader:
    def __init__(self, fileno: int, offset: int, end: int) -> None:
        self._fileno, self._position, self._end = fileno, offset, end
        self._buffer = memoryview(b"")

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

    def move(self, fileno: int, offset: int, most: int) -> int:
        """Within the kernel where it can; otherwise, and to learn what a 0 or a failure means, through memory."""
        wanted = min(most, self._end - self._position)
        if wanted <= 0:
            return 0
        if count := move_in_kernel(self._fileno, self._position, fileno, offset, wanted):
            self._position += count
            return count
        if not self._buffer:
            self._buffer = memoryview(bytearray(CHUNK_BYTES))
        chunk = self._buffer[: self.readinto(self._buffer[:most])]
        write_all(fileno, chunk, offset)
        return len(chunk)
