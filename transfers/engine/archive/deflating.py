"""Files deflated as they are read."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from transfers.engine.base import CHUNK_BYTES, Abortable, Reader, Source, SourceInfo
from transfers.errors import SourceChangedError, SourceProtocolError

LEVEL = 1
"""Source text, CSV and JSON come out at 33, 42 and 18 % of their size, at 120, 130 and 260 MiB/s a core. Level 6
makes it 26, 38 and 16 %, at 36, 19 and 92 MiB/s: a core for three to seven times as long, for an archive made once."""


class DeflatedSource:
    """The raw deflate stream (RFC 1951) of another source's file, which can only be had whole, from its start.

    With `size` and `crc32` the file must be the one that has these: SourceChangedError at its end if not. A stream that
    was read to its end has told, in `size` and `crc32`, of which file it is.
    """

    def __init__(self, source: Source, *, size: int | None = None, crc32: int | None = None) -> None:
        self._source = source
        self._expected_size = size
        self._expected_crc32 = crc32
        self.taken = 0
        """Bytes that have gone in so far."""
        self.size: int | None = None
        """Bytes that went in; None until all of them have."""
        self.crc32: int | None = None
        """Of the bytes that went in; None until all of them have."""

    def stat(self) -> SourceInfo:
        """Neither size nor validator: another version of zlib may make other bytes of the same file."""
        self._source.stat()
        return SourceInfo(size=None, validator=None, ranges=False)

    @contextmanager
    def open(self, offset: int, end: int | None) -> Iterator[Reader]:
        """Open the whole: SourceProtocolError for anything else."""
        if offset or end is not None:
            raise SourceProtocolError("a file that is deflated as it is read has no ranges")
        self.size = self.crc32 = None
        self.taken = 0
        with self._source.open(0, None) as reader:
            yield _DeflatingReader(self, reader)

    def abort(self) -> None:
        """End the reads of the other source, if it can be."""
        if isinstance(self._source, Abortable):
            self._source.abort()

    def ended(self, size: int, crc32: int) -> None:
        """Note what went in; SourceChangedError when it is not what was expected."""
        if self._expected_size not in (None, size):
            raise SourceChangedError(f"the file has {size} bytes, not {self._expected_size}")
        if self._expected_crc32 not in (None, crc32):
            raise SourceChangedError(f"the file has the CRC-32 {crc32:08x}, not {self._expected_crc32:08x}")
        self.size, self.crc32 = size, crc32


class _DeflatingReader:
    def __init__(self, source: DeflatedSource, reader: Reader) -> None:
        self._source, self._reader = source, reader
        self._deflating = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._chunk = memoryview(bytearray(CHUNK_BYTES))
        self._out = memoryview(b"")
        self._size = self._crc32 = 0
        self._ended = False

    def readinto(self, buffer: memoryview) -> int:
        while not self._out and not self._ended:
            self._out = memoryview(self._more())
        count = min(len(buffer), len(self._out))
        buffer[:count], self._out = self._out[:count], self._out[count:]
        return count

    def _more(self) -> bytes:
        """What comes out for the next chunk, often nothing."""
        count = self._reader.readinto(self._chunk)
        if not count:
            self._source.ended(self._size, self._crc32)
            self._ended = True
            return self._deflating.flush()
        self._size = self._source.taken = self._size + count
        self._crc32 = zlib.crc32(self._chunk[:count], self._crc32)
        return self._deflating.compress(self._chunk[:count])
