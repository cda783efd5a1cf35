from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import requests

from tests.conformance.sources import AbortSuite, ReadingSuite, VanishingSuite
from tests.ipfs import Dag, TrustlessGateway
from tests.ipfs.dag import version_1
from transfers.engine.http import session
from transfers.engine.ipfs import Gateway, IpfsSource
from transfers.engine.netguard import Allowance


class IpfsFile:
    """The file of whichever content was put last; other contents are other files, as they are everywhere here."""

    def __init__(self, gateway: TrustlessGateway, shared: requests.Session) -> None:
        self._gateway = gateway
        self._session = shared
        self.put(b"")

    def put(self, content: bytes) -> None:
        self._entry = self._gateway.dag.file(content)

    def remove(self) -> None:
        self._gateway.dag.blocks.clear()

    def hold(self, at: int) -> Callable[[], None]:  # noqa: ARG002 - blocks come whole or not at all
        root = version_1(self._entry.cid)
        self._gateway.holding = lambda name: name != root
        return self._wait_until_held

    def _wait_until_held(self) -> None:
        assert self._gateway.held.wait(10)

    def source(self) -> IpfsSource:
        return IpfsSource(f"ipfs://{self._entry.text}", Gateway(self._gateway.url, self._session))


@pytest.fixture
def shared() -> Iterator[requests.Session]:
    with session(Allowance.parse(["127.0.0.1"])) as made:
        yield made


class TestIpfsSource(ReadingSuite, VanishingSuite, AbortSuite):
    @pytest.fixture(
        params=[Dag(4096, width=5), Dag(65_536, raw_leaves=False, version=0)], ids=["version 1", "version 0"]
    )
    def place(self, request: pytest.FixtureRequest, shared: requests.Session) -> Iterator[IpfsFile]:
        with TrustlessGateway(replace(request.param, blocks={})) as gateway:
            yield IpfsFile(gateway, shared)
