"""An answer that is made of text and of ranges of open files."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from typing import Any, Protocol

from django.http import StreamingHttpResponse

CHUNK_BYTES = 2**18


class ShortFileError(OSError):
    """The file ended before the range that was promised of it."""


@dataclass(frozen=True, slots=True)
class FileRange:
    """A half-open range of an open file's bytes."""

    file: FileIO
    start: int
    end: int

    def read(self, offset: int) -> bytes:
        """The bytes from the offset on, up to CHUNK_BYTES; ShortFileError when there are none."""
        chunk = os.pread(self.file.fileno(), min(self.end - offset, CHUNK_BYTES), offset)
        if not chunk:
            raise ShortFileError(f"the file has no byte {offset} any more")
        return chunk


Run = bytes | FileRange


class Slices(Protocol):
    """Runs of bytes, one after the other, which may be taken by whoever sends them better than Django does."""

    blocking: bool
    """Whether the next run may take time to come."""

    def runs(self) -> Iterator[Run]:
        """The runs; each is good until the next one is asked for. An OSError where one cannot be had."""

    def take(self) -> Slices:
        """Hand all of it over to somebody who closes it; nothing is left here."""

    def close(self) -> None:
        """Let go of everything that is open."""


class FileSlices:
    """Text, and ranges of one file; holds the file open until it is closed or taken."""

    blocking = False

    def __init__(self, file: FileIO | None, pieces: Sequence[bytes | range]) -> None:
        self._file = file
        self._pieces = pieces

    def runs(self) -> Iterator[Run]:
        """The runs."""
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
            elif self._file is not None:
                yield FileRange(self._file, piece.start, piece.stop)

    def take(self) -> FileSlices:
        """Hand all of it over to somebody who closes it; nothing is left here."""
        taken = FileSlices(self._file, self._pieces)
        self._file, self._pieces = None, ()
        return taken

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class MadeSlices:
    """Runs that are made while they are sent; closing ends whoever makes them."""

    blocking = True

    def __init__(self, runs: Generator[Run] | None) -> None:
        self._runs = runs

    def runs(self) -> Iterator[Run]:
        """The runs, once."""
        return self._runs or iter(())

    def take(self) -> MadeSlices:
        """Hand all of it over to somebody who closes it; nothing is left here."""
        taken, self._runs = MadeSlices(self._runs), None
        return taken

    def close(self) -> None:
        """End whoever makes them."""
        if self._runs is not None:
            self._runs.close()


class SlicedResponse(StreamingHttpResponse):
    """Sends slices by itself on any WSGI server; on ours they are taken off it, and no thread waits for the client."""

    def __init__(self, slices: Slices, **options: Any) -> None:
        self.slices = slices
        super().__init__(_chunks(slices), **options)
        self._resource_closers.append(slices.close)


def _chunks(slices: Slices) -> Iterator[bytes]:
    """The bytes, a chunk at a time; ShortFileError when a file has lost some."""
    for run in slices.runs():
        if isinstance(run, bytes):
            yield run
            continue
        offset = run.start
        while offset < run.end:
            chunk = run.read(offset)
            yield chunk
            offset += len(chunk)
