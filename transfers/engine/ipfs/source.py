"""A file named by its content, as a source of the engine.

Its validator is its identifier: it cannot change, so whatever was kept of it fits for ever, through any gateway.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Self

from transfers.engine.base import Reader, SourceInfo, Validator, ValidatorKind
from transfers.engine.ipfs.address import Address, InvalidAddressError
from transfers.engine.ipfs.cid import Cid, parse
from transfers.engine.ipfs.dag import InnerNodes, content, resolve
from transfers.engine.ipfs.gateway import Gateway
from transfers.engine.ipfs.unixfs import Node
from transfers.errors import SourceInterruptedError, SourceProtocolError, SourceRefusedError


class IpfsSource:
    """A file at an `ipfs://` URL; `stat` and `close` belong to one thread, the rest to any."""

    def __init__(self, url: str, gateway: Gateway, *, known: SourceInfo | None = None) -> None:
        """`known` is what an earlier `stat` told: with it, ranges can be opened without asking again.

        SourceRefusedError for a URL that names no file.
        """
        try:
            self._address = Address.parse(url)
        except InvalidAddressError as error:
            raise SourceRefusedError(f"the URL {error}") from None
        self._gateway = gateway
        self._nodes = InnerNodes(gateway)
        validator = known.validator if known is not None else None
        self._file = parse(validator.value) if validator is not None else None
        self._root: Node | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stat(self) -> SourceInfo:
        """Find the file and read its size from its root block. Any SourceError."""
        cid = self._found()
        return SourceInfo(self._node().size, _validator(cid), ranges=True)

    def open(self, offset: int, end: int | None) -> AbstractContextManager[Reader]:
        """Open the bytes from `offset` up to before `end` (None: to the end); blocks are asked for as they are read.

        SourceProtocolError for a range that the file does not have, and any other SourceError.
        """
        self._gateway.check()
        root = self._node()
        end = root.size if end is None else end
        if offset >= end:
            return PieceReader(iter(()), 0)
        if end > root.size:
            raise SourceProtocolError(f"the file has {root.size} bytes, and not those from {offset} to {end}")
        return PieceReader(content(self._nodes, root, offset, end), end - offset)

    def unchanged(self, validator: Validator, size: int) -> bool:  # noqa: ARG002 - equal names mean equal sizes
        """Whether this validator is the file's; asks only where directories lie between. Any SourceError."""
        return validator == _validator(self._found())

    def abort(self) -> None:
        """Make every open reader fail soon, and every later one; from any thread, any number of times."""
        self._gateway.abort()

    def close(self) -> None:
        """Nothing is held between two questions."""

    def _found(self) -> Cid:
        if self._file is None:
            self._file = resolve(self._nodes, self._address.root, self._address.path)
        return self._file

    def _node(self) -> Node:
        if self._root is None:
            self._root = self._nodes.file(self._found())
        return self._root


class PieceReader:
    """Bytes that come in pieces."""

    def __init__(self, pieces: Iterator[memoryview], size: int) -> None:
        """Read `size` bytes, which are all that the pieces have."""
        self._pieces = pieces
        self._left = size
        self._piece = memoryview(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._piece = memoryview(b"")

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the start of the buffer with what is there, waiting for at least a byte; 0 only at the end."""
        if not self._piece:
            self._piece = next(self._pieces, self._piece)
        if not self._piece and self._left:  # an earlier call has failed, and nothing comes any more
            raise SourceInterruptedError(f"{self._left} bytes of the file are missing")
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        self._left -= count
        return count


def _validator(cid: Cid) -> Validator:
    return Validator(ValidatorKind.VERSION, cid.text)
