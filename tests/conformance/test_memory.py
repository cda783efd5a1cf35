from __future__ import annotations

import pytest

from tests.conformance.sinks import BeginningsSuite, SinkSuite
from tests.conformance.sources import SourceSuite
from transfers.engine.memory import MemorySink, MemorySource


class MemoryFile:
    """The file is the source itself: changing it is giving it other bytes."""

    def __init__(self) -> None:
        self._sources: list[MemorySource] = []
        self._content = b""

    def put(self, content: bytes) -> None:
        self._content = content
        for source in self._sources:
            source.content = content

    def source(self) -> MemorySource:
        self._sources.append(MemorySource(self._content))
        return self._sources[-1]


class TestMemorySource(SourceSuite):
    @pytest.fixture
    def place(self) -> MemoryFile:
        return MemoryFile()


class MemoryFolder:
    """The file is in the one sink there is: memory does not outlive it."""

    def __init__(self) -> None:
        self._sink = MemorySink()

    def sink(self) -> MemorySink:
        return self._sink

    def content(self) -> bytes | None:
        return self._sink.content


class TestMemorySink(SinkSuite, BeginningsSuite):
    @pytest.fixture
    def new_place(self) -> type[MemoryFolder]:
        return MemoryFolder
