from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.conformance.sources import CONTENT, AbortSuite, MovingSuite, ReadingSuite
from tests.origin import Origin
from tests.unit.transfers.engine.archive.building import zipped
from transfers.engine.archive import ArchiveSource, Layout, Member, Method
from transfers.engine.base import Source
from transfers.engine.local import LocalSource
from transfers.engine.memory import MemorySource
from transfers.engine.s3 import S3Place, S3Source

CUTS = (0, 0, 10, 30_000, 30_000)
"""Where the members begin that the content is cut into: empty, small and large ones; the last is moved."""


def members(content: bytes) -> Iterator[tuple[Member, bytes]]:
    """The content as members: none where it is empty."""
    for number, (start, end) in enumerate(zip(CUTS, (*CUTS[1:], None), strict=True)):
        if content:
            piece = content[start:end]
            crc32 = zlib.crc32(piece)
            yield Member(f"{number}.bin", len(piece), crc32, 1_700_000_000, Method.STORED, len(piece)), piece


WHOLE = zipped(dict(members(CONTENT)))
EMPTY = zipped({})


class Pieces:
    """An archive whose members lie as `lay` does it."""

    def __init__(self, lay: Callable[[int, bytes], Callable[[], Source]]) -> None:
        self._lay = lay
        self.put(b"")

    def put(self, content: bytes) -> None:
        laid = dict(members(content))
        self._layout = Layout.of(laid)
        self._sources = [self._lay(number, piece) for number, piece in enumerate(laid.values())]

    def source(self) -> ArchiveSource:
        return ArchiveSource(self._layout, lambda number: self._sources[number]())


def lie_in_memory(_: int, piece: bytes) -> Callable[[], Source]:
    return lambda: MemorySource(piece)


def lie_on_disk(folder: Path, number: int, piece: bytes) -> Callable[[], Source]:
    path = folder / f"{number}.bin"
    path.write_bytes(piece)
    return lambda: LocalSource(path)


class OfArchives:
    whole = WHOLE
    empty = EMPTY


class TestArchiveSourceOfMemory(OfArchives, ReadingSuite, MovingSuite):
    @pytest.fixture
    def place(self) -> Pieces:
        return Pieces(lie_in_memory)


class TestArchiveSourceOfFiles(OfArchives, ReadingSuite, MovingSuite):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Pieces:
        folder = tmp_path / "members"
        folder.mkdir()
        return Pieces(partial(lie_on_disk, folder))


class OriginPieces(Pieces):
    """Members that a web server has, one that can hold their bytes back."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        super().__init__(self._lay_there)

    def hold(self, at: int) -> Callable[[], None]:
        return self._origin.gate("/bucket/4", at).wait

    def _lay_there(self, number: int, piece: bytes) -> Callable[[], Source]:
        self._origin.add(f"/bucket/{number}")
        self._origin.replace(f"/bucket/{number}", piece)
        return lambda: S3Source(S3Place("bucket", "", self._origin.url("")), str(number))


@pytest.mark.usefixtures("s3_credentials")
class TestArchiveSourceOfObjects(OfArchives, ReadingSuite, MovingSuite, AbortSuite):
    @pytest.fixture
    def place(self) -> Iterator[OriginPieces]:
        with Origin() as origin:
            yield OriginPieces(origin)
