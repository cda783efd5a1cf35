from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from tests.conformance.sources import AbortSuite, ShorteningSuite, SourceSuite, UnknownSizeSuite, VanishingSuite
from tests.origin import Behaviour, Framing, Origin, Ranges
from transfers.engine.http import HttpSource, session
from transfers.engine.netguard import Allowance


class HttpFile:
    def __init__(self, origin: Origin, shared: requests.Session) -> None:
        self._origin = origin
        self._session = shared
        self._url = origin.add("/file", b"")
        self._sources: list[HttpSource] = []

    def put(self, content: bytes) -> None:
        self._origin.replace("/file", content)

    def shorten(self, size: int) -> Callable[[], None]:
        gate = self._origin.gate("/file", size)

        def end() -> None:
            gate.wait()
            self._origin.cut()

        return end

    def remove(self) -> None:
        self._origin.behave("/file", Behaviour(status=404))

    def hide_size(self) -> None:
        self._origin.behave("/file", Behaviour(framing=Framing.CHUNKED, ranges=Ranges.NONE))

    def hold(self, at: int) -> Callable[[], None]:
        return self._origin.gate("/file", at).wait

    def source(self) -> HttpSource:
        self._sources.append(HttpSource(self._url, self._session))
        return self._sources[-1]

    def close(self) -> None:
        for source in self._sources:
            source.close()


class TestHttpSource(SourceSuite, ShorteningSuite, VanishingSuite, UnknownSizeSuite, AbortSuite):
    @pytest.fixture
    def place(self) -> Iterator[HttpFile]:
        with Origin() as origin, session(Allowance.parse(["127.0.0.1"])) as shared:
            file = HttpFile(origin, shared)
            yield file
            file.close()
