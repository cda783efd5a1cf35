"""How bytes that come from outside stream into a file: read, written and hashed at the same time."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from typing import Protocol

from transfers.engine.base import Reader
from transfers.engine.local.disk import write_all

SMALL_BYTES = 2**18
"""The one buffer of a stream beside many others; hundreds of senders may be at it."""
LARGE_BYTES = 2**19
"""Each of the two buffers of a stream that is hashed beside; larger ones are no faster."""
BLOCK_BYTES = 4096
"""What whole blocks are, for every disk there is."""
_MAX_BESIDE = 8
_O_DIRECT = getattr(os, "O_DIRECT", 0)
"""Past the page cache, which saves a copy of every byte, and the wait for all of them when the part is synced."""

_places_beside = threading.BoundedSemaphore(_MAX_BESIDE)


class _Digest(Protocol):
    def update(self, chunk: memoryview, /) -> None: ...

    def digest(self) -> bytes: ...


class _Beside:
    """An MD5 that a thread of its own computes, a chunk behind: MD5 takes as long as all the rest together."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread = thread
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._update: Future[None] | None = None

    def update(self, chunk: memoryview) -> None:
        """Take the chunk, which must stay as it is until the next call has returned."""
        self._wait()
        self._update = self._thread.submit(self._md5.update, chunk)

    def digest(self) -> bytes:
        """Of all chunks."""
        self._wait()
        return self._md5.digest()

    def _wait(self) -> None:
        if self._update is not None:
            self._update.result()


class Stream:
    """A reader's bytes, a buffer at a time, with the MD5 of all that were read."""

    def __init__(self, reader: Reader, buffers: list[memoryview], md5: _Digest) -> None:
        self._reader = reader
        self._buffers = buffers
        self._md5 = md5

    def __iter__(self) -> Iterator[memoryview]:
        """Each chunk is valid until the next one is asked for; all but the last fill their buffer."""
        for buffer in cycle(self._buffers):
            chunk = buffer[: self._fill(buffer)]
            if chunk:
                self._md5.update(chunk)
                yield chunk
            if len(chunk) < len(buffer):
                return

    def md5(self) -> bytes:
        """Of all bytes so far."""
        return self._md5.digest()

    def _fill(self, buffer: memoryview) -> int:
        filled = 0
        while filled < len(buffer) and (count := self._reader.readinto(buffer[filled:])):
            filled += count
        return filled


@contextmanager
def streaming(reader: Reader) -> Iterator[Stream]:
    """Stream the reader's bytes; hashed in another thread, unless many are at it already and every core is busy."""
    if not _places_beside.acquire(blocking=False):
        yield Stream(reader, [_aligned(SMALL_BYTES)], hashlib.md5(usedforsecurity=False))
        return
    try:
        with ThreadPoolExecutor(1, "md5") as thread:
            yield Stream(reader, [_aligned(LARGE_BYTES), _aligned(LARGE_BYTES)], _Beside(thread))
    finally:
        _places_beside.release()


class BlockWriter:
    """Writes chunks one behind the other: whole blocks past the page cache, where the file system lets us."""

    def __init__(self, fileno: int, offset: int) -> None:
        self._fileno = fileno
        self._offset = offset
        self._is_direct = offset % BLOCK_BYTES == 0 and self._switch(_O_DIRECT)

    def write(self, chunk: memoryview) -> None:
        """Write all of it; OSError when no more of it fits."""
        whole = len(chunk) // BLOCK_BYTES * BLOCK_BYTES if self._is_direct else 0
        if whole and not self._write_blocks(chunk[:whole]):
            whole = 0
        if whole < len(chunk):
            self._leave_direct()
            write_all(self._fileno, chunk[whole:], self._offset + whole)
        self._offset += len(chunk)

    def _write_blocks(self, blocks: memoryview) -> bool:
        """Whether all could be written as blocks; a disk that is nearly full takes odd pieces of them."""
        try:
            write_all(self._fileno, blocks, self._offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return False
        return True

    def _leave_direct(self) -> None:
        if self._is_direct:
            self._switch(0)
            self._is_direct = False

    def _switch(self, direct: int) -> bool:
        if not _O_DIRECT:
            return False
        flags = fcntl.fcntl(self._fileno, fcntl.F_GETFL)
        try:
            fcntl.fcntl(self._fileno, fcntl.F_SETFL, flags & ~_O_DIRECT | direct)
        except OSError:  # this file system has only the one way
            return False
        return True


def _aligned(size: int) -> memoryview:
    """A buffer that begins at a page, as direct writes must."""
    return memoryview(mmap.mmap(-1, size))
