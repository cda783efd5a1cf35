"""Blocks from a trustless gateway (specs.ipfs.tech, Trustless Gateway): asked for by name, and proved to have it.

Blocks are asked for one by one (`format=raw`, which every such gateway has) and not as one archive of many: so any byte
of a file can be reached at once, a broken answer costs one block, and nothing is taken that was not asked for.
"""

from __future__ import annotations

import threading
from http import HTTPStatus

import requests

from transfers.engine import netguard
from transfers.engine.http.exchange import Exchange
from transfers.engine.http.failures import status_failure
from transfers.engine.http.reader import HttpReader
from transfers.engine.ipfs.cid import Cid
from transfers.errors import SourceInterruptedError, SourceProtocolError, SourceRefusedError, WrongBlockError

MAX_BLOCK_BYTES = 2 * 2**20 + 1024
"""What IPFS nodes exchange at most, 2 MiB, and the head of a leaf that has as much content."""
_READ_BYTES = 2**18
_HEADERS = {"Accept": "application/vnd.ipld.raw"}


class Gateway:
    """A gateway's blocks, for any thread; `abort` ends what waits, and every later question at once."""

    def __init__(
        self,
        url: str,
        session: requests.Session,
        *,
        connect_timeout_seconds: float = 10.0,
        stall_seconds: float = 30.0,
    ) -> None:
        """AddressForbiddenError for a URL that no request may be made for."""
        self._url = url.rstrip("/")
        self._session = session
        self._timeouts = (connect_timeout_seconds, stall_seconds)
        self._lock = threading.Lock()
        self._exchanges: set[Exchange] = set()
        self._aborted = False
        self.where = netguard.place_of(url)
        """Host and port."""

    def block(self, cid: Cid) -> bytes:
        """The block, proved; WrongBlockError when the gateway sends something else, and any other SourceError."""
        if cid.inline is not None:
            return cid.inline
        if not cid.verifiable:
            raise SourceRefusedError(f"{cid.text} is named by {cid.function}, which cannot be checked here")
        try:
            block = self._fetch(cid)
        except SourceProtocolError as error:  # of a block nothing can be wrong but the block: ranges are not at fault
            raise WrongBlockError(error.message) from None
        if not cid.names(block):
            raise WrongBlockError(f"{self.where} sent other bytes than those of {cid.text}")
        return block

    def abort(self) -> None:
        """Make every question that waits fail soon, and every later one at once; from any thread."""
        with self._lock:
            self._aborted = True
            for exchange in self._exchanges:
                exchange.end()

    def check(self) -> None:
        """SourceInterruptedError once it was told to abort."""
        if self._aborted:
            raise SourceInterruptedError("the transfer was told to end")

    def _fetch(self, cid: Cid) -> bytes:
        exchange = Exchange(self._session, *self._timeouts, self._forget)
        with self._lock:
            self._exchanges.add(exchange)
        with exchange.closed_on_failure():
            self.check()
            exchange.ask(f"{self._url}/ipfs/{cid.text}?format=raw", _HEADERS)
            if exchange.status != HTTPStatus.OK:
                raise status_failure(exchange.status, exchange.headers)
        with HttpReader(exchange, None, whole=True) as reader:
            return self._read(reader, cid)

    def _read(self, reader: HttpReader, cid: Cid) -> bytes:
        block = bytearray()
        buffer = memoryview(bytearray(_READ_BYTES))
        while count := reader.readinto(buffer):
            block += buffer[:count]
            if len(block) > MAX_BLOCK_BYTES:
                raise WrongBlockError(f"{self.where} sends more for {cid.text} than a block may have")
        return bytes(block)

    def _forget(self, exchange: Exchange) -> None:
        with self._lock:
            self._exchanges.discard(exchange)
