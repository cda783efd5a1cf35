"""An answer that is made of ranges of an open file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from io import FileIO
from typing import Any

from django.http import StreamingHttpResponse

CHUNK_BYTES = 2**18


class ShortFileError(OSError):
    """The file ended before the range that was promised of it."""


class FileSlices:
    """Text, and ranges of a file, one after the other; holds the file open until it is closed or taken."""

    def __init__(self, file: FileIO | None, pieces: Sequence[bytes | range]) -> None:
        self.file = file
        self.pieces = pieces

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return sum(map(len, self.pieces))

    def __iter__(self) -> Iterator[bytes]:
        """The bytes, a chunk at a time; ShortFileError when the file has lost some."""
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                yield from self._read(piece)

    def take(self) -> FileSlices:
        """Hand all of it over to somebody who closes it; nothing is left here."""
        taken = FileSlices(self.file, self.pieces)
        self.file, self.pieces = None, ()
        return taken

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()

    def _read(self, piece: range) -> Iterator[bytes]:
        offset = piece.start
        while offset < piece.stop and self.file is not None:
            chunk = read_chunk(self.file, range(offset, piece.stop))
            yield chunk
            offset += len(chunk)


class SlicedResponse(StreamingHttpResponse):
    """Sends slices by itself on any WSGI server; on ours they are taken off it, and no thread waits for the client."""

    def __init__(self, slices: FileSlices, **options: Any) -> None:
        self.slices = slices
        super().__init__(slices, **options)


def read_chunk(file: FileIO, left: range) -> bytes:
    """The first bytes of the range, up to CHUNK_BYTES; ShortFileError when there are none."""
    chunk = os.pread(file.fileno(), min(len(left), CHUNK_BYTES), left.start)
    if not chunk:
        raise ShortFileError(f"the file has no byte {left.start} any more")
    return chunk
