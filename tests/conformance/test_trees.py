from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.durable_sinks import DurableSuite
from tests.conformance.sinks import BeginningsSuite, SinkSuite
from tests.conformance.sources import ReadingSuite, ShorteningSuite, fetch
from tests.conformance.trees import MTIME_NS, MarkedFoldersSuite, OwnFoldersSuite, TreeSuite
from transfers.engine.base import Source
from transfers.engine.tree.base import Description, Tree, TreeSink
from transfers.engine.tree.local import LocalTree
from transfers.engine.tree.memory import MemoryTree


class TestMemoryTree(TreeSuite, MarkedFoldersSuite):
    @pytest.fixture
    def new_tree(self) -> type[MemoryTree]:
        return MemoryTree


def new_local_tree(folder: Path, *, keeps_checksums: bool = False) -> Callable[[], LocalTree]:
    """Makes one empty tree after the other below this folder."""
    numbers = itertools.count(1)

    def new() -> LocalTree:
        place = folder / str(next(numbers))
        return LocalTree(place / "tree", place / "staging", keeps_checksums=keeps_checksums)

    return new


class TestLocalTree(TreeSuite, OwnFoldersSuite):
    @pytest.fixture
    def new_tree(self, tmp_path: Path) -> Callable[[], LocalTree]:
        return new_local_tree(tmp_path)


class TestLocalTreeThatKeepsChecksums(TreeSuite, OwnFoldersSuite):
    @pytest.fixture
    def new_tree(self, tmp_path: Path) -> Callable[[], LocalTree]:
        return new_local_tree(tmp_path, keeps_checksums=True)


# Their sources and sinks are held against what is asked of all sources and sinks -------------------------------------


class LocalFile:
    def __init__(self, folder: Path) -> None:
        self._path = folder / "tree" / "file"
        self._tree = LocalTree(folder / "tree", folder / "staging")

    def put(self, content: bytes) -> None:
        self._path.parent.mkdir(exist_ok=True)
        self._path.write_bytes(content)

    def shorten(self, size: int) -> Callable[[], None]:
        return lambda: os.truncate(self._path, size)

    def source(self) -> Source:
        entry = self._tree.find("file")
        assert entry is not None
        return self._tree.source(entry)


class TestLocalTreeSource(ReadingSuite, ShorteningSuite):
    @pytest.fixture
    def place(self, tmp_path: Path) -> LocalFile:
        return LocalFile(tmp_path)


class FileInTree:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._sinks: list[TreeSink] = []

    def sink(self, generation: str = "first") -> TreeSink:
        found = self._tree.find("file.bin")
        self._sinks.append(self._tree.sink("file.bin", generation, Description(MTIME_NS, None), found))
        return self._sinks[-1]

    def content(self) -> bytes | None:
        found = self._tree.find("file.bin")
        return None if found is None else fetch(self._tree.source(found))

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()


class TestMemoryTreeSink(SinkSuite, BeginningsSuite, DurableSuite):
    @pytest.fixture
    def new_place(self) -> Callable[[], FileInTree]:
        return lambda: FileInTree(MemoryTree())


class TestLocalTreeSink(SinkSuite, BeginningsSuite, DurableSuite):
    @pytest.fixture
    def new_place(self, tmp_path: Path) -> Iterator[Callable[[], FileInTree]]:
        new_tree = new_local_tree(tmp_path)
        places: list[FileInTree] = []

        def new() -> FileInTree:
            places.append(FileInTree(new_tree()))
            return places[-1]

        yield new
        for place in places:
            place.close()
