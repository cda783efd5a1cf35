"""The bytes of an answer, straight from the connection's buffer into the caller's, however the body is framed.

urllib3 can fill a buffer too, but waits until it is full, and http.client takes the end of a connection for the end of
a body where it need not be. Here a read gives what is there, and an end is believed only where its framing proves it.
"""

from __future__ import annotations

import http.client
import io
import re
import zlib
from typing import Protocol

from transfers.engine.http.headers import Headers, content_coding, content_length
from transfers.engine.netguard import STREAM_BUFFER_BYTES
from transfers.errors import SourceProtocolError

_CHUNK_SIZE_LINE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
_END_OF_LINE = (b"\r\n", b"\n")
_LINE_BYTES = 65536
_MAX_TRAILERS = 100
_ZLIB_HEAD_BYTES = 2


class Body(Protocol):
    """A body that is read once, from its start."""

    @property
    def ended(self) -> bool:
        """Whether all of it was read, so that the connection is good for another request."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Wait for at least a byte and put what is there into the buffer; 0 at the end.

        IncompleteRead when the end is not one.
        """


class LengthBody:
    """A body that ends after `length` bytes; None: with the connection, which proves nothing."""

    def __init__(self, stream: io.BufferedReader, length: int | None) -> None:
        self._stream = stream
        self._left = length
        self._most = STREAM_BUFFER_BYTES

    @property
    def ended(self) -> bool:
        """Whether the length was reached."""
        return self._left == 0

    def readinto(self, buffer: memoryview, /) -> int:
        """Read what is there."""
        # Only what the stream itself may hold, the first time: asked for more, it would wait for more, and not give
        # what came together with the head.
        most, self._most = min(len(buffer), self._most), len(buffer)
        if self._left is None:
            return self._stream.readinto1(buffer[:most])
        count = self._stream.readinto1(buffer[: min(most, self._left)])
        if count == 0 < self._left:
            raise http.client.IncompleteRead(b"", self._left)
        self._left -= count
        return count


class ChunkedBody:
    """A body in chunks, which ends with the empty one (RFC 9112, section 7.1)."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._left = 0
        self._most = 0
        self._first = True
        self.ended = False

    def readinto(self, buffer: memoryview, /) -> int:
        """Read what is there of the current chunk."""
        if self._left == 0 and not self.ended:
            self._begin_chunk()
        if self.ended:
            return 0
        most, self._most = min(len(buffer), self._left, self._most), len(buffer)
        count = self._stream.readinto1(buffer[:most])
        if count == 0:
            raise http.client.IncompleteRead(b"", self._left)
        self._left -= count
        return count

    def _begin_chunk(self) -> None:
        if not self._first and self._line() not in _END_OF_LINE:
            raise http.client.HTTPException("a chunk is longer than it said")
        self._first = False
        size = _CHUNK_SIZE_LINE.fullmatch(self._line())
        if size is None:
            raise http.client.HTTPException("a chunk does not say its size")
        self._left = int(size[1], 16)
        self._most = STREAM_BUFFER_BYTES
        if self._left == 0:
            self._read_trailer()

    def _read_trailer(self) -> None:
        for _ in range(_MAX_TRAILERS):
            if self._line() in _END_OF_LINE:
                self.ended = True
                return
        raise http.client.HTTPException("the trailer does not end")

    def _line(self) -> bytes:
        line = self._stream.readline(_LINE_BYTES)
        if not line.endswith(b"\n") and len(line) < _LINE_BYTES:
            raise http.client.IncompleteRead(line)
        return line


class UnpackedBody:
    """Another body's bytes unpacked from gzip or deflate, whose own end must stand where that body ends."""

    def __init__(self, packed: Body, coding: str) -> None:
        self._packed = packed
        self._gzip = coding == "gzip"
        self._buffer = memoryview(bytearray(STREAM_BUFFER_BYTES))
        self._waiting = b""
        self._member: zlib._Decompress | None = None

    @property
    def ended(self) -> bool:
        """Whether the packed body was read to its end."""
        return self._packed.ended

    def readinto(self, buffer: memoryview, /) -> int:
        """Unpack what is there, reading on until that gives at least a byte."""
        while not (unpacked := self._unpack(len(buffer))):
            if not self._waiting and not self._wait():
                if self._member is not None and not self._member.eof:
                    raise http.client.IncompleteRead(b"")
                return 0
        buffer[: len(unpacked)] = unpacked
        return len(unpacked)

    def _unpack(self, most: int) -> bytes:
        """Up to `most` bytes of what is waiting; none where a member ends."""
        if self._member is None or self._member.eof:
            if not self._waiting:
                return b""
            self._member = self._next_member()
        unpacked = self._member.decompress(self._waiting, most)
        self._waiting = self._member.unused_data or self._member.unconsumed_tail
        return unpacked

    def _next_member(self) -> zlib._Decompress:
        """Gzip comes in members one after another; deflate comes once, with zlib's head or, wrongly, without one."""
        if self._gzip:
            return zlib.decompressobj(zlib.MAX_WBITS | 16)
        if self._member is not None:
            raise zlib.error("bytes after the end")
        while len(self._waiting) < _ZLIB_HEAD_BYTES and self._wait():
            pass
        head = int.from_bytes(self._waiting[:_ZLIB_HEAD_BYTES], "big")
        has_head = head >> 8 & 0x0F == zlib.DEFLATED and head % 31 == 0  # RFC 1950, section 2.2
        return zlib.decompressobj(zlib.MAX_WBITS if has_head else -zlib.MAX_WBITS)

    def _wait(self) -> bool:
        count = self._packed.readinto(self._buffer)
        self._waiting += self._buffer[:count]
        return count > 0


def body_of(stream: io.BufferedReader, headers: Headers) -> Body:
    """The body that begins where the stream stands; SourceProtocolError when its framing or coding is not understood.

    RFC 9112, section 6.3: a transfer encoding overrides a length.
    """
    framing = headers.get("Transfer-Encoding", "identity").strip().lower()
    body: Body
    if framing == "chunked":
        body = ChunkedBody(stream)
    elif framing == "identity":
        body = LengthBody(stream, content_length(headers))
    else:
        raise SourceProtocolError("the body comes in a transfer encoding that was not asked for")
    coding = content_coding(headers)
    if coding == "identity":
        return body
    if coding in ("gzip", "deflate"):
        return UnpackedBody(body, coding)
    raise SourceProtocolError("the file comes packed in a way that was not asked for")
