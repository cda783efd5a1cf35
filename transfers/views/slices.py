"""An answer that is made of text and of ranges of open files."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from io import FileIO
from typing import Any, Protocol

from django.http import StreamingHttpResponse

from transfers.services.stored_file import FileRange

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
        super().__init__(_Chunks(slices), **options)


class _Chunks:
    """The bytes, a chunk at a time; ShortFileError when a file has lost some."""

    def __init__(self, slices: Slices) -> None:
        self.close = slices.close
        self._slices = slices

    def __iter__(self) -> Iterator[bytes]:
        for run in self._slices.runs():
            if isinstance(run, bytes):
                yield run
                continue
            offset = run.start
            while offset < run.end:
                chunk = run.read(offset)
                yield chunk
                offset += len(chunk)
