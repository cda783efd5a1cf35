"""Checksums of a file, taken while it is still being written, in threads of their own."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from transfers.engine.base import CHUNK_BYTES, Source
from transfers.errors import ChecksumMismatchError, SinkError

INLINE_BYTES = 4 * 2**20
"""Below this size a file is hashed faster (8 ms) than its threads are worth."""
NICENESS = 10
"""How far a hashing thread stands back behind the copy, which others wait for."""


@dataclass(frozen=True, slots=True)
class Checksums:
    """The checksums every stored file has, as lowercase hex."""

    md5: str
    sha256: str
    crc32: str

    def verify(self, promised: Mapping[str, str]) -> None:
        """ChecksumMismatchError when a promised checksum, by algorithm, is another one."""
        for algorithm, value in promised.items():
            ours = getattr(self, algorithm)
            if ours != value:
                raise ChecksumMismatchError(f"the {algorithm} is {ours}, promised was {value}")


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, chunk: memoryview) -> None:
        self._value = zlib.crc32(chunk, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


class Hasher(Protocol):
    """What takes the checksums of a file."""

    def finish(self, size: int) -> Checksums | None:
        """The checksums of all of its `size` bytes; None when it was cancelled, SinkError when they are not there."""

    def cancel(self) -> None:
        """End soon without a result; fine at any time and from any thread."""


class SourceHasher:
    """Hashes a file that can only be read as a stream."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._cancelled = False

    def finish(self, size: int) -> Checksums | None:
        """The checksums of all of its bytes; None when it was cancelled, SinkError when they are not `size`."""
        md5, sha256, crc32 = hashlib.md5(usedforsecurity=False), hashlib.sha256(), _Crc32()
        buffer = memoryview(bytearray(CHUNK_BYTES))
        hashed = 0
        self._source.stat()
        with self._source.open(0, None) as reader:
            while (count := reader.readinto(buffer)) and not self._cancelled:
                for update in (md5.update, sha256.update, crc32.update):
                    update(buffer[:count])
                hashed += count
        if self._cancelled:
            return None
        if hashed != size:
            raise SinkError(f"the file has {hashed} bytes instead of {size}")
        return Checksums(md5.hexdigest(), sha256.hexdigest(), crc32.hexdigest())

    def cancel(self) -> None:
        """End soon without a result."""
        self._cancelled = True


class FileHasher:
    """Hashes an open file from its start, following a writer up to the frontier it is told of.

    It reads the bytes back from the page cache instead of taking them out of the writer's hands: the copy loop
    never waits for it, parts may arrive in any order, and the beginning that an earlier run stored is hashed the
    same way. MD5 (540 MiB/s a core) goes beside SHA-256 and CRC-32 (1,070 MiB/s together), so that two threads
    do what the slowest of the three needs alone. Every update of a megabyte releases the GIL.
    """

    def __init__(self, fileno: Callable[[], int]) -> None:
        self._fileno = fileno
        self._frontier = 0
        self._final: int | None = None
        self._cancelled = False
        self._changed = threading.Condition()
        self._md5, self._sha256, self._crc32 = hashlib.md5(usedforsecurity=False), hashlib.sha256(), _Crc32()
        self._threads: list[threading.Thread] = []
        self._positions: dict[int, int] = {}
        self._failure: Exception | None = None

    def advance(self, frontier: int) -> None:
        """Tell that every byte before `frontier` is in the file."""
        with self._changed:
            if frontier < self._frontier + CHUNK_BYTES:
                return
            self._frontier = frontier
            if not self._threads and frontier >= INLINE_BYTES:
                self._start()
            self._changed.notify_all()

    def finish(self, size: int) -> Checksums | None:
        """Hash what is left of `size` bytes, all of which are in the file; None when it was cancelled.

        SinkError when the file cannot be read back, or has become shorter.
        """
        with self._changed:
            self._frontier = self._final = size
            if not self._threads and size >= INLINE_BYTES:  # all of it was here from an earlier run
                self._start()
            self._changed.notify_all()
        if self._threads:
            self._join()
        else:
            self._follow(self._md5.update, self._sha256.update, self._crc32.update)
        if self._cancelled:
            return None
        if self._failure:
            raise self._failure
        return Checksums(self._md5.hexdigest(), self._sha256.hexdigest(), self._crc32.hexdigest())

    def lag(self, size: int) -> int:
        """Bytes of `size` that are not hashed yet."""
        positions = list(self._positions.values())
        return size - (min(positions) if len(positions) == len(self._threads) > 0 else 0)

    def cancel(self) -> None:
        """End soon without a result; fine at any time and from any thread."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def close(self) -> None:
        """Cancel, and wait for the threads."""
        self.cancel()
        self._join()

    def _start(self) -> None:
        for updates in ((self._md5.update,), (self._sha256.update, self._crc32.update)):
            thread = threading.Thread(target=self._follow, args=updates, name="hasher", daemon=True)
            thread.start()
            self._threads.append(thread)

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _follow(self, *updates: Callable[[memoryview], None]) -> None:
        buffer = memoryview(bytearray(CHUNK_BYTES))
        position = 0
        if self._threads:
            _yield_to_others()
        try:
            while frontier := self._wait_beyond(position):
                count = os.preadv(self._fileno(), [buffer[: frontier - position]], position)
                if count == 0:
                    self._failure = SinkError(f"the file was cut to {position} bytes while it was written")
                    return
                for update in updates:
                    update(buffer[:count])
                position += count
                self._positions[threading.get_ident()] = position
        except OSError as error:
            self._failure = SinkError(f"the file cannot be read back: {error.strerror}")
        except Exception as error:  # noqa: BLE001 - without it, half a file's checksums would pass for the file's
            self._failure = error

    def _wait_beyond(self, position: int) -> int | None:
        """The frontier once it is past the position; None when nothing more comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._frontier > position or self._final is not None or self._cancelled)
            return None if self._cancelled or self._frontier <= position else self._frontier


def _yield_to_others() -> None:
    """Let this thread have what the copy leaves of the processors (a nice value of its own, which only Linux knows)."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
