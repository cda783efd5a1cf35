from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance import sinks
from tests.conformance.durable_sinks import DurableSuite
from tests.conformance.sinks import BeginningsSuite, SinkSuite
from tests.conformance.sources import MovingSuite, ShorteningSuite, SourceSuite, VanishingSuite
from transfers.engine.local import LocalSink, LocalSource


class LocalFile:
    def __init__(self, folder: Path) -> None:
        self._path = folder / "file"

    def put(self, content: bytes) -> None:
        fresh = self._path.with_name("fresh")
        fresh.write_bytes(content)
        fresh.replace(self._path)

    def shorten(self, size: int) -> Callable[[], None]:
        return lambda: os.truncate(self._path, size)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def source(self) -> LocalSource:
        return LocalSource(self._path)


class TestLocalSource(SourceSuite, ShorteningSuite, VanishingSuite, MovingSuite):
    @pytest.fixture
    def place(self, tmp_path: Path) -> LocalFile:
        return LocalFile(tmp_path)


class LocalFolder:
    def __init__(self, folder: Path) -> None:
        self._path = folder / "file.bin"
        self._sinks: list[LocalSink] = []

    def sink(self, generation: str = "first") -> LocalSink:
        self._sinks.append(LocalSink(self._path, generation=generation))
        return self._sinks[-1]

    def content(self) -> bytes | None:
        return self._path.read_bytes() if self._path.exists() else None

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()


class TestLocalSink(SinkSuite, BeginningsSuite, DurableSuite):
    @pytest.fixture
    def new_place(self, tmp_path: Path) -> Iterator[Callable[[], LocalFolder]]:
        places: list[LocalFolder] = []

        def new() -> LocalFolder:
            places.append(LocalFolder(tmp_path / str(len(places))))
            return places[-1]

        yield new
        for place in places:
            place.close()


class TestLocalSinkFromMovers(TestLocalSink):
    """The same bytes come from readers that move them into the file themselves."""

    @pytest.fixture(autouse=True)
    def _movers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sinks, "FailingReader", sinks.FailingMover)

    def test_every_byte_is_moved(self, place: sinks.SinkPlace, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sinks.FailingMover, "moved", 0)
        sinks.go_on(sinks.begun(place))
        assert sinks.FailingMover.moved == sinks.SIZE
